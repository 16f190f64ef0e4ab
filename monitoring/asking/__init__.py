"""Putting questions to models: slots and money that all processes share, retries, fallbacks, traces. Uses the pure `analyst`."""

"""Knows when to look: candles, signals, schedules, the close ledger, and the engine that has each close judged."""

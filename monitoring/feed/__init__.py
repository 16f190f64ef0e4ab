"""What exchanges send, split by kind of failure: wrong data (adapters), a bad link (stream), gaps (rest)."""

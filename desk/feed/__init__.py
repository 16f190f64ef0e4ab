"""The live feed: one LISTEN connection per web process tails the event log into a ring; every socket has only a cursor."""

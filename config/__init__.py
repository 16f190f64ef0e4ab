"""Settings, the database launcher and the queue broker. Nothing here knows the desk's own apps."""

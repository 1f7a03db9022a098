"""Where an event is, and what happened to it."""

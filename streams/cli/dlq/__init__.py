"""`streams dlq`: dead letters listed, looked at, replayed, purged and carried away, from the command line."""

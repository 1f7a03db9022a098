"""The keeper: the one process that owns a connector's state, and its duties."""

"""A destination package outside of streams, with its tests; CONTRIBUTING.md walks through it."""

"""Connectors: the state of each, and orders to its keeper."""

"""Connectors: how each one stands, and what its keeper is asked to do."""

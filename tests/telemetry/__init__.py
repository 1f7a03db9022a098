"""Metrics, health and traces."""

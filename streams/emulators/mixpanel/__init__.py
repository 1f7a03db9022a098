"""Mixpanel's `/import`, emulated."""

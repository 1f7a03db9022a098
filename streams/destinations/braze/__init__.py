"""Braze, by `/users/track` and the cohort import. Not in the registry: its sink is not there yet (docs/way-back.md)."""

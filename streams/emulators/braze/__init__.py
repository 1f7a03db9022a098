"""Braze's `/users/track` and its cohort import, emulated."""

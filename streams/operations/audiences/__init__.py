"""Cohorts and audiences of the way back: what is remembered of their members, and orders about them."""

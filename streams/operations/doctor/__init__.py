"""Checks whether `streams` will work here. Changes nothing."""

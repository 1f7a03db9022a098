"""Benchmarks: ratios to bare loops, alternating in one run. Only ratios mean something on a shared machine."""

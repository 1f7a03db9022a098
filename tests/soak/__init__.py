"""A soak: all roles for hours under a steady load, measured each minute. `make soak HOURS=2`."""

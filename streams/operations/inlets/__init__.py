"""Storage inlets as people see them: how they stand, and orders about parked files."""

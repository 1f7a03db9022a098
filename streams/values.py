"""Values that configuration is made of: secrets by reference, durations, sizes."""

from __future__ import annotations

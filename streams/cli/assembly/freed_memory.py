"""Freed memory stays with the process for the next batch, where the C library is glibc.

By default glibc gives the memory of a batch back to the system, and asks for it again with the next one. Then the
system has to map and clear each page again. That is a fifth of a sink's work or more.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

MEBIBYTE = 1 << 20
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""As in glibc's malloc.h."""
SETTINGS = {M_TRIM_THRESHOLD: 16 * MEBIBYTE, M_TOP_PAD: 4 * MEBIBYTE, M_MMAP_THRESHOLD: 4 * MEBIBYTE}
"""So much free memory is kept; so much is asked for at once; from this size on a block has pages of its own."""


def keep_freed_memory() -> None:
    """For this process, from now on. Does nothing with another C library."""
    with suppress(AttributeError, OSError, TypeError):
        for setting, size in SETTINGS.items():
            ctypes.CDLL(None).mallopt(setting, size)

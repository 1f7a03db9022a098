"""Freed memory stays with the process for the next batch, where the C library is glibc, and goes back once a minute.

By default glibc gives the memory of a batch back to the system, and asks for it again with the next one. Then the
system has to map and clear each page again. That is a fifth of a sink's work or more.

But glibc never gives back what is free between blocks that are in use, and it keeps it apart for many threads. The
Kafka client has about a hundred. After an outage, when much waits, a process would stay tens of MiB larger.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MEBIBYTE = 1 << 20
M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = 1, -1, -2, -3
"""As in glibc's malloc.h."""
SETTINGS = {M_TRIM_THRESHOLD: 16 * MEBIBYTE, M_TOP_PAD: 4 * MEBIBYTE, M_MMAP_THRESHOLD: 4 * MEBIBYTE, M_MXFAST: 0}
"""So much free memory is kept; so much is asked for at once; from this size on a block has pages of its own; and small
blocks are joined when they are freed, not all of them with each request's body that is freed."""
TRIM_SECONDS = 60.0
"""Between two times that all free pages are given back: this costs some milliseconds."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """For this process from now on; free pages go back once a minute while the block runs. Does nothing with another C
    library."""
    stop = threading.Event()
    try:
        library = ctypes.CDLL(None)
        for setting, size in SETTINGS.items():
            library.mallopt(setting, size)
        trim = library.malloc_trim
    except (AttributeError, OSError, TypeError):
        yield
        return

    def give_back() -> None:
        while not stop.wait(TRIM_SECONDS):
            trim(0)

    threading.Thread(target=give_back, name="memory", daemon=True).start()
    try:
        yield
    finally:
        stop.set()

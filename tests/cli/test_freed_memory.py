"""A process keeps the memory of a batch for the next one, and gives back what stays free."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource
from streams.cli.assembly.freed_memory import freed_memory_kept
with freed_memory_kept():
    for turn in range(20):
        if turn == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [bytearray(b"x") * 1_000_000 for _ in range(8)]
        del blocks
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC_ONLY = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
FREE_BETWEEN_BLOCKS = """
import time
from pathlib import Path
from streams.cli.assembly import freed_memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

blocks = [bytes(1_000) for _ in range(100_000)]
kept = blocks[::50]
del blocks
full = resident_mib()
freed_memory.TRIM_SECONDS = 0.01
with freed_memory.freed_memory_kept():
    deadline = time.monotonic() + 60
    while resident_mib() > full - 50 and time.monotonic() < deadline:
        time.sleep(0.01)
print(full - resident_mib())
"""


def printed(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    return int(done.stdout)


@GLIBC_ONLY
def test_pages_of_freed_blocks_are_not_asked_for_again() -> None:
    assert printed(BATCHES) < 2_000  # ten times eight blocks are about 20,000 pages


@GLIBC_ONLY
def test_pages_that_stay_free_go_back_though_blocks_between_them_are_in_use() -> None:
    assert printed(FREE_BETWEEN_BLOCKS) >= 50  # of about 100 MiB

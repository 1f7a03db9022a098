"""A process keeps the memory of a batch for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
from streams.cli.assembly.freed_memory import keep_freed_memory
keep_freed_memory()
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"x") * 1_000_000 for _ in range(8)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_pages_of_freed_blocks_are_not_asked_for_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=100)
    assert int(done.stdout) < 2_000  # ten times eight blocks are about 20,000 pages

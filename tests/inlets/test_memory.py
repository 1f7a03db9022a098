"""Memory stays flat: for 100,000 objects, and for a file of any size (`make inlet-large` takes one of 10 GB)."""

from __future__ import annotations

import subprocess
import sys

RSS_MIB_MAX = 200


def peak_mib(what: str, count: int) -> int:
    command = [sys.executable, "-m", "tests.inlets.large", what, str(count)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert process.returncode == 0, process.stderr[-2_000:]
    return int(process.stdout.splitlines()[-1])  # its log comes first


def test_a_hundred_thousand_objects_are_listed_in_flat_memory() -> None:
    few, many = peak_mib("objects", 10_000), peak_mib("objects", 100_000)
    assert many <= RSS_MIB_MAX
    assert many - few < 20


def test_a_large_file_is_taken_in_flat_memory() -> None:
    small, large = peak_mib("file", 40_000_000), peak_mib("file", 300_000_000)
    assert large <= RSS_MIB_MAX
    assert large - small < 20

"""Waiting for a condition: tests await what must come, and never sleep for a time that should be enough."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0
"""A busy machine is slow; a condition that holds is seen at once."""
LOOK_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], what: str, seconds_max: float = PATIENCE_SECONDS) -> None:
    """Return once the condition holds. Raises `AssertionError` that names what was waited for."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds_max:.0f} s for {what}"
        time.sleep(LOOK_SECONDS)

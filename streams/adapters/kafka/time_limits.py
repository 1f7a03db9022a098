"""Waits for calls into a client library no longer than for a named time, whether they return or not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")

PAUSE_SECONDS = 0.2
"""Between two tries of a call: five a second while Kafka says "not now"."""
SLICE_SECONDS = 0.5
"""Waited for at a time. Only time in which the process ran counts: a process that was stopped, however long, has used
one of these slices."""


def within(seconds_max: float, call: Callable[[], Result]) -> Result:
    """What the call gives or raises. Raises `TimeoutError` where it does neither while this process ran for so long.

    A call that hangs is left to hang, on a thread of its own that keeps no process alive.
    """
    outcome: Future[Result] = Future()

    def carry_out() -> None:
        try:
            outcome.set_result(call())
        except BaseException as failure:
            outcome.set_exception(failure)

    threading.Thread(target=carry_out, name="may hang", daemon=True).start()
    for _ in range(math.ceil(seconds_max / SLICE_SECONDS)):
        if wait([outcome], min(SLICE_SECONDS, seconds_max)).done:
            return outcome.result()
    raise TimeoutError(f"did not return within {seconds_max:g} s")


class Patience:
    """Tries that go on until a deadline. Between two of them is a pause: what fails at once would keep a core busy."""

    def __init__(
        self,
        seconds_max: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._deadline = monotonic() + seconds_max

    def again(self) -> bool:
        """Whether there is time for another try; if so, after a pause."""
        if self._monotonic() >= self._deadline:
            return False
        self._sleep(PAUSE_SECONDS)
        return True

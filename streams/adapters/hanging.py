"""Waits for calls into a client library no longer than for a named time, whether they return or not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds_max: float, call: Callable[[], Result]) -> Result:
    """What the call gives or raises. Raises `TimeoutError` where it does neither in time.

    A call that hangs is left to hang, on a thread of its own that keeps no process alive.
    """
    outcome: Future[Result] = Future()

    def carry_out() -> None:
        try:
            outcome.set_result(call())
        except BaseException as failure:
            outcome.set_exception(failure)

    threading.Thread(target=carry_out, name="may hang", daemon=True).start()
    return outcome.result(seconds_max)

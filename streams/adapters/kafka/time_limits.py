"""Limits how long a call into a client library is waited for, also if the call never returns."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

Result = TypeVar("Result")

CALL_SECONDS_MAX = 10.0
"""The time-out that the client gets for one call."""
CONTACT_SECONDS_MAX = 60.0
"""How long a call is tried again while no broker accepts it."""
PAUSE_SECONDS = 0.2
"""The pause between two tries of a call."""
SLICE_SECONDS = 0.5
"""The wait is made of slices of this length. A process that is stopped for an hour loses one slice, not the hour."""


def within(seconds_max: float, call: Callable[[], Result]) -> Result:
    """What the call returns or raises. Raises `TimeoutError` if it does neither while this process ran for
    `seconds_max`.

    A call that hangs stays on its own thread. That thread does not keep the process alive.
    """
    aside = Aside()
    try:
        return aside.within(seconds_max, call)
    finally:
        aside.close()


class Aside:
    """Makes calls like `within`, one after the other, on one thread: to start a thread costs more than most calls."""

    def __init__(self) -> None:
        self._calls: _Calls | None = None

    def within(
        self, seconds_max: float, call: Callable[[], Result], is_excused: Callable[[], bool] = lambda: False
    ) -> Result:
        """As the function of this name. After a call that hangs the next one gets a new thread.

        Each time that `seconds_max` are over, `is_excused` says whether the call is waited for once more.
        """
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(target=_carry_out, args=(self._calls,), name="may hang", daemon=True).start()
        outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._calls.put((call, outcome))
        while True:
            for _ in range(math.ceil(seconds_max / SLICE_SECONDS)):
                try:
                    result, failure = outcome.get(timeout=min(SLICE_SECONDS, seconds_max))
                except Empty:
                    continue
                if failure is not None:
                    try:
                        raise failure
                    finally:
                        del failure  # else it would refer to itself by this frame, and keep what its frames hold
                return cast("Result", result)
            if not is_excused():
                break
        self.close()
        raise TimeoutError(f"did not return within {seconds_max:g} s")

    def close(self) -> None:
        """The thread ends, once its last call has returned."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


_Call = tuple[Callable[[], Any], SimpleQueue[tuple[Any, BaseException | None]]]
_Calls = SimpleQueue[_Call | None]


def _carry_out(calls: _Calls) -> None:
    while (given := calls.get()) is not None:
        call, outcome = given
        try:
            outcome.put((call(), None))
        except BaseException as failure:
            outcome.put((None, failure))
        del given, call, outcome  # this frame must not keep what the call holds: a client, if it hung


class Patience:
    """Tries until a deadline, with a pause between two tries: a call that fails at once must not use a whole core."""

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

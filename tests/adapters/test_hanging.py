"""Calls that may hang: their results and failures come through, and hanging ends the waiting."""

from __future__ import annotations

import threading

import pytest

from streams.adapters.hanging import within


def test_what_the_call_gives_is_given() -> None:
    assert within(10.0, lambda: 7) == 7


def test_what_the_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(10.0, lambda: 1 // 0)


def test_a_call_that_never_returns_is_waited_for_no_longer_than_told() -> None:
    never = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, never.wait)
    never.set()

"""Calls that may hang: their results and failures come through, and hanging ends the waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from streams.adapters.kafka.time_limits import Aside, within

SLOW_CALL = """
import sys
from streams.adapters.kafka.time_limits import within
def call():
    print("begun", flush=True)
    sys.stdin.readline()
    return "returned"
print(within(2.0, call))
"""


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


def test_calls_share_a_thread_until_one_hangs() -> None:
    aside, never = Aside(), threading.Event()
    first, second = (aside.within(10.0, threading.current_thread) for _ in range(2))
    with pytest.raises(TimeoutError):
        aside.within(0.01, never.wait)
    third = aside.within(10.0, threading.current_thread)
    assert first is second
    assert first is not third
    never.set()
    aside.close()
    for thread in (first, third):
        thread.join(60.0)
        assert not thread.is_alive()


def test_a_call_is_waited_for_as_long_as_there_is_an_excuse() -> None:
    aside, done, asked = Aside(), threading.Event(), list[None]()

    def is_excused() -> bool:
        asked.append(None)
        if len(asked) == 3:
            done.set()
        return True

    assert aside.within(0.01, lambda: done.wait(30.0), is_excused) is True
    assert len(asked) >= 3
    aside.close()


def test_a_process_that_stood_still_meanwhile_is_not_taken_for_a_call_that_hangs() -> None:
    """A zombie must not believe that Kafka hangs, and take back the place of its successor."""
    command = [sys.executable, "-c", SLOW_CALL]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(3.0)  # longer than the call may take, on the machine's clock
    process.stdin.write("go on\n")  # the call returns as soon as it runs again
    process.stdin.flush()
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == "returned\n"

"""Worker processes of our own: started together, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from streams.adapters.instance import InstanceUnavailable, instance
from streams.cli.errors import CommandError, ExitCode

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 25.0
"""A process settles and leaves within this after SIGTERM; what is left then is killed."""
LEAVE_SECONDS_MAX = 22.0
"""After SIGTERM a process that a call into Kafka still holds leaves as it is: what it did not commit is read again. The
chart's grace period and an orchestrator's SIGKILL are later."""
PARENT_SECONDS = 1.0
WATCH_SECONDS = 0.2


@contextmanager
def named(role: str) -> Iterator[str]:
    """This process's stable name among those of its role, part of its transactional ids; held until the end."""
    with ExitStack() as stack:
        try:
            name = stack.enter_context(instance(role, os.environ))
        except InstanceUnavailable as error:
            raise CommandError(str(error), ExitCode.FAILED) from error
        yield name


def ports_from(first: int, count: int) -> list[int]:
    """One port for each process, one after the other; all 0 (any free one) where the first is."""
    return [first + number if first else 0 for number in range(count)]


class Workers:
    """The router and sinks of one configuration, each in a process of its own."""

    def __init__(
        self,
        config: Path,
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        common = ["--config", str(config), "--with-parent", str(os.getpid())]
        self.commands = [" ".join(command) for command in commands]
        self._children = [
            subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "streams", "run", *command, *common],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C in a terminal goes to all of its session; these are stopped by their parent, in order.
                start_new_session=True,
            )
            for command in commands
        ]

    def ended(self) -> tuple[str, int] | None:
        """The command and exit code of a process that ended by itself, if one did."""
        for command, child in zip(self.commands, self._children, strict=True):
            if child.poll() is not None:
                return command, child.returncode
        return None

    def watch(self, stop: threading.Event) -> tuple[str, int] | None:
        """Wait until told to stop, or until a process ended by itself."""
        while not stop.wait(WATCH_SECONDS):
            if (ended := self.ended()) is not None:
                return ended
        return None

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """SIGTERM to all; SIGKILL to what is left after `seconds_max`."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + seconds_max
        for child in self._children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextmanager
def stop_on_signal(parent: int | None = None) -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT, the end of the parent process or a thread's fault sets.

    A thread that dies takes the process with it, in order: half a process would look alive. Its fault is raised at
    the end.
    """
    stop = threading.Event()
    faults: list[BaseException] = []

    def on_fault(fault: threading.ExceptHookArgs) -> None:
        if fault.exc_value is not None:
            faults.append(fault.exc_value)
        stop.set()

    previous_hook, threading.excepthook = threading.excepthook, on_fault
    over = threading.Event()
    threading.Thread(target=_leave_in_time, args=(stop, over), daemon=True, name="stop").start()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if parent is not None:
        threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True, name="parent").start()
    try:
        yield stop
    finally:
        over.set()
        threading.excepthook = previous_hook
        for number, action in previous.items():
            signal.signal(number, action)
    if faults:
        raise faults[0]


def _leave_in_time(stop: threading.Event, over: threading.Event) -> None:
    """Once told to stop, a process ends in time, even if it waits for something."""
    stop.wait()
    if not over.wait(LEAVE_SECONDS_MAX):
        log.warning("left without a last commit: what was under way is read again", seconds=LEAVE_SECONDS_MAX)
        os._exit(ExitCode.FAILED)


def _watch_parent(parent: int, stop: threading.Event) -> None:
    """A killed parent must not leave its processes behind."""
    while not stop.wait(PARENT_SECONDS):
        if os.getppid() != parent:
            stop.set()

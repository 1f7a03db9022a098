"""A demonstration that plays a story: acts that each go on until something has come about."""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from threading import Event

from streams.cli.demo.stage import Demonstration
from streams.cli.errors import CommandError, ExitCode
from streams.delivery.account import Account

TICK_SECONDS = 0.5
STATUS_SECONDS = 3.0
"""How often it is told how things are."""
ACT_SECONDS_MAX = 60.0


class Stopped(Exception):
    """Somebody stopped the story."""


class Story(Demonstration):
    """`run` plays it, `result` is its account."""

    def run(self, stop: Event) -> None:
        self._stop = stop
        self._sends: Iterator[int] = self._sending(stop)
        self._told_at = 0.0
        try:
            self._play()
        except Stopped:
            self._is_cut_short = True
            self._settle(stop, lambda _accounts: None)

    @abstractmethod
    def _play(self) -> None:
        """The acts."""

    @abstractmethod
    def _status(self, accounts: dict[str, Account]) -> str:
        """How things are, in a line."""

    def _until(self, is_over: Callable[[dict[str, Account]], bool], what: str) -> None:
        """Send and show until the condition holds. Raises `CommandError` where it does not come about."""
        deadline = time.monotonic() + ACT_SECONDS_MAX
        while True:
            accounts = self._tick()
            if is_over(accounts):
                return
            if time.monotonic() >= deadline:
                raise CommandError(f"the story stops: waited {ACT_SECONDS_MAX:.0f} s until {what}", ExitCode.FAILED)

    def _for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._tick()

    def _tick(self) -> dict[str, Account]:
        """Send, look, and wait for the next turn. Raises `Stopped`."""
        if self._stop.is_set():
            raise Stopped
        began = time.monotonic()
        next(self._sends, None)
        self._require_workers()
        accounts = self._accounts()
        if began - self._told_at >= STATUS_SECONDS:
            self._told_at = began
            self._tell(self._status(accounts))
        self._stop.wait(max(0.0, TICK_SECONDS - (time.monotonic() - began)))
        return accounts

    def _tell(self, text: str) -> None:
        if not self._is_quiet:
            print(f"{time.monotonic() - self._began:4.0f} s  {text}", file=sys.stderr)

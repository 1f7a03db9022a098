"""Tells how many letters were read, on stderr: on a terminal in place, else now and then as a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from streams.cli.output import note

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 5.0


class Progress:
    """Told often, tells seldom."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._is_terminal = sys.stderr.isatty()
        self._next_at = time.monotonic() + (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS)
        self._is_told = False

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now < self._next_at:
            return
        self._is_told = True
        if self._is_terminal:
            self._next_at = now + TERMINAL_SECONDS
            print(f"\r{self._doing}: {count:,} letters", end="", file=sys.stderr, flush=True)
        else:
            self._next_at = now + LOG_SECONDS
            note(f"{self._doing}: {count:,} letters")

    def end(self) -> None:
        """Take the line back."""
        if self._is_told and self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """Progress that ends with the block."""
    told = Progress(doing)
    try:
        yield told
    finally:
        told.end()

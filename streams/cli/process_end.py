"""How the process of a command ends: with its exit code, whatever a C library does at the end of a process."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streams.cli.errors import ExitCode


@contextmanager
def own_ending() -> Iterator[None]:
    """Whatever ends the block ends this process, and no exit handler of a C library runs.

    A Kafka client has threads of its own, and brings OpenSSL along. OpenSSL's exit handler frees what those threads
    still use. One command in six that ended with several clients open died of SIGSEGV, with its work done. Python's own
    handlers run: they end threads and remove temporary folders.
    """
    ending = _Ending()
    try:
        yield
    except SystemExit as end:
        ending.code = _as_python_takes_it(end.code)
        raise


class _Ending:
    """Python calls exit handlers in reverse order, so this one is the last if it is made first."""

    def __init__(self) -> None:
        self.code = 0
        atexit.register(self._leave)

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # a full disk, a reader that is gone, a stream that was closed
                self.code = self.code or ExitCode.FAILED
        os._exit(self.code)


def _as_python_takes_it(code: object) -> int:
    """The exit code that Python makes of `SystemExit`'s value: a text is printed, and is a failure."""
    if code is None:
        return 0
    return code if isinstance(code, int) else ExitCode.FAILED

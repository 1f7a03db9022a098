"""The stable name of a process among those of its role: given, or the host's with the first free slot.

Kafka fences a process by its name, so two that run at once must never share one, and one that starts again should have
the same: then its open transaction is ended at once, not by its time-out. A slot is a lock file that the process holds
while it lives, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SLOTS_MAX = 1_000
"""Processes of one role on one host: a bound for the search, far above what a host can run."""
SLOT_SEPARATOR = "~"
"""No host's name has one: the second process of `web` never has the name of a host `web-2`."""


class InstanceUnavailable(Exception):
    """No name can be held; the message says why and what would help."""


def slots_folder(environment: Mapping[str, str]) -> Path:
    """Where the lock files are: `STREAMS_LOCKS`, else a folder that all users of the host share."""
    named = environment.get("STREAMS_LOCKS")
    return Path(named) if named else Path(tempfile.gettempdir()) / "currents-streams-locks"


@contextmanager
def instance(role: str, environment: Mapping[str, str]) -> Iterator[str]:
    """This process's name, held until the end. `role` names what may not share one, such as `mycompany.sink.growth`.

    Raises `InstanceUnavailable`.
    """
    if given := environment.get("STREAMS_INSTANCE"):
        yield given
        return
    host, folder = socket.gethostname(), slots_folder(environment)
    descriptor = -1
    try:
        _ready(folder)
        for slot in range(1, SLOTS_MAX + 1):
            descriptor = _locked(folder / f"{_file_name(role)}{SLOT_SEPARATOR}{slot}.lock")
            if descriptor >= 0:
                break
    except OSError as error:
        raise InstanceUnavailable(
            f"cannot lock a file in {folder} ({error.strerror or error}); "
            "set STREAMS_LOCKS to a folder that can be written, or STREAMS_INSTANCE to a name for each process"
        ) from error
    if descriptor < 0:
        raise InstanceUnavailable(f"{SLOTS_MAX} processes of {role} run on {host}: set STREAMS_INSTANCE for each")
    try:
        yield host if slot == 1 else f"{host}{SLOT_SEPARATOR}{slot}"
    finally:
        os.close(descriptor)


def _ready(folder: Path) -> None:
    """Make the folder where it is not: every user may add a file to it, and nobody may take another's away."""
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)


def _file_name(role: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in role)


def _locked(path: Path) -> int:
    """The open file of a slot that nobody else holds; -1 where somebody does.

    An existing file is opened for reading: it may be another user's, and a lock needs no more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

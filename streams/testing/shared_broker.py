"""One broker for several processes of a test run, held by a process that runs no tests.

A test process may be ended by a test that hangs or by a client library's fault. Its broker would end with it, and every
later test of the other processes would fail. So the first user starts a holder: this module as a program, with the
folder as its argument and the broker pickled on its standard input. The holder starts the broker, and stops it after
the last use.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.testing.brokers import Broker, BrokerFailed

LOOK_SECONDS = 0.1
LOG_BYTES_SHOWN = 2_000

_holders: list[subprocess.Popen[bytes]] = []
"""Kept until this interpreter ends: Python warns of a process that is forgotten while it runs."""


@contextmanager
def shared(broker: Broker, folder: Path, name: str) -> Iterator[Broker]:
    """The broker that the users of this folder share; `broker` is started where none of them has one yet.

    `name` is this user's own. The last user returns once the broker has ended. Raises `BrokerFailed`.
    """
    if broker.kind == "given":
        yield broker
        return
    meeting = _Meeting(folder)
    with meeting.locked():
        meeting.enter(name)
        try:
            address = meeting.address() or meeting.start_holder(broker)
        except BrokerFailed:
            meeting.leave(name)
            raise
    try:
        yield Broker(broker.kind, address, is_apache=broker.is_apache, why=broker.why)
    finally:
        with meeting.locked():
            meeting.leave(name)
            is_last = not meeting.is_used()
        if is_last:
            meeting.await_end()


class _Meeting:
    """The files through which users and holder know each other: who uses the broker, where it is, who holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "streams-broker"
        self._folder.mkdir(exist_ok=True)
        self._address = self._folder / "address.json"
        self._log = self._folder / "holder.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody enters, leaves or looks meanwhile."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """The holder's life. The kernel frees the lock, however the holder ends."""
        with (self._folder / "holder").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def await_end(self) -> None:
        """Return once there is no holder."""
        with self.held():
            pass

    def address(self) -> str | None:
        """Where the shared broker is; `None` when there is none, or when its holder was killed."""
        if not self._address.exists() or not self._is_held():
            return None
        return str(json.loads(self._address.read_text()))

    def start_holder(self, broker: Broker) -> str:
        """The address of the broker that a new holder started."""
        self._address.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            holder = subprocess.Popen(  # noqa: S603 - this module
                [sys.executable, "-m", __name__, str(self._folder.parent)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # whatever ends its starter does not end it
            )
        _holders.append(holder)
        assert holder.stdin is not None
        with holder.stdin as stdin:
            stdin.write(pickle.dumps(broker))
        while not self._address.exists():
            if holder.poll() is not None:
                said = self._log.read_text(errors="replace")[-LOG_BYTES_SHOWN:].strip()
                raise BrokerFailed(f"the broker did not start: {said}")
            time.sleep(LOOK_SECONDS)
        return str(json.loads(self._address.read_text()))

    def publish(self, bootstrap_servers: str) -> None:
        """Say where the broker is. A reader finds the whole address or none."""
        draft = self._address.with_suffix(".draft")
        draft.write_text(json.dumps(bootstrap_servers))
        draft.replace(self._address)

    def enter(self, name: str) -> None:
        self._user(name).write_text(str(os.getpid()))

    def leave(self, name: str) -> None:
        self._user(name).unlink()

    def is_used(self) -> bool:
        return any(_is_alive(int(user.read_text())) for user in self._folder.glob("*.user"))

    def close(self) -> bool:
        """Remove the address if no running process uses the broker any more."""
        with self.locked():
            if self.is_used():
                return False
            self._address.unlink()
            return True

    def _user(self, name: str) -> Path:
        return self._folder / f"{name}.user"

    def _is_held(self) -> bool:
        with (self._folder / "holder").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _hold(folder: Path, broker: Broker) -> None:
    meeting = _Meeting(folder)
    with meeting.held(), broker:
        meeting.publish(broker.bootstrap_servers)
        while not meeting.close():
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    try:
        _hold(Path(sys.argv[1]), pickle.load(sys.stdin.buffer))  # noqa: S301 - written by the process that started this one
    except Exception as error:  # each kind of broker has its own; the starter tells it
        sys.exit(f"{type(error).__name__}: {error}")

"""One broker for several processes of a test run: the first one starts it, and stops it after the last use."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.testing.brokers import Broker

LOOK_SECONDS = 0.1


@contextmanager
def shared(broker: Broker, folder: Path, name: str) -> Iterator[Broker]:
    """The broker that the users of this folder share; `broker` is started where none of them has one yet.

    `name` is this user's own. The starter leaves last: its end would end the broker under the others.
    """
    users = _Users(folder, name)
    with users.locked():
        address = users.address()
        if address is None:
            broker.start()
            users.publish(broker.bootstrap_servers)
        users.enter()
    if address is not None:
        try:
            yield Broker(broker.kind, address, is_apache=broker.is_apache, why=broker.why)
        finally:
            users.leave()
        return
    try:
        yield broker
    finally:
        users.leave()
        while not users.close():
            time.sleep(LOOK_SECONDS)
        broker.stop()


class _Users:
    """Who uses the broker of a folder, one file each; changed under a lock."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / "streams-broker"
        self._folder.mkdir(exist_ok=True)
        self._mine = self._folder / f"{name}.user"
        self._address = self._folder / "address.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def address(self) -> str | None:
        """Where the shared broker is; `None` when there is none, or when its starter was killed."""
        if not self._address.exists():
            return None
        found = json.loads(self._address.read_text())
        return str(found["bootstrap_servers"]) if _is_alive(found["pid"]) else None

    def publish(self, bootstrap_servers: str) -> None:
        self._address.write_text(json.dumps({"bootstrap_servers": bootstrap_servers, "pid": os.getpid()}))

    def enter(self) -> None:
        self._mine.write_text(str(os.getpid()))

    def leave(self) -> None:
        self._mine.unlink()

    def close(self) -> bool:
        """Remove the address if no running process uses it any more."""
        with self.locked():
            if any(_is_alive(int(user.read_text())) for user in self._folder.glob("*.user")):
                return False
            self._address.unlink()
            return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

"""Deletions of users in Braze (`users.UserDeleteRequest`) as orders to forget them, one for each keeper and read.

An order is a request in the state topic, in the transaction of the records that it is about: so each is given once. The
event tells the id that Braze gave the user, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.delivery.forgotten import ForgottenUser, hash_of, new_salt
from streams.ports.clock import Clock
from streams.ports.errors import JournalBegan
from streams.ports.kafka import Transactions
from streams.ports.state import Journal
from streams.state.records import Request, key

EVENT_TYPE = "users.UserDeleteRequest"
ID_FIELD = "user_id"
WHO = "router"
USERS_MAX = 1_000
"""Of one order."""


class DeleteRequests:
    """`keepers` are those that are ordered: every connector, and `source`. `new_id` makes ids of requests."""

    def __init__(
        self,
        state_topic: str,
        keepers: Sequence[str],
        journal: Journal,
        kept_ms: int,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """`journal` reads the topic of forgotten users; `kept_ms` is how long topics may hold records."""
        self._state_topic = state_topic
        self._keepers = tuple(keepers)
        self._journal = journal
        self._kept_ms = kept_ms
        self._clock = clock
        self._new_id = new_id
        self._salt = ""
        self._users: dict[str, None] = {}

    def begin(self) -> None:
        """A transaction begins: nothing was read for it yet."""
        self._users.clear()

    def add(self, user_id: str | None) -> None:
        """A deletion was read."""
        if user_id:
            self._users[user_id] = None

    def write(self, transactions: Transactions) -> None:
        """The orders, in the transaction that is open. Raises as `Transactions.write` does, and `KafkaUnreachable`."""
        if not self._users:
            return
        salt, now = self._known_salt(), self._clock.epoch_ms()
        hashes = [hash_of(salt, user_id) for user_id in self._users]
        for first in range(0, len(hashes), USERS_MAX):
            arguments = {
                "users": hashes[first : first + USERS_MAX],
                "salt": salt,
                "until": now + self._kept_ms,
                "by": "braze",
            }
            for name in self._keepers:
                request = Request(
                    what="forget", who=WHO, reason=EVENT_TYPE, expires=now + self._kept_ms, arguments=arguments, at=now
                )
                transactions.write(self._state_topic, request.to_bytes(), key("request", name, self._new_id()).encode())

    def close(self) -> None:
        self._journal.close()

    def _known_salt(self) -> str:
        """The salt that others are forgotten with, so that a record is hashed once; a new one where there is none."""
        try:
            records = self._journal.read_to_end()
        except JournalBegan:
            records = self._journal.read_to_end()
        for record in records:
            if record.value is not None:
                self._salt = ForgottenUser.model_validate_json(record.value).salt
        self._salt = self._salt or new_salt()
        return self._salt

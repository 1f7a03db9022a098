"""Redrive: once a scope is VALID, whatever stands after its cursor goes back onto the connector's topic, by itself.

It is a loop, not a job: while a scope is VALID its dead-letter topic is watched, so a slow sink's late letters go back
too. One transaction holds the records and the cursor, so a kill anywhere leaves each letter in one place.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.delivery.letter import returned_headers
from streams.delivery.pace import TokenBucket
from streams.keeping.records import CREDENTIALS, Cursor, Record, key
from streams.workers.office import Office, Outgoing
from streams.workers.ports import Letters, LetterTopics, Message

log = structlog.get_logger(__name__)

LETTERS_PER_TRANSACTION_MAX = 500
"""With values of up to 900 kB the client's queue fills first, and is waited for."""
LOOK_SECONDS = 10.0
"""How often a topic that did not exist is looked for again."""


class Redrive:
    """`rate` is in letters per second, over all scopes. `open_letters` makes a reader; one is kept for each scope."""

    def __init__(
        self,
        scopes: tuple[str, ...],
        topics: LetterTopics,
        open_letters: Callable[[], Letters],
        rate: float,
    ) -> None:
        self._scopes = scopes
        self._topics = topics
        self._open_letters = open_letters
        self._rate = rate
        self._bucket: TokenBucket | None = None
        self._readers: dict[str, Letters] = {}
        self._look_at: dict[str, float] = {}
        self._returned: dict[str, int] = {}

    def begin(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._look_at.clear()

    def step(self, office: Office) -> bool:
        now = office.clock.monotonic()
        if self._bucket is None:
            self._bucket = TokenBucket(self._rate, now)
        is_busy = False
        for scope in self._scopes:
            if office.standing.scope(scope).state == "INVALID":
                self._close(scope)
            elif office.standing.state.state == "RUNNING" and self._bucket.seconds_until(1, now) == 0.0:
                is_busy = self._return_some(office, scope, now) or is_busy
        return is_busy

    def _return_some(self, office: Office, scope: str, now: float) -> bool:
        reader = self._reader(office, scope, now)
        if reader is None:
            return False
        assert self._bucket is not None
        records_max = max(1, min(LETTERS_PER_TRANSACTION_MAX, round(self._rate / 2)))
        page = reader.read(records_max, 0.0)
        if not page.letters:
            if page.ends:
                self._say_done(office, scope)
            return False
        letters_name = CREDENTIALS + scope
        cursors = {message.partition(): message.offset() + 1 for message in page.letters}
        changes: dict[str, Record | None] = {
            key("cursor", office.connector, letters_name, number): Cursor(offset=offset)
            for number, offset in cursors.items()
        }
        changes[key("totals", office.connector)] = office.counted(redriven={"credentials": len(page.letters)})
        office.commit(changes, records=[_returned(message, office.topics.connector) for message in page.letters])
        self._bucket.take(len(page.letters), now)
        self._returned[scope] = self._returned.get(scope, 0) + len(page.letters)
        return True

    def _reader(self, office: Office, scope: str, now: float) -> Letters | None:
        if scope in self._readers:
            return self._readers[scope]
        if now < self._look_at.get(scope, 0.0):
            return None
        letters_name = CREDENTIALS + scope
        partitions = self._topics.partitions(office.topics.dead_letters(letters_name))
        if not partitions:
            self._look_at[scope] = now + LOOK_SECONDS
            return None
        reader = self._open_letters()
        reader.open({(topic, number): office.standing.cursor((letters_name, number)) for topic, number in partitions})
        self._readers[scope] = reader
        return reader

    def _say_done(self, office: Office, scope: str) -> None:
        """Once per run of letters: in the log and in the audit."""
        count = self._returned.pop(scope, 0)
        if count:
            line = {"what": "redriven", "scope": scope, "why": "credentials VALID", "letters": count}
            office.commit({}, audit=[line])
            log.info("redriven", connector=office.connector, scope=scope, letters=count)

    def _close(self, scope: str) -> None:
        reader = self._readers.pop(scope, None)
        if reader is not None:
            reader.close()


def _returned(message: Message, topic: str) -> Outgoing:
    return Outgoing(topic, message.key(), message.value(), returned_headers(message.headers() or []))

"""Redrive: once a scope is VALID, whatever stands after its cursor goes back onto the connector's topic, by itself.

It is a loop, not a job: while a scope is VALID its dead-letter topic is watched, so a slow sink's late letters go back
too. One transaction holds the records and the cursors, so a kill anywhere leaves each letter in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from streams.delivery.letter import returned_headers
from streams.delivery.pace import Share, TokenBucket
from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Letters, LetterTopics
from streams.state.audit import Redriven
from streams.state.records import CREDENTIALS, Cursor, Record, key
from streams.workers.bisection import write_in_parts
from streams.workers.keeper.lease import Lease, Outgoing
from streams.workers.keeper.refused import set_aside

log = structlog.get_logger(__name__)

LETTERS_PER_TRANSACTION_MAX = 500
"""With values of up to 900 kB the client's queue fills first, and is waited for."""
LOOK_SECONDS = 10.0
"""How often a topic that did not exist is looked for again."""


class Redrive:
    """`rate` is in letters per second, over all scopes; one reader watches all that are VALID. `share` is the part of
    the account's rate that letters on their way back may take together, by redrive and by replay."""

    def __init__(
        self, scopes: tuple[str, ...], topics: LetterTopics, reader: Letters, rate: float, share: Share
    ) -> None:
        self._scopes = scopes
        self._topics = topics
        self._reader = reader
        self._rate = rate
        self._share = share
        self._bucket: TokenBucket | None = None
        self._watched: tuple[str, ...] = ()
        self._names: dict[str, str] = {}
        """Scope by topic, of those that are read."""
        self._open: set[Partition] = set()
        """Partitions whose end was not reached since their last letter."""
        self._look_at = 0.0
        self._returned: dict[str, int] = {}

    def begin(self) -> None:
        self._watched = ()
        self._reader.close()  # a client may be unable to read a topic that was made again: the next one can

    def step(self, lease: Lease) -> bool:
        now = lease.clock.monotonic()
        if self._bucket is None:
            self._bucket = TokenBucket(self._rate, now)
        if lease.view.state.state != "RUNNING":
            return False
        valid = tuple(scope for scope in self._scopes if lease.view.scope(scope).state == "VALID")
        if valid != self._watched or (len(self._names) < len(valid) and now >= self._look_at):
            self._watch(lease, valid, now)
        if not self._names or self._bucket.seconds_until(1, now) > 0.0:
            self._share.leave()
            return False
        if self._share.seconds_until(1, now) > 0.0:
            return False
        page = self._reader.read(max(1, min(LETTERS_PER_TRANSACTION_MAX, round(self._rate / 2))), 0.0)
        # The last letters and the end behind them may come in one page.
        last = {(letter.topic(), letter.partition()): letter.offset() for letter in page.letters}
        self._open.update(last)
        self._open.difference_update(place for place, end in page.ends.items() if end > last.get(place, -1))
        if page.letters:
            letters = [letter for letter in page.letters if not self._is_settled(lease, letter)]
            if letters:
                self._return_all(lease, letters)
            self._pass(lease, page.letters)
            self._bucket.take(len(letters), now)
            self._share.take(len(letters), now)
            return True
        if not self._open and self._returned:
            self._say_done(lease)
        return False

    def _watch(self, lease: Lease, valid: tuple[str, ...], now: float) -> None:
        """Read the VALID scopes' letters from their cursors on."""
        starts: dict[Partition, int] = {}
        self._names = {}
        for scope in valid:
            topic = lease.topics.dead_letters(CREDENTIALS + scope)
            for partition in self._topics.partitions(topic):
                starts[partition] = lease.view.cursor((CREDENTIALS + scope, partition[1]))
                self._names[topic] = scope
        self._reader.open(starts)
        self._open = set(starts)
        self._watched = valid
        self._look_at = now + LOOK_SECONDS

    def _is_settled(self, lease: Lease, letter: Message) -> bool:
        """Whether a person's job settled it after this reader was opened."""
        partition = (CREDENTIALS + self._names[letter.topic()], letter.partition())
        return lease.view.is_settled(partition, letter.offset())

    def _return_all(self, lease: Lease, letters: Sequence[Message]) -> None:
        """One that the connector's topic does not take holds up none behind it."""

        def refuse(message: Message, error: RecordsRefused) -> None:
            if lease.topics.connector not in error.refusals:
                raise error
            self._open.add((message.topic(), message.partition()))
            set_aside(lease, CREDENTIALS + self._names[message.topic()], message, error, {})

        write_in_parts(letters, lambda part: self._return(lease, part), refuse)

    def _pass(self, lease: Lease, letters: Sequence[Message]) -> None:
        """Letters that are settled behind the cursor, of users who were to be forgotten, are passed by it."""
        ends: dict[tuple[str, int], int] = {}
        for letter in letters:
            partition = (CREDENTIALS + self._names[letter.topic()], letter.partition())
            if letter.offset() >= lease.view.cursor(partition):
                if not lease.view.is_settled(partition, letter.offset()):
                    return  # Kafka refused it: it is looked at again
                ends[partition] = letter.offset() + 1
        if ends:
            lease.commit(
                {key("cursor", lease.connector, *partition): Cursor(offset=end) for partition, end in ends.items()}
            )

    def _return(self, lease: Lease, letters: Sequence[Message]) -> None:
        changes: dict[str, Record | None] = {}
        counts: dict[str, int] = {}
        for message in letters:
            scope = self._names[message.topic()]
            name = key("cursor", lease.connector, CREDENTIALS + scope, message.partition())
            changes[name] = Cursor(offset=message.offset() + 1)
            counts[scope] = counts.get(scope, 0) + 1
        changes[key("totals", lease.connector)] = lease.counted(redriven={"credentials": len(letters)})
        lease.commit(changes, records=[_returned(message, lease.topics.connector) for message in letters])
        for scope, count in counts.items():
            self._returned[scope] = self._returned.get(scope, 0) + count

    def _say_done(self, lease: Lease) -> None:
        """Once per run of letters: in the audit and in the log."""
        lines = [
            Redriven(why="credentials VALID", scope=scope, letters=count) for scope, count in self._returned.items()
        ]
        lease.commit({}, audit=lines)
        for line in lines:
            log.info("letters redriven", connector=lease.connector, scope=line.scope, letters=line.letters)
        self._returned.clear()


def _returned(message: Message, topic: str) -> Outgoing:
    return Outgoing(topic, message.key(), message.value(), returned_headers(message.headers() or []))

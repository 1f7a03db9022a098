"""Users who are to be forgotten: a sink skips their records, also those that it has read, and tells when nothing of
them is under way any more.

While nobody is to be forgotten a record costs nothing here. Else its user is read and hashed before it is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import structlog

from streams.delivery.batch import Batch
from streams.delivery.forgotten import ForgottenUsers
from streams.delivery.lane import Lane
from streams.delivery.ledger import Ledger
from streams.ports.clock import Clock
from streams.ports.errors import JournalBegan
from streams.ports.kafka import Message
from streams.ports.state import Journal, JournalRecord
from streams.state.records import Record, key
from streams.state.worker_records import Withheld
from streams.workers.sink.encoders import EncoderCache

log = structlog.get_logger(__name__)

FOLLOW_SECONDS = 0.1
FORGOTTEN = "forgotten"
"""The reason under which their records are skipped."""


class Withholding:
    """One connector's. `tell` writes records to the state and says whether they were written."""

    def __init__(
        self,
        connector: str,
        journal: Journal | None,
        encoders: EncoderCache,
        tell: Callable[[Mapping[str, Record]], bool],
        clock: Clock,
    ) -> None:
        self._connector = connector
        self._journal = journal
        self._encoders = encoders
        self._tell = tell
        self._clock = clock
        self._users = ForgottenUsers(connector)
        self._ordered_at = 0
        """Of the newest order that was read."""
        self._is_new = False
        """Whether an order was read and nothing withdrawn since."""
        self._look_at = 0.0
        self._under_way: frozenset[Batch[Message]] | None = None
        """Batches that were in flight when an order was read; None: nothing is to be withdrawn."""
        self._untold: set[int] = set()

    def start(self) -> None:
        """Read whom there is to forget: nothing is sent before. Raises `KafkaUnreachable` and `ValueError`."""
        if self._journal is not None:
            self._apply(self._journal.read_to_end())

    def assigned(self, numbers: Iterable[int]) -> None:
        """Nothing of these partitions was read. Their owner before may have told of an order that did not come here
        yet. Raises `KafkaUnreachable` and `ValueError`."""
        if self._journal is not None:
            self._follow(self._journal.read_to_end)
        self._untold.update(numbers)

    def step(
        self, ledgers: Mapping[int, Ledger[Message]], lanes: Collection[Lane[Message]], flush: Callable[[], None]
    ) -> None:
        """Look for orders, withdraw what waits of these users, and tell it. `flush` gives lanes what is filling."""
        now = self._clock.monotonic()
        if self._journal is not None and now >= self._look_at:
            self._look_at = now + FOLLOW_SECONDS
            self._follow(self._journal.poll)
        if self._is_new:
            self._is_new = False
            self._under_way = frozenset(batch for lane in lanes for batch in lane.in_flight)
            self._untold.update(ledgers)
            flush()
        if self._under_way is not None:
            self._withdraw(ledgers, lanes)
            if not any(batch in lane.in_flight for batch in self._under_way for lane in lanes):
                self._under_way = None
        if self._untold and self._under_way is None:
            self._say(self._untold & ledgers.keys())

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _follow(self, read: Callable[[], Sequence[JournalRecord]]) -> None:
        """Users stay forgotten though the topic was deleted that said so: users on the new one come to them."""
        try:
            self._apply(read())
        except JournalBegan as reason:
            log.warning(
                "records of the users who are known are skipped on", connector=self._connector, reason=str(reason)
            )
            self._apply(read())

    def _apply(self, records: Sequence[JournalRecord]) -> None:
        before = len(self._users)
        is_new = False
        for record in records:
            is_new = self._users.apply(record.key, record.value) or is_new
        if bool(before) != bool(self._users):
            self._encoders.withhold(self._users if self._users else None)
        if is_new:
            self._ordered_at = max(self._ordered_at, self._users.newest_at)
            self._is_new = True
            log.info("records of forgotten users are skipped", connector=self._connector, users=len(self._users))

    def _withdraw(self, ledgers: Mapping[int, Ledger[Message]], lanes: Collection[Lane[Message]]) -> None:
        """What waits of these users is skipped, and so are letters that no commit wrote yet."""
        for lane in lanes:
            lane.withdraw(self._is_withheld, FORGOTTEN)
        for ledger in ledgers.values():
            for letter in ledger.uncommitted_letters:
                if self._is_withheld(letter.source):
                    ledger.unparked(letter, FORGOTTEN)

    def _is_withheld(self, message: Message) -> bool:
        return self._users.holds(self._encoders.ids(message))

    def _say(self, numbers: Collection[int]) -> None:
        if not self._ordered_at:
            self._untold.clear()
            return
        record = Withheld(obeyed=self._ordered_at, at=self._clock.epoch_ms())
        if self._tell({key("withheld", self._connector, number): record for number in numbers}):
            self._untold.clear()

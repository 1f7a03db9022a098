"""The dead letters of a sink: written in the transaction that passes their records, and told in log and audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from streams.delivery.ledger import ParkedRecord
from streams.delivery.letter import Origin, Reason, letter_headers, origin_of
from streams.ports.clock import Clock
from streams.ports.kafka import Message, Transactions
from streams.workers.reading.passed_records import passed_line
from streams.workers.sink.encoders import EncoderCache

log = structlog.get_logger(__name__)

SAY_PARKED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SinkTopics:
    """Names of the topics that a sink reads and writes; `credentials` begins those of credential letters."""

    connector: str
    rejected: str
    credentials: str
    state: str
    audit: str


class SinkLetters:
    """Writes letters. What no dead-letter topic takes is passed: counted by the caller, and named in the audit."""

    def __init__(
        self, connector: str, topics: SinkTopics, *, transactions: Transactions, encoders: EncoderCache, clock: Clock
    ) -> None:
        self._connector = connector
        self._topics = topics
        self._transactions = transactions
        self._encoders = encoders
        self._clock = clock
        self._passed: list[tuple[Origin, str]] = []
        """Records that no topic takes, and why; until a commit has passed them."""
        self._parked: dict[str, int] = {}
        """How many were parked since it was said last, by cause."""
        self._say_parked_at = clock.monotonic()
        self._log = log.bind(connector=connector)

    @property
    def has_passed(self) -> bool:
        """Whether the next commit passes a record that is in no letter."""
        return bool(self._passed)

    def write(self, letters: Sequence[ParkedRecord[Message]], topic_of: Callable[[int], str]) -> None:
        """Write these letters in the open transaction.

        `topic_of` gives the mark of a partition's topic, where the places of letters are remembered; else empty.
        """
        for letter in letters:
            self._write(letter, topic_of(letter.source.partition()))

    def audit_passed(self) -> None:
        """Which records no topic took: in the transaction that passes them."""
        if self._passed:
            line = passed_line(f"sink {self._connector}", self._connector, self._clock.epoch_ms(), self._passed)
            self._transactions.write(self._topics.audit, line.to_bytes(), self._connector.encode())

    def pass_over(self, letter: ParkedRecord[Message], why: str) -> None:
        """No dead-letter topic takes this letter: it is not written."""
        self._passed.append((self._origin(letter.source), why))

    def committed(self, letters: Sequence[ParkedRecord[Message]]) -> None:
        """These letters are written, and what was passed over is passed: say so in the log."""
        self.say_passed()
        self._say_parked(letters)

    def say_passed(self) -> None:
        """Log the records that were passed, and forget them: the audit then names them no more."""
        for origin, why in self._passed:
            self._log.error(
                "record skipped: its dead-letter topic refuses it",
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                why=why,
            )
        self._passed.clear()

    def _say_parked(self, letters: Sequence[ParkedRecord[Message]]) -> None:
        """What was parked since it was said last, by cause: at once, then every 10 s while it goes on."""
        for letter in letters:
            self._parked[letter.cause] = self._parked.get(letter.cause, 0) + 1
        now = self._clock.monotonic()
        if self._parked and now >= self._say_parked_at:
            self._log.warning("records parked", **self._parked)
            self._parked.clear()
            self._say_parked_at = now + SAY_PARKED_SECONDS

    def _write(self, letter: ParkedRecord[Message], topic_mark: str) -> None:
        message = letter.source
        reason = Reason(
            cause=letter.cause,
            status=letter.status,
            detail=letter.detail,
            scope=letter.scope,
            event_type=self._encoders.event_type(message),
            attempts=letter.attempts,
            parked_at_ms=self._clock.epoch_ms(),
            topic=topic_mark,
        )
        headers = letter_headers(message.headers() or [], self._origin(message), reason)
        topic = self._topics.credentials + letter.scope if letter.cause == "credentials" else self._topics.rejected
        self._transactions.write(topic, message.value(), message.key(), headers)

    def _origin(self, message: Message) -> Origin:
        read_from = Origin(message.topic(), message.partition(), message.offset())
        return origin_of(message.headers() or [], read_from)

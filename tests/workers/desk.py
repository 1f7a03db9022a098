"""A keeper's desk on fakes: letters in memory, keepers that take over, and jobs that are carried out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any

from streams.delivery.letter import Origin, Reason, letter_headers
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.ports.errors import TransactionAborted
from streams.ports.schemas import SchemaSource
from streams.state.records import REJECTED, Answer, Job, Request, key
from streams.state.selection import Selection
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeLetters, FakeLetterTopics, FakeMessage, FakeTransactions
from streams.workers.keeper.jobs.cursor import RejectedCursor
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.ways import BackToConnector, Way
from streams.workers.keeper.lease import Lease, LeaseTopics
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver

OPEN = "users.messages.email.Open"
CLICK = "users.messages.email.Click"
TOPICS = LeaseTopics(
    state="streams.state",
    audit="streams.audit",
    connector="streams.connector.growth",
    rejected="streams.dead-letter.growth.rejected",
    credentials="streams.dead-letter.growth.credentials.",
)
CREDENTIALS = "credentials.default"
PARTITIONS = 3
STEPS_MAX = 2_000


def event(number: int, event_type: str = OPEN) -> bytes:
    """Event `event-<number>`, at second 1,790,000,000 + number."""
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    record = {**sample_record(event_type, Random(number), 1_790_000_000), "id": f"event-{number}"}
    return encode_single_object(schema, {**record, "time": 1_790_000_000 + number})


def resolver(clock: MovableClock, *sources: SchemaSource, registry: SchemaSource | None = None) -> SchemaResolver:
    return SchemaResolver(
        shipped(),
        sources,
        registry,
        encoding="auto",
        source_topic_prefix="currents.",
        unknown_schema_seconds_max=60.0,
        clock=clock,
    )


class Desk:
    """The keeper of `growth`. `take_over` begins another lease, as after a kill."""

    def __init__(
        self,
        *,
        topics: LeaseTopics = TOPICS,
        way: Way | None = None,
        connector: str = "growth",
        source: SchemaSource | None = None,
        registry: SchemaSource | None = None,
        clock: MovableClock | None = None,
    ) -> None:
        self.clock = clock or MovableClock()
        self.kafka = FakeKafka(clock=self.clock)
        self.topics, self.connector = topics, connector
        self.letter_topics = FakeLetterTopics(self.kafka, PARTITIONS)
        self._way = way or BackToConnector(topics.connector)
        self._events = EventReader(resolver(self.clock, *([source] if source else []), registry=registry))
        self._ids = count(1)
        self.readers_opened = 0
        self.take_over()

    def take_over(self) -> None:
        self.lease = Lease(
            self.connector,
            self.topics,
            "pod-0",
            transactions=FakeTransactions(self.kafka, f"streams.keeper.{self.connector}"),
            journal=FakeJournal(self.kafka, self.topics.state),
            clock=self.clock,
        )
        self.jobs = Jobs(self._open_letters, self.letter_topics, self._events, self._way)
        self.rejected_cursor = RejectedCursor(self._open_letters, self.letter_topics)

    def _open_letters(self) -> FakeLetters:
        self.readers_opened += 1
        return FakeLetters(self.kafka)

    # Letters.

    def letter(
        self,
        value: bytes | None = b"value",
        *,
        cause: str = "rejected",
        letters: str = REJECTED,
        partition: int = 0,
        replays: int = 0,
        key: bytes | None = b"user",
        detail: str = "refused",
        parked_at: int | None = None,
    ) -> FakeMessage:
        """Park a record that carries a foreign header twice, and one that is not text."""
        offset = len(self.kafka.records.get((self.topics.dead_letters(letters), partition), []))
        headers: list[tuple[str, bytes | None]] = [
            ("foreign", b"one"),
            ("streams-origin", b"currents.%s/%d/%d" % (OPEN.encode(), partition, offset)),
            ("foreign", b"\xff\x00"),
            ("empty", None),
        ]
        if replays:
            verdict = {"status": 400, "detail": "", "scope": "", "parked_at": 0, "attempts": 1, "replays": replays}
            headers.append(("streams-verdict", json.dumps({**verdict, "job": "earlier"}).encode()))
        at = self.clock.epoch_ms() if parked_at is None else parked_at
        origin = Origin(f"currents.{OPEN}", partition, offset)
        parked = letter_headers(headers, origin, Reason(cause, 400, detail, "default", OPEN, 1, at))
        return self.kafka.write(self.topics.dead_letters(letters), value, key, parked, partition)

    def fill(self, amount: int, letters: str = REJECTED) -> None:
        """So many letters, their values their numbers, over all partitions."""
        for number in range(amount):
            self.letter(b"%d" % number, letters=letters, partition=number % PARTITIONS)

    # Orders.

    def ends(self, letters: str = REJECTED) -> dict[str, int]:
        """Where the partitions end now."""
        topic = self.topics.dead_letters(letters)
        return {f"{letters}/{number}": len(log) for (name, number), log in self.kafka.records.items() if name == topic}

    def ask(self, what: str, arguments: Mapping[str, Any], reason: str = "fixed") -> tuple[str, Answer]:
        """A request, answered as a keeper does: one transaction with what it changes."""
        request = Request(
            what=what,  # type: ignore[arg-type]
            who="dana",
            reason=reason,
            expires=self.clock.epoch_ms() + 60_000,
            arguments=arguments,
        )
        request_id = f"job-{next(self._ids)}"
        changes, answer = self.jobs.accept(self.lease, request_id, request)
        self.lease.commit({**changes, key("answer", self.connector, request_id): answer})
        return request_id, answer

    def order(
        self, what: str = "replay", *, rate: float | None = None, revision: int | None = None, **selection: Any
    ) -> str:
        """An order that is taken, of what there is now; the job's id."""
        chosen = Selection(**selection)
        arguments = {
            "selection": chosen.to_arguments(),
            "ends": self.ends(chosen.letters),
            "planned": 1,
            "revision": revision,
            "rate": rate,
        }
        request_id, answer = self.ask(what, arguments)
        assert answer.outcome == "done", answer.detail
        assert answer.content == {"job": request_id}
        return request_id

    def job(self, job_id: str) -> Job:
        return self.lease.view.jobs[job_id]

    def steps(self, job_id: str) -> Iterator[None]:
        """Steps of the keeper until the job has ended; a quarter of a second passes with each."""
        for _ in range(STEPS_MAX):
            if self.job(job_id).status not in ("queued", "running"):
                return
            with suppress(TransactionAborted):
                self.jobs.step(self.lease)
            yield
            self.clock.advance(0.25)
        raise AssertionError(f"the job never ended: {self.job(job_id)}")

    def finish(self, job_id: str) -> Job:
        for _ in self.steps(job_id):
            pass
        return self.job(job_id)

    def settle(self) -> None:
        """Let the cursor pass what it may, a few looks long."""
        for _ in range(10):
            self.rejected_cursor.step(self.lease)
            self.clock.advance(11)

    # What came of it.

    @property
    def returned(self) -> list[FakeMessage]:
        return self.kafka.read(self.topics.connector)

    @property
    def values(self) -> list[bytes | None]:
        return [message.value() for message in self.returned]

    def audit(self, what: str) -> list[dict[str, Any]]:
        lines = [json.loads(message.value() or b"{}") for message in self.kafka.read(self.topics.audit)]
        return [line for line in lines if line["what"] == what]


def verdict(message: FakeMessage) -> dict[str, Any]:
    return json.loads(dict(message.headers() or [])["streams-verdict"] or b"{}")  # type: ignore[no-any-return]

"""A sink of the notebook on fakes of Kafka, HTTP and the clock; it may be killed and begun again."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from streams.delivery.contract import NoResponse, Request, Response
from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate
from streams.delivery.letter import ORIGIN_HEADER, Verdict
from streams.events.schemas import shipped
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.state.records import ScopeState, key
from streams.testing.clock import MovableClock
from streams.testing.memories import FakeMemories
from streams.testing.ports import (
    FakeConsumer,
    FakeJournal,
    FakeKafka,
    FakeMessage,
    FakeTransactions,
    FakeTransport,
    Killed,
)
from streams.wayback.memory import UserMemory, user_memory
from streams.wayback.rows import user_row
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.reading.wait_report import WaitReport
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates
from streams.workers.sink.letters import SinkTopics
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.state_follower import StateFollower
from streams.workers.sink.worker import Sink
from tests.workers.notebook import Notebook, record, said

TOPIC, SENT = "streams.connector.notes", "streams.sent.notes"
REJECTED, CREDENTIALS = "streams.dead-letter.notes.rejected", "streams.dead-letter.notes.credentials."
STATE, AUDIT = "streams.state", "streams.audit"
ID = "streams.sink.notes-0"

Answer = Callable[[Request], Response | NoResponse]


def takes_all(_request: Request) -> Response:
    return Response(200, {}, b"")


class Process:
    """One process of the sink."""

    def __init__(self, stage: CompositionStage, answer: Answer, meter: SinkMeter) -> None:
        clock, kafka = stage.clock, stage.kafka
        self.stage = stage
        self.transport = FakeTransport(answer)
        self.consumer = FakeConsumer(kafka)
        self.memories = FakeMemories(kafka, SENT, clock)
        resolver = SchemaResolver(
            shipped(),
            [],
            None,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=clock,
        )
        encoders = EncoderCache(stage.destination, resolver)
        committer = SinkCommitter(
            "notes",
            SinkTopics(TOPIC, REJECTED, CREDENTIALS, STATE, AUDIT),
            consumer=self.consumer,
            transactions=FakeTransactions(kafka, ID),
            encoders=encoders,
            clock=clock,
        )
        follower = StateFollower("notes", "notes-0", FakeJournal(kafka, STATE), clock)
        by_scope = {scope: Gate(1.0, Random(1)) for scope in stage.destination.scopes}
        gates = Gates("notes", by_scope, follower, committer, FloodRules(), clock)
        self.sink = Sink(
            "notes",
            TOPIC,
            lambda: stage.destination,
            SinkLimits(stage.give_up_seconds),
            SinkPorts(
                consumer=self.consumer,
                transport=self.transport,
                clock=clock,
                keep=lambda _is_ours: None,
                partition_count=lambda: stage.partitions,
                copies=dict,
                memories=self.memories,
                meter=meter,
                report=WaitReport(
                    "notes", "notes-0", state_topic=STATE, transactions=FakeTransactions(kafka), clock=clock
                ),
            ),
            committer=committer,
            gates=gates,
            encoders=encoders,
        )
        gates.start()
        self.consumer.subscribe([TOPIC], self.sink)

    def run(self, seconds: float = 2.0, step_seconds: float = 0.05) -> None:
        """Let the sink work while its clock runs for this long."""
        for _ in range(round(seconds / step_seconds)):
            self.sink.step()
            self.stage.clock.advance(step_seconds)

    @property
    def notes(self) -> list[list[Any]]:
        """All that the requests of this process said, in order."""
        return [note for request in self.transport.requests for note in said(request)]


class CompositionStage:
    """A connector's topic, and what becomes of it."""

    def __init__(self, destination: Notebook | None = None, *, partitions: int = 1) -> None:
        self.kafka = FakeKafka()
        self.clock = MovableClock()
        self.destination = destination or Notebook()
        self.partitions = partitions
        self.give_up_seconds: float | None = None
        for number in range(partitions):
            self.kafka.records[TOPIC, number] = []

    def process(self, answer: Answer = takes_all, meter: SinkMeter = UNMEASURED) -> Process:
        return Process(self, answer, meter)

    def write(
        self,
        user: str,
        name: str,
        *,
        partition: int = 0,
        origin: int | None = None,
        origin_topic: str = TOPIC,
        again: str = "",
        event_id: str = "",
        **properties: Any,
    ) -> FakeMessage:
        """A record on the connector's topic; `origin` is the place that its header tells."""
        headers: list[tuple[str, bytes | None]] = []
        if origin is not None:
            headers.append((ORIGIN_HEADER, f"{origin_topic}/{partition}/{origin}".encode()))
        if again:
            headers.append(("streams-verdict", Verdict(replays=1, job=again, again=again).to_header()))
        return self.kafka.write(TOPIC, record(user, name, event_id, **properties), user.encode(), headers, partition)

    def decide(self, state: str, scope: str = "default") -> None:
        """The keeper's decision of a scope."""
        decided = ScopeState.model_validate({"state": state, "since": self.clock.epoch_ms()})
        self.kafka.write(STATE, decided.to_bytes(), key("scope", "notes", scope).encode())

    @property
    def counts(self) -> dict[str, Any]:
        """The accounts on the last commits, added up."""
        return self.counts_of(0)

    def counts_of(self, partition: int) -> dict[str, Any]:
        return json.loads(self.kafka.committed[TOPIC, partition].metadata)  # type: ignore[no-any-return]

    def committed(self, partition: int = 0) -> int:
        position = self.kafka.committed.get((TOPIC, partition))
        return -1 if position is None else position.offset

    def rows(self, partition: int = 0) -> dict[bytes, bytes]:
        """What Kafka remembers."""
        rows: dict[bytes, bytes] = {}
        for one in self.kafka.records.get((SENT, partition), ()):
            if one.value() is None:
                rows.pop(one.key() or b"", None)
            else:
                rows[one.key() or b""] = one.value() or b""
        return rows

    def user(self, name: str, partition: int = 0) -> UserMemory:
        return user_memory(self.rows(partition).get(user_row(name)))

    @property
    def waits(self) -> list[str]:
        """What partitions wait for, as the state topic tells it."""
        told = [one.value() for one in self.kafka.read(STATE) if (one.key() or b"").startswith(b"waits/")]
        partitions = json.loads(told[-1])["partitions"] if told and told[-1] else {}
        return [one["why"] for one in partitions.values()]

    @property
    def letters(self) -> list[FakeMessage]:
        return self.kafka.read(REJECTED)


def killed(process: Process, seconds: float = 5.0) -> bool:
    """Run until the process is killed, if it is."""
    try:
        process.run(seconds)
    except Killed:
        return True
    return False

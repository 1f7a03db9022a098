"""A sink with a real destination on fakes of Kafka, HTTP and the clock."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from random import Random
from typing import Any, TypeVar

from streams.delivery.account import Account, account
from streams.delivery.contract import Destination, NoResponse, Request, Response
from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate
from streams.delivery.pace import SharedBucket
from streams.destinations import REGISTRY
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.ports.meters import UNMEASURED, KeeperMeter, SinkMeter
from streams.ports.schemas import SchemaSource
from streams.state.credentials import Rules
from streams.state.returned import returned_of
from streams.state.state_view import StateView
from streams.testing.clock import MovableClock
from streams.testing.memories import FakeMemories
from streams.testing.ports import (
    FakeConsumer,
    FakeJournal,
    FakeKafka,
    FakeLetters,
    FakeLetterTopics,
    FakeMessage,
    FakeNotifier,
    FakeTransactions,
    FakeTransport,
)
from streams.workers.keeper.alerts import Alerts
from streams.workers.keeper.commit_copies import CommitCopies, GroupCommits
from streams.workers.keeper.deletion import LetterDeletion
from streams.workers.keeper.expiry import Expiry
from streams.workers.keeper.forget_job import Forgetting
from streams.workers.keeper.group_orders import GroupOrders
from streams.workers.keeper.jobs.cursor import RejectedCursor
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.ways import BackToConnector
from streams.workers.keeper.keeper import Keeper, KeeperDuty
from streams.workers.keeper.known_topics import KnownTopics, MissingRecords
from streams.workers.keeper.lease import Lease, LeaseTopics
from streams.workers.keeper.probes import Probes
from streams.workers.keeper.purge import Purge
from streams.workers.keeper.redrive import Redrive
from streams.workers.keeper.report import StateReport
from streams.workers.keeper.requests import Requests
from streams.workers.keeper.rewrite import Rewrite
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.reading.start_positions import Copied
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates
from streams.workers.sink.letters import SinkTopics
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.state_follower import StateFollower
from streams.workers.sink.worker import Sink

OPEN = "users.messages.email.Open"
TOPIC = "streams.connector.growth"
CONTACT = "growth-team@example.com"
SENT = "streams.sent.growth"
REJECTED = "streams.dead-letter.growth.rejected"
CREDENTIALS = "streams.dead-letter.growth.credentials."
STATE = "streams.state"
FORGOTTEN = "streams.forgotten"
AUDIT = "streams.audit"
Result = TypeVar("Result")
GRACE_SECONDS = 48 * 3_600.0
TOKEN = "0123456789abcdef0123456789abcdef"
MIXPANEL: dict[str, Any] = {"project_token": TOKEN, "base_url": "http://mixpanel.test"}
MPARTICLE: dict[str, Any] = {
    "base_url": "http://mparticle.test",
    "feeds": {
        "ios": {"key": "ios-key", "secret": "ios-secret"},
        "unbound": {"key": "unbound-key", "secret": "unbound-secret"},
    },
}


def events_of(request: Request) -> list[dict[str, Any]]:
    """The events or batches of a request, as the vendor would read them."""
    body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body
    content = json.loads(body)
    return content if isinstance(content, list) else [content]


def imports_all(request: Request) -> Response:
    """Mixpanel's answer when every event was imported; mParticle's 202."""
    if "mparticle" in request.url:
        return Response(202, {}, b"")
    body = json.dumps({"code": 200, "num_records_imported": len(events_of(request)), "status": "OK"})
    return Response(200, {"content-type": "application/json"}, body.encode())


class Stage:
    """One sink and the connector's keeper; `answer` is what the destination says to each request and probe."""

    def __init__(
        self,
        answer: Callable[[Request], Response | NoResponse] = imports_all,
        *,
        destination: str = "mixpanel",
        settings: dict[str, Any] | None = None,
        give_up_seconds: float | None = None,
        source: SchemaSource | None = None,
        registry: SchemaSource | None = None,
        kafka: FakeKafka | None = None,
        clock: MovableClock | None = None,
        grace_seconds: float = GRACE_SECONDS,
        flood: FloodRules | None = None,
        instance: str = "sink-0",
        notifier: FakeNotifier | None = None,
        meter: SinkMeter = UNMEASURED,
        keeper_meter: KeeperMeter = UNMEASURED,
        returning_rate: float | None = None,
        entries: Sequence[str] = (),
    ) -> None:
        self.kafka = kafka or FakeKafka()
        self.clock = clock or MovableClock()
        if self.kafka.clock is None:
            self.kafka.clock = self.clock
        self.transport = FakeTransport(answer)
        self.probes = FakeTransport(answer)
        self.consumer = FakeConsumer(self.kafka)
        self.transactions = FakeTransactions(self.kafka)
        self.notifier = notifier or FakeNotifier()
        self.returning_rate = returning_rate
        self.entries = entries
        self.partitions = 1
        """How many partitions the topic has; 0: no broker answers."""
        self.excess: int | None = None
        """How many more records wait than the account says, where somebody counted."""
        self.missing: MissingRecords | None = None
        """Letters that the account has and no topic holds, where somebody counted."""
        kind = REGISTRY[destination]
        self.settings = settings or (MIXPANEL if destination == "mixpanel" else MPARTICLE)

        def build() -> Destination:
            return kind.build(kind.settings.model_validate(self.settings))

        resolver = SchemaResolver(
            shipped(),
            [source] if source else [],
            registry,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=self.clock,
        )
        self.keeper = self._keeper(build, resolver, grace_seconds, instance, keeper_meter)
        encoders = EncoderCache(build(), resolver)
        follower = StateFollower("growth", instance, FakeJournal(self.kafka, STATE), self.clock)
        committer = SinkCommitter(
            "growth",
            SinkTopics(TOPIC, REJECTED, CREDENTIALS, STATE, AUDIT),
            consumer=self.consumer,
            transactions=self.transactions,
            encoders=encoders,
            clock=self.clock,
            meter=meter,
        )
        spread, base_seconds = Random(1), build().limits.retry_base_seconds
        by_scope = {scope: Gate(base_seconds, spread) for scope in build().scopes}
        gates = Gates("growth", by_scope, follower, committer, flood or FloodRules(), self.clock)
        self.sink = Sink(
            "growth",
            TOPIC,
            build,
            SinkLimits(give_up_seconds),
            SinkPorts(
                consumer=self.consumer,
                transport=self.transport,
                clock=self.clock,
                keep=self.keeper.own,
                partition_count=lambda: self.partitions,
                copies=self.copies,
                forgotten=FakeJournal(self.kafka, FORGOTTEN),
                memories=None if build().composer is None else FakeMemories(self.kafka, SENT, self.clock),
                meter=meter,
            ),
            committer=committer,
            gates=gates,
            encoders=encoders,
        )
        gates.start()
        self.consumer.subscribe([TOPIC], self.sink)
        self._random = Random(5)

    def _keeper(
        self,
        build: Callable[[], Destination],
        resolver: SchemaResolver,
        grace_seconds: float,
        instance: str,
        meter: KeeperMeter,
    ) -> Keeper:
        rules = Rules(grace_seconds)
        topics = self.letter_topics = FakeLetterTopics(self.kafka)
        events = EventReader(resolver)
        reading = FakeLetters(self.kafka)
        probes = Probes(build, self.probes, rules)
        purge = Purge(probes, topics, reading, events, rules)
        self.returning = SharedBucket(self.returning_rate, self.clock.monotonic())
        replay, redrive = self.returning.of("replay"), self.returning.of("redrive")
        jobs = Jobs(lambda: FakeLetters(self.kafka), topics, events, BackToConnector(TOPIC), replay)
        alerts = Alerts(
            self.notifier, rules, purge, probes.scopes, count_parked=lambda: None, run=at_once, contact=CONTACT
        )
        forgetting = Forgetting(
            FORGOTTEN,
            probes.scopes,
            self.entries,
            open_letters=lambda: FakeLetters(self.kafka),
            open_journal=lambda: FakeJournal(self.kafka, FORGOTTEN),
            topics=topics,
            events=events,
        )
        duties: list[KeeperDuty] = [
            KnownTopics(probes.scopes, topics, lambda: self.missing, at_once),
            StateReport(meter, probes.scopes, purge.next_at),
            Requests(probes, jobs, GroupOrders(self.entries, self._places), forgetting),
            probes,
            alerts,
            Redrive(probes.scopes, topics, FakeLetters(self.kafka), 1_000.0, redrive),
            purge,
            Expiry(topics, reading, events),
            jobs,
            forgetting,
            Rewrite(lambda: FakeLetters(self.kafka), topics),
            RejectedCursor(lambda: FakeLetters(self.kafka), topics),
            LetterDeletion(topics),
            CommitCopies(self._committed, lambda: self.excess, at_once),
        ]

        def take_lease() -> Lease:
            return Lease(
                "growth",
                LeaseTopics(STATE, AUDIT, TOPIC, REJECTED, CREDENTIALS),
                instance,
                transactions=FakeTransactions(self.kafka, "streams.keeper.growth"),
                journal=FakeJournal(self.kafka, STATE),
                clock=self.clock,
            )

        return Keeper("growth", take_lease, duties, self.clock, meter)

    def _places(self, topic: str) -> list[tuple[str, int]]:
        return sorted(place for place in self.kafka.records if place[0] == topic)

    def _committed(self) -> GroupCommits:
        commits = {place: (position.offset, position.metadata) for place, position in self.kafka.committed.items()}
        return GroupCommits(commits, sum(json.loads(metadata)["lost"] for _, metadata in commits.values()))

    def event(self, event_type: str = OPEN, **fields: Any) -> FakeMessage:
        """Write an event of user `alice` onto the connector's topic."""
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        record = {**sample_record(event_type, self._random, 1_795_000_000), "external_user_id": "alice", **fields}
        return self.write(encode_single_object(schema, record))

    def write(self, value: bytes | None) -> FakeMessage:
        origin = b"currents.users.messages.email.Open/2/77"
        return self.kafka.write(TOPIC, value, b"alice", [("streams-origin", origin), ("foreign", b"\xff\x00")])

    def run(self, seconds: float = 2.0, step_seconds: float = 0.05) -> None:
        """Let sink and keeper work while their clock runs for this long."""
        for _ in range(round(seconds / step_seconds)):
            self.sink.step()
            self.keeper.step()
            self.clock.advance(step_seconds)

    def copies(self) -> dict[tuple[str, int], Copied]:
        """The keeper's copies of the commits."""
        found = self.view.copies
        return {
            (topic, int(number)): Copied(*commit, copy.topic_id)
            for topic, copy in found.items()
            for number, commit in copy.partitions.items()
        }

    def ask(self, what: str, *, reason: str = "", **arguments: Any) -> None:
        """A person's request on the state topic."""
        now = self.clock.epoch_ms()
        request = {"v": 1, "at": now, "what": what, "who": "ann@desk", "reason": reason, "expires": now + 60_000}
        request["arguments"] = arguments
        number = len(self.kafka.read(STATE))
        self.kafka.write(STATE, json.dumps(request).encode(), f"request/growth/{number}".encode())

    @property
    def committed(self) -> int:
        """The committed offset of partition 0; -1 before the first commit."""
        position = self.kafka.committed.get((TOPIC, 0))
        return -1 if position is None else position.offset

    @property
    def counts(self) -> dict[str, Any]:
        """The account on the last commit."""
        return json.loads(self.kafka.committed[TOPIC, 0].metadata)  # type: ignore[no-any-return]

    @property
    def view(self) -> StateView:
        """How the connector stands, read afresh from the state topic."""
        view = StateView("growth")
        for record in FakeJournal(self.kafka, STATE).poll():
            view.apply(record.key, record.value)
        return view

    @property
    def account(self) -> Account:
        """The connector's account, with everything on its topic that no keeper put there counted as routed."""
        returned = returned_of(self.view)
        sinks = [position.metadata for position in self.kafka.committed.values()]
        routed = len(self.kafka.read(TOPIC)) - returned.back
        return account("growth", sinks, [json.dumps({"v": 1, "routed": {"growth": routed}})], returned)

    @property
    def letters(self) -> list[FakeMessage]:
        return self.kafka.read(REJECTED)

    def credential_letters(self, scope: str = "default") -> list[FakeMessage]:
        return self.kafka.read(CREDENTIALS + scope)

    def audit(self, what: str) -> list[dict[str, Any]]:
        """Audit lines of this kind."""
        lines = [json.loads(record.value() or b"") for record in self.kafka.read(AUDIT)]
        return [line for line in lines if line["what"] == what]


def at_once(call: Callable[[], Result]) -> Future[Result]:
    """Carry a background call out before going on."""
    future: Future[Result] = Future()
    future.set_result(call())
    return future

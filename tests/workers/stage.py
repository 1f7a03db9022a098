"""A sink with the real Mixpanel or mParticle destination on fakes of Kafka, HTTP and the clock."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

from streams.delivery.contract import NoResponse, Request, Response
from streams.destinations import REGISTRY
from streams.events.encoding import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeConsumer, FakeKafka, FakeMessage, FakeTransactions, FakeTransport
from streams.workers.committing import SinkCommitter
from streams.workers.encoding import EncoderCache
from streams.workers.ports import SchemaSource
from streams.workers.resolving import SchemaResolver
from streams.workers.sink import Sink

OPEN = "users.messages.email.Open"
TOPIC = "streams.connector.growth"
REJECTED = "streams.dead-letter.growth.rejected"
AUDIT = "streams.audit"
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
    """One sink; `answer` is what the destination says to each request."""

    def __init__(
        self,
        answer: Callable[[Request], Response | NoResponse] = imports_all,
        *,
        destination: str = "mixpanel",
        settings: dict[str, Any] | None = None,
        give_up_seconds: float | None = None,
        source: SchemaSource | None = None,
        kafka: FakeKafka | None = None,
    ) -> None:
        self.kafka = kafka or FakeKafka()
        self.clock = MovableClock()
        self.transport = FakeTransport(answer)
        self.consumer = FakeConsumer(self.kafka)
        self.transactions = FakeTransactions(self.kafka)
        kind = REGISTRY[destination]
        values = settings or (MIXPANEL if destination == "mixpanel" else MPARTICLE)
        vendor = kind.build(kind.settings.model_validate(values))
        resolver = SchemaResolver(
            shipped(),
            [source] if source else [],
            None,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=self.clock,
        )
        encoders = EncoderCache(vendor, resolver)
        self.sink = Sink(
            "growth",
            TOPIC,
            vendor,
            consumer=self.consumer,
            committer=SinkCommitter(
                "growth",
                TOPIC,
                REJECTED,
                AUDIT,
                consumer=self.consumer,
                transactions=self.transactions,
                encoders=encoders,
                clock=self.clock,
            ),
            transport=self.transport,
            encoders=encoders,
            clock=self.clock,
            random=Random(1),
            give_up_seconds=give_up_seconds,
            records_per_second=None,
            partition_count=lambda: 1,
        )
        self.consumer.subscribe([TOPIC], self.sink)
        self._random = Random(5)

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
        """Let the sink work while its clock runs for this long."""
        for _ in range(round(seconds / step_seconds)):
            self.sink.step()
            self.clock.advance(step_seconds)

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
    def letters(self) -> list[FakeMessage]:
        return self.kafka.read(REJECTED)

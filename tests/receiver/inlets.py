"""What Braze sends to an HTTP inlet, and what of it is on Kafka."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from streams.adapters.kafka.compacted import read_to_end as read_compacted
from streams.delivery.letter import INLET_HEADER, Verdict, header_of, verdict_of
from streams.delivery.received import ReceivedCounts, received_by
from streams.events.schemas import SchemaBook, topic_schema
from streams.ports.errors import KafkaUnreachable
from tests.chaos.scene import Read, read_to_end
from tests.receiver.scene import Door, Given, Receiving
from tests.waiting import wait_until

INLET = "braze-http"
TOKEN = "a-token-of-24-characters"
OTHER_TOKEN = "another-one-of-24-letters"
EMAIL = "users.messages.email.Send"
OPEN = "users.messages.email.Open"
HTTP_INLET: dict[str, Any] = {"kind": "http", "tokens": [TOKEN]}


def event(identity: str, event_type: str = EMAIL, user: str = "ada", **properties: Any) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "id": identity,
        "time": 1_790_000_000,
        "user": {"external_user_id": user, "user_id": f"braze-{user}"},
        "properties": properties,
    }


def post(
    receiver: Door,
    content: Any,
    *,
    inlet: str = INLET,
    token: str | None = TOKEN,
    headers: Mapping[str, str] | None = None,
    is_gzip: bool = False,
) -> Given:
    """A request of Braze. `content` are events, or bytes as they are."""
    body = content if isinstance(content, bytes) else orjson.dumps({"events": content})
    given = {"Content-Type": "application/json", "Braze-Currents-Version": "1"}
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    if is_gzip:
        given["Content-Encoding"] = "gzip"
        body = gzip.compress(body)
    return receiver.request("POST", f"/currents/{inlet}", body, {**given, **(headers or {})})


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter of `source` that came over HTTP."""

    value: bytes
    inlet: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Written:
    """What a read_committed reader sees of a scene's inlets."""

    scene: Receiving

    def topic(self, event_type: str) -> str:
        return self.scene.settings.source.topic_prefix + event_type

    def read(self, event_type: str = EMAIL) -> list[Read]:
        topic = self.topic(event_type)
        names: list[frozenset[str]] = []

        def are_told() -> bool:
            with suppress(KafkaUnreachable):  # a client may need long to find a broker that was away
                names.append(self.scene.administration.topic_names())
            return bool(names)

        wait_until(are_told, "the names of topics")
        if topic not in names[0]:
            return []
        return read_to_end(self.scene.bootstrap_servers, topic)

    def schemas(self) -> SchemaBook:
        rows = read_compacted(
            self.scene.settings.kafka.client_config("streams-test"), self.scene.settings.topics.schemas, "streams-test"
        )
        return SchemaBook(topic_schema(key, value) for key, value in rows.items())

    def events(self, event_type: str = EMAIL) -> list[dict[str, Any]]:
        """By the schemas that are on the topic of schemas, and no others."""
        book = self.schemas()
        found = []
        for one in self.read(event_type):
            value = one.value or b""
            schema = book.by_fingerprint(value[2:10])
            assert schema is not None, "a record came before its schema"
            found.append({name: item for name, item in schema.decode(value, 10).items() if item is not None})
        return found

    def ids(self, event_type: str = EMAIL) -> list[str]:
        return [one["id"] for one in self.events(event_type)]

    def letters(self) -> list[Letter]:
        found = []
        for one in read_to_end(self.scene.bootstrap_servers, self.scene.settings.topics.dead_letter_source):
            headers = one.headers
            verdict = verdict_of(headers)
            assert verdict is not None
            found.append(Letter(one.value or b"", (header_of(headers, INLET_HEADER) or b"").decode(), verdict))
        return found

    def counts(self, inlet: str = INLET) -> ReceivedCounts:
        return received_by(self.scene.rows(), [f"currents:{inlet}"])[f"currents:{inlet}"]

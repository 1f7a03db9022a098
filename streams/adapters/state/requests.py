"""Asks a connector's keeper: a request on the state topic, and the answer that follows it there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.silence import Silence
from streams.config import Settings
from streams.config.names import SOURCE
from streams.ports.errors import KafkaRefusal, KafkaUnreachable, NoKeeperAnswers
from streams.ports.state import What
from streams.state.kinds import parse
from streams.state.records import Answer, Request, key

CLIENT_ID = "streams-requests"
EXPIRES_MS = 60_000
"""A keeper that takes the lease later than this refuses the request: the caller does not wait any more."""
WRITE_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.2
"""A look for the answer lasts so long, so that Ctrl-C is heard."""


class KeeperRequests:
    """The `Keepers` of one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ask(
        self, connector: str, what: What, arguments: Mapping[str, Any], *, who: str, reason: str, wait_seconds: float
    ) -> Answer:
        """The keeper's answer. A caller that stops waiting (time, Ctrl-C) withdraws the request."""
        request_id = uuid4().hex[:12]
        now_ms = time.time_ns() // 1_000_000
        expires = now_ms + EXPIRES_MS
        request = Request(at=now_ms, what=what, who=who, reason=reason, expires=expires, arguments=dict(arguments))
        state = _StateTopic(self._settings)
        request_key = key("request", connector, request_id)
        offset = state.write(request_key, request.to_bytes())
        answer_key = key("answer", connector, request_id)
        try:
            answer = state.follow(answer_key, offset, time.monotonic() + wait_seconds)
        except BaseException:  # Ctrl-C, too: nobody waits for the answer any more
            state.write(request_key, None)
            raise
        if answer is None:
            state.write(request_key, None)
            raise NoKeeperAnswers(
                f"no keeper answered within {wait_seconds:.0f} s: is a {_role(connector)} running? "
                f"The request was withdrawn"
            )
        return answer


class _StateTopic:
    """Writes to the state topic and follows it, for one request."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.state
        self._config = {**settings.kafka.client_config(CLIENT_ID), "log_level": 0}

    def write(self, record_key: str, value: bytes | None) -> int:
        """Write and wait until it is there; its offset."""
        silence = Silence()
        producer = clients.producer(
            {
                **self._config,
                "error_cb": silence,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "message.timeout.ms": round(WRITE_SECONDS_MAX * 1000),
            }
        )
        outcome: list[int | KafkaError] = []
        try:
            self._require_topic(producer, silence)
            producer.produce(
                self._topic,
                value,
                record_key.encode(),
                on_delivery=lambda error, message: outcome.append(error or message.offset() or 0),
            )
            producer.flush(2 * WRITE_SECONDS_MAX)
        finally:
            clients.let_go(producer)
        match outcome:
            case [int(offset)]:
                return offset
            case [KafkaError() as error]:
                if denied := denial(error, topic=self._topic, operation="Write"):
                    raise denied
                raise KafkaUnreachable(f"{self._topic}: the request could not be written: {error.str()}")
            case _:
                raise KafkaUnreachable(f"{self._topic}: the request could not be written: no answer")

    def _require_topic(self, producer: Producer, silence: Silence) -> None:
        """A producer would wait for a missing topic until its message times out."""
        try:
            found = producer.list_topics(self._topic, timeout=WRITE_SECONDS_MAX).topics[self._topic]
        except KafkaException as exception:
            servers, reason = self._config["bootstrap.servers"], silence.reason(producer, exception)
            raise KafkaUnreachable(f"Kafka at {servers} does not answer: {reason}") from exception
        if found.error is not None:
            if denied := denial(found.error, topic=self._topic, operation="Write"):
                raise denied
            raise KafkaRefusal(f"there is no topic {self._topic}; make it with `streams topics apply`")

    def follow(self, answer_key: str, offset: int, deadline: float) -> Answer | None:
        """The answer, if it comes after this offset before the deadline (monotonic seconds)."""
        reader = clients.consumer(
            {
                **self._config,
                "group.id": CLIENT_ID,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        try:
            reader.assign([TopicPartition(self._topic, 0, offset + 1)])
            while time.monotonic() < deadline:
                message = reader.poll(LOOK_SECONDS)
                if message is not None and (error := message.error()) is not None:
                    if denied := denial(error, topic=self._topic, operation="Read", group=CLIENT_ID):
                        raise denied
                    continue
                if message is None or message.key() != answer_key.encode():
                    continue
                value = message.value()
                record = parse(answer_key, value) if isinstance(value, bytes) else None
                if isinstance(record, Answer):
                    return record
        except KafkaException as exception:
            raise KafkaUnreachable(f"{self._topic}: {exception.args[0]}") from exception
        finally:
            reader.close()
        return None


def _role(connector: str) -> str:
    return "router" if connector == SOURCE else f"sink of {connector}"

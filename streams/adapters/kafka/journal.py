"""Follows one partition of one of our topics from its beginning, as committed. The state topic has only one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from streams.adapters.kafka.clients import let_go
from streams.adapters.kafka.made_again import TOPIC_IDS_SECONDS, TopicWatch
from streams.adapters.kafka.readers import read, reader
from streams.adapters.kafka.stalled import StallWatch
from streams.adapters.kafka.written_ends import written_ends
from streams.ports.errors import ClientFatal, JournalBegan, KafkaUnreachable
from streams.ports.state import JournalRecord

log = structlog.get_logger(__name__)

READ_SECONDS_MAX = 60.0
"""If no record and no end comes for this long, Kafka counts as unreachable. A killed keeper stalls readers for 10 s."""
ANSWER_SECONDS_MAX = 10.0
RETRY_SECONDS = 0.2
RENEW_SECONDS = 15.0
"""A client that does not find out for so long where the partition ends is replaced."""
RECORDS_MAX = 500
SAY_SECONDS = 30.0
"""The time between two log lines of one kind."""


class StateJournal:
    """The records of a partition, each once, in order.

    After a broker restarted, a client may say for ever that it does not know the partition, or read nothing without a
    word. A new client then reads on.

    A topic that is deleted and made again has another id: it is looked for every 5 s. A client that knew the old topic
    may read nothing of the new one, or begin in its middle. So a new client reads it, from its beginning.
    """

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str, partition: int = 0) -> None:
        self._topic = topic
        self._options = options
        self._group = client_id  # required by the client; nothing is ever committed
        self._place = Place(topic, partition, OFFSET_BEGINNING)
        self._is_assigned = False
        self._reached = 0
        self._say_at: dict[int, float] = {}
        self._ask_at = 0.0
        self._watch = TopicWatch({**options, "client.id": f"{client_id}-watch"})
        self._stall_watch = StallWatch(self._watch.client, topic, partition)
        self._consumer = self._new_reader()

    def read_to_end(self) -> Sequence[JournalRecord]:
        """All new records, up to the end as it is now. Raises `KafkaUnreachable`.

        If nothing is new, this takes one round trip. So it may be called before each decision that needs it.
        """
        return self._read_to(self._end)

    def read_whole(self) -> Sequence[JournalRecord]:
        """All new records, up to the end that writers see. Raises `KafkaUnreachable`.

        A transaction that another writer left open hides all that was committed behind it. It is waited for: Kafka ends
        it 10 to 20 s after its writer was killed.
        """
        return self._read_to(self._written_end)

    def poll(self) -> Sequence[JournalRecord]:
        """New records, without waiting; perhaps none."""
        self._look(lambda: self._watch.look([self._topic]))
        self._assign()
        if self._stall_watch.look(self._reached):
            self._renew("it reads nothing, and there is more")
        return self._consume(0.0)

    @property
    def topic_id(self) -> str:
        """The topic's id, as it was asked for last; empty where Kafka does not tell."""
        return self._watch.known_id(self._topic)

    def close(self) -> None:
        let_go(self._consumer)
        self._watch.close()

    def _asked_now(self) -> Mapping[str, str]:
        """As it is now: who reads seldom must not act by a topic that is gone. Not asked more often than others ask."""
        now = time.monotonic()
        if now < self._ask_at:
            return {}
        self._ask_at = now + TOPIC_IDS_SECONDS
        return self._watch.ask(self._topic)

    def _look(self, made_again_now: Callable[[], Mapping[str, str]]) -> None:
        """Ask from time to time which topic it is. Raises `JournalBegan` if it is another one."""
        try:
            made_again = made_again_now()
        except KafkaUnreachable as error:
            log.debug("could not read the id of the topic", topic=self._topic, error=str(error))
            return
        if made_again:
            self._watch.remember(made_again)
            self._reached = 0
            self._read_anew(OFFSET_BEGINNING)
            raise JournalBegan(f"{self._topic} was deleted and made again")

    def _read_to(self, end: Callable[[], int]) -> list[JournalRecord]:
        self._look(self._asked_now)
        try:
            self._assign()
            return self._read_until(end())
        except KafkaException as exception:
            raise KafkaUnreachable(f"{self._topic}: {exception.args[0]}") from exception

    def _assign(self) -> None:
        if not self._is_assigned:
            self._consumer.assign([self._place])
            self._is_assigned = True

    def _end(self) -> int:
        """The end of what is committed: it is before any open transaction.

        A broker that restarts answers for some seconds that it does not lead or know the partition. So it is asked
        again.
        """
        deadline = time.monotonic() + READ_SECONDS_MAX
        renew_at = time.monotonic() + RENEW_SECONDS
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(self._place, timeout=ANSWER_SECONDS_MAX)[1])
            except KafkaException as exception:
                if time.monotonic() >= deadline:
                    raise
                if time.monotonic() >= renew_at:
                    renew_at = time.monotonic() + RENEW_SECONDS
                    self._renew(str(exception.args[0]))
            time.sleep(RETRY_SECONDS)
            with suppress(KafkaException):
                self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS_MAX)  # finds out which broker leads now

    def _written_end(self) -> int:
        """The end with what open transactions wrote. Asked for once the reader has found the partition."""
        readable = self._end()
        written = written_ends(self._options, [(self._topic, self._place.partition)])
        return max(readable, *written.values())

    def _renew(self, error: str) -> None:
        """Read on with a new client, from the place that was reached."""
        log.warning("a new Kafka client reads on", topic=self._topic, error=error)
        self._read_anew(self._reached or OFFSET_BEGINNING)
        self._assign()

    def _read_anew(self, offset: int) -> None:
        let_go(self._consumer)
        self._consumer = self._new_reader()
        self._place = Place(self._topic, self._place.partition, offset)
        self._is_assigned = False

    def _new_reader(self) -> Consumer:
        return reader(self._options, self._group, tuning={"fetch.wait.max.ms": 100})

    def _read_until(self, end: int) -> list[JournalRecord]:
        records: list[JournalRecord] = []
        deadline = time.monotonic() + READ_SECONDS_MAX
        while self._reached < end:
            before = self._reached
            records += self._consume(0.5)
            if self._reached > before:
                deadline = time.monotonic() + READ_SECONDS_MAX
            elif time.monotonic() >= deadline:
                raise KafkaUnreachable(f"{self._topic} was not read to its end: no answer for {READ_SECONDS_MAX:.0f} s")
        return records

    def _consume(self, timeout_seconds: float) -> list[JournalRecord]:
        """New records. An end that Kafka reports counts as reached: markers before it are no records, but take
        offsets."""
        reading = read(self._consumer, self._group, RECORDS_MAX, timeout_seconds)
        offsets = [message.offset() + 1 for message in reading.records]
        self._reached = max([self._reached, *offsets, *reading.ends.values()])
        for message in reading.errors:
            error = message.error()
            if error.fatal():
                raise ClientFatal(f"{self._topic} can no longer be read: {error.str()}")
            self._say(error)
        return [_record(message) for message in reading.records]

    def _say(self, error: KafkaError) -> None:
        """Log it; the client goes on by itself. A fault that lasts is logged again every 30 s."""
        now = time.monotonic()
        if now >= self._say_at.get(error.code(), 0.0):
            self._say_at[error.code()] = now + SAY_SECONDS
            log.warning("the Kafka client reports an error", topic=self._topic, error=error.str())


def _record(message: Any) -> JournalRecord:
    kind, written_ms = message.timestamp()
    return JournalRecord(
        (message.key() or b"").decode("utf-8", "replace"),
        message.value(),
        written_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None,
    )

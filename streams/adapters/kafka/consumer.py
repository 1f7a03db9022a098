"""Kafka: a member of a consumer group. Foreign exceptions stop here.

The settings that promises rest on are set here and refused in `kafka.options` (`streams.config`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka import clients
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.time_limits import Patience
from streams.adapters.kafka.topic_ids import GONE, Asked, answered, ask_topic_ids, topic_ids
from streams.ports.errors import ClientFatal, CommitRefused, Fenced, KafkaUnreachable
from streams.ports.kafka import Gap, Listener, Message, Partition, Position, Start

log = structlog.get_logger(__name__)

SESSION_TIMEOUT_MS = 10_000
"""A killed member's partitions go on after this: deliveries must within 15 s. Brokers allow 6 s and more."""
HEARTBEAT_INTERVAL_MS = 2_000
PREFETCH_KILOBYTES_MAX = 8_192
"""Bounds the memory of a consumer that falls behind."""
FETCH_QUEUE_BACKOFF_MS = 10
"""The default of 1,000 ms stalls the fetcher whenever the small prefetch queue is full."""
METADATA_REFRESH_MS = 10_000
CALL_SECONDS_MAX = 10.0
TOPIC_IDS_SECONDS = 5.0
"""How often ids of topics are asked for: a topic that is made again is seen within this, and while nothing comes."""
COMMITTED_SECONDS_MAX = 30.0
"""Reading committed offsets waits for a pending transaction of a killed member: 10 s, and as much again."""
CONTACT_SECONDS_MAX = 60.0
SAY_SECONDS = 30.0
SAY_PARTITIONS = 50
"""So many partitions that start at once are worth a line: it may take seconds."""

GroupProtocol = Literal["classic", "consumer"]


class GroupConsumer:
    """A member of a consumer group that starts where the group committed and never skips in silence.

    The client aborts the process if a second callback follows one that called the same client again. So callbacks do
    the least: what is assigned is looked up after the poll, and what listeners do when partitions are revoked must
    not call this consumer.
    """

    def __init__(self, options: Mapping[str, Any], group: str, protocol: GroupProtocol, client_id: str) -> None:
        self._group = group
        self._protocol = protocol
        self._listener: Listener | None = None
        self._assigned: set[Partition] = set()
        self._failure: BaseException | None = None
        self._events: list[Any] = []
        self._unstarted: set[Partition] = set()
        self._say_at: dict[int, float] = {}
        self._options = {**options, "client.id": client_id, "log_level": 0}
        self._admin: AdminClient | None = None
        self._topic_ids: dict[str, str] = {}
        """Of assigned topics, where Kafka tells them."""
        self._asked: Asked = {}
        self._ask_at = time.monotonic() + TOPIC_IDS_SECONDS
        membership: dict[str, Any] = {}
        grouping: dict[str, Any] = {"group.protocol": protocol}
        if protocol == "classic":
            membership = {
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
            }
            grouping["partition.assignment.strategy"] = "cooperative-sticky"
        self._consumer = clients.consumer(
            {
                "queued.max.messages.kbytes": PREFETCH_KILOBYTES_MAX,
                "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
                "fetch.wait.max.ms": 100,
                "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
                **membership,
                **options,
                **grouping,
                "group.id": group,
                "client.id": client_id,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": False,
                "error_cb": self._say,
            }
        )

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        """Be a member for these topics; calling again changes them."""
        self._listener = listener
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, records_max: int, timeout_seconds: float) -> Sequence[Message]:
        """Records in offset order per partition; rebalances happen inside."""
        for event in self._events:
            self._report(event)
        self._events = []
        messages = self._consume(records_max, timeout_seconds)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._unstarted:
            self._start()
        self._look_for_new_topics()
        records: list[Message] = [message for message in messages if message.error() is None]
        if len(records) != len(messages):
            # Told after the records that came before them: at the next poll.
            self._events = [message for message in messages if message.error() is not None]
        return records

    def commit(self, positions: Sequence[Position]) -> None:
        """Commit and wait for the answer. Raises `CommitRefused` where the group moved on."""
        self._require_assigned(positions)
        try:
            results = self._consumer.commit(offsets=topic_partitions(positions), asynchronous=False)
        except KafkaException as exception:
            self._raise_if_denied(exception.args[0], ", ".join(sorted({position.topic for position in positions})))
            raise CommitRefused(text_of(exception)) from exception
        for result in results or ():
            if result.error is not None:
                raise CommitRefused(str(result.error))

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume([TopicPartition(*partition) for partition in partitions])

    def rewind(self, partition: Partition, offset: int) -> None:
        """Read this partition again from `offset`. A partition that is not ours any more stays away."""
        if partition not in self._assigned:
            return
        place = TopicPartition(*partition, offset)
        try:
            self._consumer.seek(place)
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError._STATE:
                raise
            self._move([place])

    def topics(self) -> frozenset[str]:
        """Every topic that there is; none while no broker answers."""
        try:
            return frozenset(self._consumer.list_topics(timeout=CALL_SECONDS_MAX).topics)
        except KafkaException as exception:
            log.warning("topics not listed", error=text_of(exception))
            return frozenset()

    def known_end(self, partition: Partition) -> int:
        """As the last answer to a fetch told it; -1 where there was none. Asks nobody."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except KafkaException:
            return -1
        return max(-1, int(high))

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; 0 while no broker answers."""
        try:
            metadata = self._consumer.list_topics(topic, timeout=CALL_SECONDS_MAX).topics.get(topic)
        except KafkaException:
            return 0
        return 0 if metadata is None else len(metadata.partitions)

    def await_contact(self, seconds_max: float = CONTACT_SECONDS_MAX) -> None:
        """Wait until a broker answers. Raises `KafkaUnreachable`."""
        patience = Patience(seconds_max)
        while True:
            try:
                self._consumer.list_topics(timeout=min(5.0, seconds_max))
            except KafkaException as exception:
                log.warning("waiting for Kafka", error=text_of(exception))
                if not patience.again():
                    raise KafkaUnreachable(text_of(exception)) from exception
            else:
                return

    @property
    def group(self) -> str:
        return self._group

    def group_metadata(self) -> object:
        """The membership that a transactional commit names: fresh at every commit, for generations move."""
        return self._consumer.consumer_group_metadata()

    def is_assigned(self, partition: Partition) -> bool:
        return partition in self._assigned

    def close(self) -> None:
        """Leave the group. Raises nothing: why the process leaves must not be masked."""
        try:
            self._consumer.close()
        except Exception as error:
            log.warning("the group was not left in order", error=f"{type(error).__name__}: {error}")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            log.warning("the group was left without a last commit", error=str(failure))

    def _consume(self, records_max: int, timeout_seconds: float) -> list[Any]:
        try:
            return list(self._consumer.consume(records_max, timeout_seconds))
        except KafkaException as exception:
            if self._failure is not None:
                return []
            error: KafkaError = exception.args[0]
            if is_fatal(error):
                raise self._fatal(error) from exception
            raise KafkaUnreachable(text_of(exception)) from exception

    def _fatal(self, error: KafkaError) -> Exception:
        """What ends this member for good."""
        if error.code() in (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID):
            return Fenced(error.str())
        hint = ""
        if self._protocol == "consumer":
            hint = "; kafka.group_protocol is consumer (KIP-848), which not every broker has: set it to classic"
        return ClientFatal(f"the Kafka consumer of group {self._group} cannot go on: {error.str()}{hint}")

    def _say(self, error: KafkaError) -> None:
        """Connections that fail, and the like: each kind at once, then every 30 s while it goes on."""
        if is_fatal(error):
            self._failure = self._failure or self._fatal(error)
            return
        now = time.monotonic()
        if now >= self._say_at.get(error.code(), 0.0):
            self._say_at[error.code()] = now + SAY_SECONDS
            log.warning("kafka says", error=str(error))

    def _require_assigned(self, positions: Sequence[Position]) -> None:
        """Brokers take commits of memberships that never were: the guard is ours."""
        for position in positions:
            if (position.topic, position.partition) not in self._assigned:
                raise CommitRefused(f"{position.topic}/{position.partition} is not assigned")

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        def assign() -> None:
            consumer.incremental_assign(partitions)
            # The client remembers a pause beyond the assignment in which it was asked for.
            consumer.resume(partitions)
            new = [(partition.topic, partition.partition) for partition in partitions]
            self._assigned.update(new)
            self._unstarted.update(new)

        self._within_poll(assign)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        def revoke() -> None:
            gone = [(partition.topic, partition.partition) for partition in partitions]
            try:
                if self._listener is not None:
                    self._listener.revoked(gone)
            finally:
                self._assigned.difference_update(gone)
                self._unstarted.difference_update(gone)
                consumer.incremental_unassign(partitions)

        self._within_poll(revoke)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        def lose() -> None:
            gone = [(partition.topic, partition.partition) for partition in partitions]
            self._assigned.difference_update(gone)
            self._unstarted.difference_update(gone)
            if self._listener is not None:
                self._listener.lost(gone)
            consumer.incremental_unassign(partitions)

        self._within_poll(lose)

    def _within_poll(self, act: Callable[[], None]) -> None:
        """librdkafka swallows what its callbacks raise: keep it for the poll that is under way."""
        try:
            act()
        except BaseException as error:
            self._failure = error

    def _start(self) -> None:
        """Tell the listener where new partitions begin; those that were never committed are set to their earliest."""
        unstarted = [TopicPartition(*partition) for partition in sorted(self._unstarted)]
        if len(unstarted) >= SAY_PARTITIONS:
            log.info("asking where partitions begin", partitions=len(unstarted))
        committed = self._committed(unstarted)
        ids = self._learn_ids({one.topic for one in unstarted})
        begun = self._at_earliest([one for one in committed if one.offset == OFFSET_INVALID])
        starts = []
        for one in committed:
            known = Start(one.topic, one.partition, one.offset, one.metadata or "", ids.get(one.topic, ""))
            starts.append(begun.get((one.topic, one.partition), known))
        self._unstarted.clear()
        if self._listener is not None:
            self._listener.assigned(starts)

    def _at_earliest(self, partitions: list[TopicPartition]) -> dict[Partition, Start]:
        """Read these from the earliest record that there is."""
        found = self._earliest(partitions)
        if found:
            self._move([TopicPartition(*partition, offset) for partition, offset in found.items()])
        ids = self._topic_ids
        return {place: Start(*place, offset, None, ids.get(place[0], "")) for place, offset in found.items()}

    # Topics that are deleted and made again while we read them: nothing but their ids tells.

    def _learn_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Ids of topics as they are now; none where Kafka does not tell."""
        try:
            found = topic_ids(self._asker(), topics)
        except KafkaUnreachable as error:
            log.warning("ids of topics not known", error=str(error))
            found = {}
        self._topic_ids.update(found)
        return found

    def _asker(self) -> AdminClient:
        if self._admin is None:
            self._admin = clients.administration_client(self._options)
        return self._admin

    def _look_for_new_topics(self) -> None:
        """Asks now and then, and never waits: an answer that is there is taken."""
        now = time.monotonic()
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return
            asked, self._asked = self._asked, {}
            with suppress(KafkaUnreachable):  # asked again
                self._take_ids(answered(asked))
        elif now >= self._ask_at:
            self._ask_at = now + TOPIC_IDS_SECONDS
            self._asked = ask_topic_ids(self._asker(), {topic for topic, _ in self._assigned})

    def _take_ids(self, found: Mapping[str, str]) -> bool:
        """Begin anew with every topic that is another than it was; whether there was any."""
        ours = {topic for topic, _ in self._assigned}
        anew = {
            topic
            for topic, name in found.items()
            if name != GONE and topic in ours and self._topic_ids.setdefault(topic, name) != name
        }
        if not anew:
            return False
        self._topic_ids.update({topic: found[topic] for topic in anew})
        places = [TopicPartition(*partition) for partition in sorted(self._assigned) if partition[0] in anew]
        starts = list(self._at_earliest(places).values())
        for topic in sorted(anew):
            log.warning("topic was deleted and made again, read from its beginning", topic=topic)
        if self._listener is not None:
            self._listener.made_again(starts)
        return True

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Waits for the pending transaction of a member that was killed, if there is one."""
        patience = Patience(COMMITTED_SECONDS_MAX)
        while True:
            try:
                return self._consumer.committed(partitions, timeout=CALL_SECONDS_MAX)
            except KafkaException as exception:
                self._raise_if_denied(exception.args[0], ", ".join(sorted({one.topic for one in partitions})))
                if not patience.again():
                    raise KafkaUnreachable(text_of(exception)) from exception

    def _move(self, places: list[TopicPartition]) -> None:
        """Read on from these places: a partition that is not being fetched cannot be sought, so it is assigned anew."""
        self._consumer.incremental_unassign(places)
        self._consumer.incremental_assign(places)

    def _earliest(self, partitions: Sequence[TopicPartition]) -> dict[Partition, int]:
        """The first offset of each, asked in one go. Raises `KafkaUnreachable`."""
        if not partitions:
            return {}
        asked = [TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in partitions]
        patience = Patience(COMMITTED_SECONDS_MAX)
        while True:
            try:
                return _offsets(self._consumer.offsets_for_times(asked, timeout=CALL_SECONDS_MAX))
            except KafkaException as exception:
                self._raise_if_denied(exception.args[0], ", ".join(sorted({one.topic for one in partitions})))
                if not patience.again():
                    raise KafkaUnreachable(text_of(exception)) from exception

    def _report(self, message: Any) -> None:
        error: KafkaError = message.error()
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            partition = TopicPartition(message.topic(), message.partition())
            if (partition.topic, partition.partition) not in self._assigned or message.offset() is None:
                return  # it went to another member, or it had no committed offset and was moved to its earliest
            with suppress(KafkaUnreachable):
                if self._take_ids(topic_ids(self._asker(), [partition.topic])):
                    return
            earliest = self._earliest([partition])[partition.topic, partition.partition]
            gap = Gap(partition.topic, partition.partition, message.offset(), earliest)
            self.rewind((partition.topic, partition.partition), earliest)
            if self._listener is not None:
                self._listener.gap(gap)
        elif is_fatal(error):
            raise self._fatal(error)
        else:
            self._raise_if_denied(error, message.topic() or "")
            log.warning("kafka says", error=str(error), topic=message.topic())

    def _raise_if_denied(self, error: KafkaError, topic: str) -> None:
        if denied := denial(error, topic=topic, operation="Read", group=self._group):
            raise denied


def is_fatal(error: KafkaError) -> bool:
    """Whether a client can never go on. As a record's error it does not call itself fatal."""
    return error.fatal() or error.code() == KafkaError._FATAL


def _offsets(found: Sequence[TopicPartition]) -> dict[Partition, int]:
    """The offset of each; 0 for one that was deleted meanwhile: there is nothing to skip. Raises `KafkaException`."""
    offsets = {}
    for one in found:
        if one.error is not None and one.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaException(one.error)
        offsets[one.topic, one.partition] = max(0, one.offset)
    return offsets


def topic_partitions(positions: Sequence[Position]) -> list[TopicPartition]:
    """Offsets with their metadata, as the client takes them."""
    return [
        TopicPartition(position.topic, position.partition, position.offset, position.metadata) for position in positions
    ]


def text_of(exception: KafkaException) -> str:
    """What the client says."""
    return str(exception.args[0]) if exception.args else type(exception).__name__

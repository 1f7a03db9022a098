"""Kafka's administration: topics and their settings, groups' offsets with their metadata, ends of topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from streams.adapters.kafka import clients
from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import reader
from streams.adapters.kafka.silence import Silence
from streams.adapters.kafka.topic_ids import topic_ids
from streams.config.kafka import ClientConfig
from streams.config.topology import ActualTopic
from streams.ports.cluster import Commit
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.ports.kafka import Partition

ANSWER_SECONDS_MAX = 10.0
"""A person waits at the terminal. Kafka counts as unreachable after this time."""

COORDINATOR_RETRY_SECONDS = 0.2
LEADER_RETRY_SECONDS = 0.02
"""A broker leads a new partition within a few of these."""

_COORDINATOR_STARTS = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
"""A broker answers this while it still reads the group's offsets, after it started or took the group over."""

_LEADER_UNKNOWN = frozenset(
    {
        KafkaError._NOENT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""A partition is answered so while its topic is being made, and while another broker takes it over."""

_SILENT = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    }
)

Answer = TypeVar("Answer")


class Administration:
    """A `Cluster`: one connection. Every method raises `KafkaUnreachable` and `KafkaRefusal`."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._silence = Silence()
        self._readers: dict[str, Consumer] = {}
        self._client = self._connect()

    def _connect(self) -> AdminClient:
        return clients.administration_client({**self._config, "log_level": 0}, self._silence)

    def close(self) -> None:
        for consumer in self._readers.values():
            clients.let_go(consumer)
        self._readers.clear()
        clients.let_go(self._client)

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        return len(self._metadata().brokers)

    def broker_setting(self, name: str) -> str | None:
        """A setting of one broker; None if it has no setting of that name."""
        broker = next(iter(self._metadata().brokers))
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        found = self._call(lambda: self._client.describe_configs([resource], request_timeout=ANSWER_SECONDS_MAX))
        settings = self._answer(found[resource], f"broker {broker}")
        return str(settings[name].value) if name in settings else None

    def topic_setting(self, name: str, topics: Collection[str]) -> dict[str, str]:
        """One setting of these topics. Topics that are gone, or whose settings may not be read, are left out."""
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in sorted(topics)]
        futures = self._call(lambda: self._client.describe_configs(resources, request_timeout=ANSWER_SECONDS_MAX))
        found = {}
        for resource, future in futures.items():
            try:
                settings = self._answer(future, resource.name)
            except KafkaRefusal:
                continue
            if name in settings:
                found[resource.name] = str(settings[name].value)
        return found

    def topic_names(self) -> frozenset[str]:
        return frozenset(self._metadata().topics)

    def topics(self, prefix: str) -> dict[str, ActualTopic]:
        """Topics whose names begin with `prefix`, with their settings."""
        metadata = self._metadata().topics
        names = [name for name in metadata if name.startswith(prefix)]
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found = self._call(lambda: self._client.describe_configs(resources, request_timeout=ANSWER_SECONDS_MAX))
        settings = {resource.name: self._answer(future, resource.name) for resource, future in found.items()}
        return {
            name: ActualTopic(
                name,
                partitions=len(metadata[name].partitions),
                replication=min((len(part.replicas) for part in metadata[name].partitions.values()), default=0),
                configuration={key: str(entry.value) for key, entry in settings[name].items()},
            )
            for name in names
        }

    def create_topic(self, name: str, partitions: int, replication: int, configuration: Mapping[str, str]) -> bool:
        """Create a topic, and return once its partitions can be used; False if it exists already."""
        topic = NewTopic(name, partitions, replication, config=dict(configuration))
        futures = self._call(lambda: self._client.create_topics([topic], operation_timeout=ANSWER_SECONDS_MAX))
        try:
            answer_of(futures[name], 2 * ANSWER_SECONDS_MAX)
        except KafkaException as exception:
            if exception.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise self._failure(exception, name) from exception
        with suppress(KafkaUnreachable, KafkaRefusal):  # it is made, also where nothing else of it may be seen
            self.starts([(name, number) for number in range(partitions)])
        return True

    def configure_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings of a topic, and leave the others as they are."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        futures = self._call(
            lambda: self._client.incremental_alter_configs([resource], request_timeout=ANSWER_SECONDS_MAX)
        )
        for future in futures.values():
            self._answer(future, name)

    def commits(self, group: str, topics: Collection[str]) -> dict[Partition, Commit]:
        """What a group committed for these topics. Partitions without a commit are left out.

        A consumer that never joins the group asks. The admin client has a call for this, but it crashes the whole
        process if the coordinator has just moved (librdkafka issue 5040). Pending transactions are not waited for:
        the answer is the last commit that is complete.
        """
        if group in self._readers:
            clients.forget_errors(self._readers[group])
        metadata = self._metadata().topics
        wanted = [
            TopicPartition(topic, number)
            for topic in topics
            if topic in metadata
            for number in metadata[topic].partitions
        ]
        if not wanted:
            return {}
        if group not in self._readers:
            own = {"log_level": 0, "group.id": group, "isolation.level": "read_uncommitted"}
            self._readers[group] = clients.consumer({**clients.unhurried(self._config), **own})
        found = self._of_group(group, lambda: self._readers[group].committed(wanted, timeout=ANSWER_SECONDS_MAX))
        return {
            (part.topic, part.partition): Commit(part.offset, part.metadata or "")
            for part in found or ()
            if part.offset >= 0
        }

    def members(self, group: str) -> int:
        """How many processes are in the group now.

        A broker must have answered just before, and a failed question is the last of its client: `Membership` says why.
        """
        self._metadata()
        found = self._of_group(group, lambda: self._described(group))
        return 0 if found is None else len(found.members or ())

    def _described(self, group: str) -> Any:
        futures = self._client.describe_consumer_groups([group], request_timeout=ANSWER_SECONDS_MAX)
        try:
            return answer_of(futures[group], 2 * ANSWER_SECONDS_MAX)
        except KafkaException as exception:
            if exception.args[0].code() in _SILENT:
                clients.let_go(self._client)
                self._client = self._connect()
            raise

    def _of_group(self, group: str, call: Callable[[], Any]) -> Any:
        """The answer of the group's coordinator. Asks again while it starts. None: there is no such group."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            try:
                return call()
            except KafkaException as exception:
                code = exception.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return None
                if code not in _COORDINATOR_STARTS or time.monotonic() >= deadline:
                    raise self._failure(exception, group) from exception
            time.sleep(COORDINATOR_RETRY_SECONDS)

    def partitions(self, *topics: str) -> tuple[Partition, ...]:
        """The partitions of these topics. Topics that do not exist are left out."""
        there = self._metadata().topics
        return tuple((name, number) for name in topics if name in there for number in sorted(there[name].partitions))

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """The ids that these topics have now, as far as Kafka tells."""
        return topic_ids(self._client, topics)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where a read_committed reader of each partition would stop now."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._offsets(partitions, latest, IsolationLevel.READ_COMMITTED)

    def high_watermarks(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The end of each partition. Records of open transactions are before it, too."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._offsets(partitions, latest, IsolationLevel.READ_UNCOMMITTED)

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that is still there."""
        earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        return self._offsets(partitions, earliest, IsolationLevel.READ_UNCOMMITTED)

    def _offsets(
        self, partitions: Iterable[Partition], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[Partition, int]:
        unanswered = {TopicPartition(*partition): spec for partition in partitions}
        found = dict[Partition, int]()
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while unanswered:
            asked = self._call(
                lambda wanted=unanswered: self._client.list_offsets(  # type: ignore[misc]
                    wanted, isolation_level=isolation, request_timeout=ANSWER_SECONDS_MAX
                )
            )
            unanswered = {}
            for place, future in asked.items():
                try:
                    found[place.topic, place.partition] = answer_of(future, 2 * ANSWER_SECONDS_MAX).offset
                except KafkaException as exception:
                    if exception.args[0].code() not in _LEADER_UNKNOWN:
                        raise self._failure(exception, place.topic) from exception
                    if time.monotonic() >= deadline:
                        raise self._failure(exception, place.topic) from exception
                    unanswered[place] = spec
            if unanswered:
                time.sleep(LEADER_RETRY_SECONDS)
                for topic in {place.topic for place in unanswered}:
                    # Else the client may say for ever that there is no leader, without asking a broker.
                    self._call(lambda name=topic: self._client.list_topics(name, timeout=ANSWER_SECONDS_MAX))  # type: ignore[misc]
        return found

    def oldest_ms(self, positions: Mapping[Partition, int]) -> int | None:
        """When the oldest record from these offsets on was written (ms since 1970), as far as found in time."""
        return min(self._first_written_ms(positions, "read_committed").values(), default=None)

    def first_written_ms(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """When the first record from each offset on was written (ms since 1970), committed or not."""
        return self._first_written_ms(positions, "read_uncommitted")

    def _first_written_ms(
        self, positions: Mapping[Partition, int], isolation: Literal["read_committed", "read_uncommitted"]
    ) -> dict[Partition, int]:
        starts = [TopicPartition(*partition, offset) for partition, offset in positions.items()]
        if not starts:
            return {}
        # One record of each partition is enough. By default the client would fetch megabytes of each.
        sparing = {"fetch.message.max.bytes": 1_000, "queued.max.messages.kbytes": 1_024, "fetch.queue.backoff.ms": 10}
        client_id = str(self._config["client.id"])
        consumer = reader({**self._config, "log_level": 0}, client_id, tuning=sparing, isolation=isolation)
        try:
            consumer.assign(starts)
            return _times_of_first(consumer, set(positions))
        finally:
            consumer.close()

    def _metadata(self) -> Any:
        return self._call(lambda: self._client.list_topics(timeout=ANSWER_SECONDS_MAX))

    def _call(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except KafkaException as exception:
            raise self._failure(exception, "") from exception

    def _answer(self, future: Future[Any], what: str) -> Any:
        try:
            return answer_of(future, 2 * ANSWER_SECONDS_MAX)
        except KafkaException as exception:
            raise self._failure(exception, what) from exception

    def _failure(self, exception: KafkaException, what: str) -> KafkaUnreachable | KafkaRefusal:
        if denied := denial(exception.args[0], topic=what, group=what):
            return KafkaRefusal(str(denied))
        if exception.args[0].code() not in _SILENT:
            return KafkaRefusal(f"{what}: {_text(exception)}" if what else _text(exception))
        servers = self._config["bootstrap.servers"]
        reason = self._silence.reason(self._client, exception)
        return KafkaUnreachable(f"Kafka at {servers} does not answer: {reason}")


def _times_of_first(consumer: Consumer, waiting: set[Partition]) -> dict[Partition, int]:
    """Read one record of each partition, or its end. Partitions that do not answer in time are left out."""
    found: dict[Partition, int] = {}
    empty_polls_left = 5
    while waiting and empty_polls_left:
        message = consumer.poll(1.0)
        if message is None:
            empty_polls_left -= 1
            continue
        partition = (message.topic() or "", message.partition() or 0)
        if partition not in waiting:
            continue
        waiting.discard(partition)
        error = message.error()
        if error is not None and (denied := denial(error, topic=partition[0], operation="Read")):
            raise KafkaRefusal(str(denied))
        if error is None:
            found[partition] = message.timestamp()[1]
    return found


def _text(exception: KafkaException) -> str:
    error = exception.args[0]
    return error.str() if isinstance(error, KafkaError) else str(error)

"""Kafka: a member of a consumer group. Foreign exceptions stop here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.client_errors import ending_error, is_fatal, text_of
from streams.adapters.kafka.client_topics import ClientTopics
from streams.adapters.kafka.group_offsets import GroupOffsets, raise_if_denied
from streams.adapters.kafka.made_again import TopicWatch
from streams.adapters.kafka.member_commits import MemberCommits
from streams.adapters.kafka.member_settings import GroupProtocol, member_settings
from streams.adapters.kafka.membership import Membership, Tell
from streams.adapters.kafka.read_places import Meaning, ReadPlaces
from streams.adapters.kafka.time_limits import CALL_SECONDS_MAX, CONTACT_SECONDS_MAX, Patience
from streams.adapters.kafka.topic_ids import topic_ids
from streams.delivery.metadata import is_of_another_topic
from streams.ports.errors import CommitRefused, KafkaUnreachable
from streams.ports.kafka import Gap, Listener, Message, Partition, Position, Start

log = structlog.get_logger(__name__)

SAY_SECONDS = 30.0
SAY_PARTITIONS = 50
"""If this many partitions start at once, it may take seconds: then it is logged."""


class GroupConsumer:
    """A member of a consumer group. It starts where the group committed, and reports every record that it skips.

    If a callback calls the client and a second callback follows, the client aborts the process. So callbacks do as
    little as possible: offsets of new partitions are asked for after the poll, and a listener's `revoked` must not
    call this consumer.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        group: str,
        protocol: GroupProtocol,
        client_id: str,
        tell_membership: Tell = lambda _is_known: None,
        *,
        reads: bool = True,
    ) -> None:
        """`reads`: False if the member only takes part in the group and never reads a record."""
        self._group = group
        self._protocol = protocol
        self._reads = reads
        self._settings = {**member_settings(options, group, protocol, client_id), "error_cb": self._say}
        self._listener: Listener | None = None
        self._assigned: set[Partition] = set()
        self._failure: BaseException | None = None
        self._events: list[Any] = []
        self._unstarted: set[Partition] = set()
        self._is_second_try = False
        """Whether this client follows one that Kafka did not answer, and has begun no partition yet."""
        self._moved: set[Partition] = set()
        """Partitions that were set to another place since the last read."""
        self._say_at: dict[int, float] = {}
        asking = {**options, "client.id": client_id, "log_level": 0}
        self._topics = TopicWatch(asking)
        self._commits = MemberCommits(group, self._topics.client)
        self._membership = Membership(lambda: clients.administration_client(asking), group, tell_membership)
        self._subscribed: Sequence[str] = ()
        self._open_client()

    def _open_client(self) -> None:
        self._consumer = clients.consumer(self._settings)
        self._offsets = GroupOffsets(self._consumer, self._group)
        self._places = ReadPlaces(self._consumer)
        self._client_topics = ClientTopics(self._topics.client)

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        """Be a member for these topics; calling again changes them."""
        self._listener, self._subscribed = listener, topics
        told = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_lost}
        self._consumer.subscribe(list(topics), **told)

    def poll(self, records_max: int, timeout_seconds: float) -> Sequence[Message]:
        """Records in offset order per partition; rebalances happen inside."""
        if self._reads and (unread := self._client_topics.missed()):
            self._renew("topic was made again and is not read", unread)
            return ()
        if unread := self._membership.left_out():
            self._renew("the group gave partitions to nobody", unread)
            return ()
        events, self._events = self._events, []
        for event in events:
            self._report(event)
        self._moved.clear()
        messages = self._consume(records_max, timeout_seconds)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # else it would refer to itself by this frame, and keep what its frames hold
        if self._unstarted and not self._has_started():
            return ()
        with suppress(KafkaUnreachable):  # asked again
            self._begin_again(self._topics.look({topic for topic, _ in self._assigned}))
        if self._subscribed:
            self._membership.look(self._consumer.memberid() or "", self._subscribed)
        if self._moved:  # what was read of them is of the place before
            messages = [one for one in messages if (one.topic(), one.partition()) not in self._moved]
        records: list[Message] = [message for message in messages if message.error() is None]
        self._client_topics.read(records)
        if len(records) != len(messages):
            # The records come first. The events that followed them are reported at the next poll.
            self._events += [message for message in messages if message.error() is not None]
        return records

    def commit(self, positions: Sequence[Position]) -> None:
        """Commit and wait for the answer. Raises `CommitRefused` if the group has given the partitions to others, and
        `ClientFatal` if the client hangs."""
        self._require_assigned(positions)
        self._commits.commit(self._consumer, positions)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume([TopicPartition(*partition) for partition in partitions])

    def rewind(self, partition: Partition, offset: int) -> None:
        """Read this partition again from `offset`. Does nothing if the partition is no longer assigned."""
        if partition not in self._assigned:
            return
        self._moved.add(partition)
        place = TopicPartition(*partition, offset)
        self._places.put([place])
        try:
            self._consumer.seek(place)
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError._STATE:
                raise
            self._move([place])

    def topics(self) -> frozenset[str]:
        """All topics; none while no broker answers."""
        try:
            return frozenset(self._consumer.list_topics(timeout=CALL_SECONDS_MAX).topics)
        except KafkaException as exception:
            log.warning("could not list the topics", error=text_of(exception))
            return frozenset()

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The ids that these topics have now; those that do not exist are left out. Raises `KafkaUnreachable`."""
        return topic_ids(self._topics.client(), topics)

    def known_end(self, partition: Partition) -> int:
        """The end of the partition, from the last answer to a fetch; -1 if there was none. Makes no request."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except KafkaException:
            return -1
        return max(-1, int(high))

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; 0 while no broker answers."""
        try:
            # Not the consumer: it would know the topic's epochs from now on (see `ClientTopics`).
            metadata = self._topics.client().list_topics(topic, timeout=CALL_SECONDS_MAX).topics.get(topic)
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
        """The membership that a transactional commit names. Ask for it at every commit: each rebalance changes it."""
        return self._consumer.consumer_group_metadata()

    def is_assigned(self, partition: Partition) -> bool:
        return partition in self._assigned

    def close(self) -> None:
        """Leave the group. Raises nothing: another error must not hide why the process ends."""
        self._commits.close()
        self._topics.close()
        self._membership.close()
        if self._commits.hangs:  # to close it would wait for ever
            return
        try:
            self._consumer.close()
        except Exception as error:  # it is told, and does not hide why the process ends
            log.warning("could not leave the group in the normal way", error=f"{type(error).__name__}: {error}")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            log.warning("left the group without a last commit", error=str(failure))

    def _consume(self, records_max: int, timeout_seconds: float) -> list[Any]:
        try:
            return list(self._consumer.consume(records_max, timeout_seconds))
        except KafkaException as exception:
            if self._failure is not None:
                return []
            error: KafkaError = exception.args[0]
            if is_fatal(error):
                raise ending_error(error, self._group, self._protocol) from exception
            raise KafkaUnreachable(text_of(exception)) from exception

    def _say(self, error: KafkaError) -> None:
        """Log failed connections and other faults: each kind at once, then every 30 s while it lasts."""
        if is_fatal(error):
            self._failure = self._failure or ending_error(error, self._group, self._protocol)
            return
        now = time.monotonic()
        if now >= self._say_at.get(error.code(), 0.0):
            self._say_at[error.code()] = now + SAY_SECONDS
            log.warning("the Kafka client reports an error", error=str(error))

    def _require_assigned(self, positions: Sequence[Position]) -> None:
        """Brokers accept commits from a process that is no member: so we check here."""
        for position in positions:
            if (position.topic, position.partition) not in self._assigned:
                raise CommitRefused(f"{position.topic}/{position.partition} is not assigned")

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        def assign() -> None:
            consumer.incremental_assign(partitions)
            # The client keeps a partition paused when it is assigned again.
            consumer.resume(partitions)
            new = [(partition.topic, partition.partition) for partition in partitions]
            self._places.forget(new)
            self._assigned.update(new)
            self._unstarted.update(new)

        self._within_poll(assign)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            consumer.incremental_unassign(partitions)  # an older client leaves; its listener knows
            return

        def revoke() -> None:
            gone = [(partition.topic, partition.partition) for partition in partitions]
            try:
                if self._listener is not None:
                    self._listener.revoked(gone)
            finally:
                self._assigned.difference_update(gone)
                self._unstarted.difference_update(gone)
                self._client_topics.taken_away(gone)
                consumer.incremental_unassign(partitions)

        self._within_poll(revoke)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        def lose() -> None:
            self._membership.lost()
            gone = [(partition.topic, partition.partition) for partition in partitions]
            self._assigned.difference_update(gone)
            self._unstarted.difference_update(gone)
            self._client_topics.taken_away(gone)
            if self._listener is not None:
                self._listener.lost(gone)
            consumer.incremental_unassign(partitions)

        self._within_poll(lose)

    def _within_poll(self, act: Callable[[], None]) -> None:
        """librdkafka drops what a callback raises. Keep it; `poll` raises it."""
        try:
            act()
        except BaseException as error:  # a callback of librdkafka: `poll` raises it
            self._failure = error

    def _has_started(self) -> bool:
        """Whether new partitions have begun. False: Kafka answers others and not this client, so a new one joins the
        group; once, then `KafkaUnreachable` is raised."""
        unstarted = {topic for topic, _ in self._unstarted}
        try:
            self._start()
        except KafkaUnreachable as error:
            if self._is_second_try or not any(map(self.partitions_of, unstarted)):
                raise
            self._is_second_try = True
            self._renew(f"Kafka answers others and not this client ({error})", unstarted)
            return False
        self._is_second_try = False
        return True

    def _start(self) -> None:
        """Tell the listener where new partitions begin. Partitions without a commit begin at their earliest record."""
        unstarted = [TopicPartition(*partition) for partition in sorted(self._unstarted)]
        if len(unstarted) >= SAY_PARTITIONS:
            log.info("asking where partitions begin", partitions=len(unstarted))
        committed = self._offsets.committed(unstarted)
        read_already = {topic for topic, _ in self._assigned - self._unstarted}
        ids = self._topics.learn({one.topic for one in unstarted}, read_already)
        self._begin_again(self._topics.changed(ids, read_already))
        others = {place_of(one) for one in committed if is_of_another_topic(one.metadata, ids.get(one.topic, ""))}
        begun = self._at_earliest([one for one in committed if one.offset == OFFSET_INVALID or place_of(one) in others])
        starts = []
        for one in committed:
            start = Start(*place_of(one), one.offset, one.metadata or "", ids.get(one.topic, ""))
            if place_of(one) in others:
                log.warning("topic was deleted and made again: it is read from its beginning", topic=one.topic)
                start = replace(begun[place_of(one)], metadata=start.metadata, is_made_again=True)
            starts.append(start if start.is_made_again else begun.get(place_of(one), start))
        self._unstarted.clear()
        self._client_topics.begun(starts)
        if self._listener is not None:
            self._listener.assigned(starts)

    def _at_earliest(self, partitions: list[TopicPartition]) -> dict[Partition, Start]:
        """Read these from their earliest record."""
        return self._begin_at(self._offsets.earliest(partitions))

    def _begin_at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Start]:
        if offsets:
            self._move([TopicPartition(*partition, offset) for partition, offset in offsets.items()])
        id_of = self._topics.known_id
        return {place: Start(*place, offset, None, id_of(place[0])) for place, offset in offsets.items()}

    def _begin_again(self, made_again: Mapping[str, str]) -> bool:
        """Read topics that were made again from their beginning. `made_again` has their new ids. Returns whether
        there are any."""
        if not made_again:
            return False
        places = [TopicPartition(*partition) for partition in sorted(self._assigned) if partition[0] in made_again]
        earliest = self._offsets.earliest(places)
        self._topics.remember(made_again)
        starts = list(self._begin_at(earliest).values())
        self._client_topics.begun(starts)
        for topic in sorted(made_again):
            log.warning("topic was deleted and made again: it is read from its beginning", topic=topic)
        if self._listener is not None:
            self._listener.made_again(starts)
        return True

    def _renew(self, why: str, unread: Collection[str]) -> None:
        """Leave the group, and join it again with a new client, because these topics are not read."""
        log.warning(f"{why}: a new Kafka client joins the group", topics=sorted(unread))
        given, outdated = sorted(self._assigned), self._consumer
        try:
            if self._listener is not None:
                self._listener.revoked(given)  # the client is still a member: the worker may commit
        finally:
            self._assigned.clear()
            self._unstarted.clear()
            self._moved.clear()
            self._events.clear()
        self._open_client()
        clients.let_go(outdated)
        if self._listener is not None:
            self.subscribe(self._subscribed, self._listener)

    def _move(self, places: list[TopicPartition]) -> None:
        """Read on from these places. The client can seek only in a partition that it fetches, so each is assigned
        again."""
        self._moved.update(place_of(one) for one in places)
        self._places.put(places)
        self._consumer.incremental_unassign(places)
        self._consumer.incremental_assign(places)

    def _report(self, message: Any) -> None:
        error: KafkaError = message.error()
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            try:
                self._out_of_range(message)
            except KafkaUnreachable:
                self._events.append(message)  # asked again at the next poll
        elif is_fatal(error):
            raise ending_error(error, self._group, self._protocol)
        else:
            raise_if_denied(error, message.topic() or "", self._group)
            log.warning("the Kafka client reports an error", error=str(error), topic=message.topic())

    def _out_of_range(self, message: Any) -> None:
        """The broker does not have the offset that is read next. Raises `KafkaUnreachable`."""
        partition, asked = (message.topic(), message.partition()), message.offset()
        if partition not in self._assigned or asked is None or partition in self._moved:
            return  # another member has it, it had no commit and begins at its earliest record, or it was moved since
        if self._begin_again(self._topics.ask(partition[0])):
            return
        earliest, end = self._offsets.bounds(partition)
        meaning = self._places.meaning(partition, asked, earliest, end)
        if isinstance(meaning, Gap):
            self.rewind(partition, earliest)
            if self._listener is not None:
                self._listener.gap(meaning)
        elif meaning is Meaning.OUTDATED:
            self.rewind(partition, self._places.next_of(partition, asked))
        elif meaning is Meaning.WAIT:
            self._events.append(message)
        else:
            log.warning(
                "the end of a partition is missing: it is read from its beginning", topic=partition[0], ends_at=end
            )
            starts = list(self._begin_at({partition: earliest}).values())
            if self._listener is not None:
                self._listener.made_again(starts)


def place_of(one: TopicPartition) -> Partition:
    return one.topic, one.partition

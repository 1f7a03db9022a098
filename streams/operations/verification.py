"""Counts the records on the topics, and compares them with the account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streams.config.names import SOURCE
from streams.delivery.account import Account
from streams.delivery.letter import CAUSE_HEADER, header_of
from streams.operations.accounts import Accounts, Moment
from streams.operations.installation import Installation
from streams.operations.letter_topics import forget_deleted, topic_of
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Letters
from streams.state.parked import parked_in_all
from streams.state.records import CREDENTIALS, REJECTED

LOOKS_MAX = 200
"""Under traffic, counts change ten times a second, and one look takes some hundredths of a second. Of this many looks,
one should find that nothing changed meanwhile."""
LOOK_SECONDS = 0.05
READ_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Verification:
    """An account, and what the topics hold at the same moment: records that wait, letters by cause.

    `has_deleted`: records were deleted that no sink has committed past. They are under way, or will count as lost.
    """

    account: Account
    waiting: int
    parked: Mapping[str, int]
    has_deleted: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """Where they differ, in words."""
        found = []
        if self.waiting != self.account.waiting:
            found.append(f"the account says {self.account.waiting:,} wait, the topic holds {self.waiting:,}")
        for cause in sorted({*self.parked, *self.account.parked}):
            counted, held = self.account.parked.get(cause, 0), self.parked.get(cause, 0)
            if counted != held:
                found.append(f"the account says {counted:,} are parked ({cause}), the topics hold {held:,}")
        return tuple(found)


def may_lack_records(committed: int, earliest: int, end: int) -> bool:
    """Whether records of a partition may have been deleted that no sink has committed past.

    Only transactions write to a connector's topic, so the last offset of a partition is a marker, and sinks commit the
    offset after their last record. So the one offset between a commit and the end of an emptied partition is no record.
    """
    return earliest > committed and not earliest == end == committed + 1


class TooBusy(Exception):
    """Counts changed during every look."""


def verify(installation: Installation, connector: str) -> Verification:
    """Count the topics of a connector, and compare with its account.

    Raises `TooBusy`, `KafkaUnreachable`, `KafkaRefusal` and `MetadataError`.
    """
    accounts = Accounts(installation)
    reader = installation.open_letters()
    try:
        return _Count(installation, connector, accounts, reader).verification()
    finally:
        reader.close()
        accounts.close()


def missing_source_letters(installation: Installation, accounts: Accounts) -> int:
    """How many of the source's letters are parked by the account and are in no topic.

    Raises `TooBusy`, `KafkaUnreachable`, `KafkaRefusal` and `MetadataError`.
    """
    reader = installation.open_letters()
    try:
        return _Count(installation, SOURCE, accounts, reader).missing_source_letters()
    finally:
        reader.close()


class _Count:
    def __init__(self, installation: Installation, connector: str, accounts: Accounts, reader: Letters) -> None:
        self._topics = installation.settings.topics
        self._connector = connector
        self._cluster = installation.cluster
        self._accounts = accounts
        self._reader = reader

    def verification(self) -> Verification:
        """If they differ, look again once: a transaction becomes visible partition by partition."""
        found = self._once()
        return found if not found.problems else self._once()

    def missing_source_letters(self) -> int:
        for _ in range(LOOKS_MAX):
            before = self._accounts.source_letters()
            revision = self._accounts.state_views()[SOURCE].totals.revision
            held = sum(
                self._parked(self._cluster.ends(self._cluster.partitions(self._topics.dead_letter_source))).values()
            )
            view = self._accounts.state_views()[SOURCE]
            if (self._accounts.source_letters(), view.totals.revision) == (before, revision):
                return parked_in_all(before, view) - held
            time.sleep(LOOK_SECONDS)
        raise TooBusy(f"the counts of the router changed during each of {LOOKS_MAX} looks; try again later")

    def _once(self) -> Verification:
        moment, ends = self._still()
        topic = self._topics.connector(self._connector)
        commits = moment.sinks[self._connector]
        starts = {
            partition: commits[partition].offset if partition in commits else 0
            for partition in ends
            if partition[0] == topic
        }
        if beyond := sorted(partition for partition, start in starts.items() if start > ends[partition]):
            raise TooBusy(f"{topic}/{beyond[0][1]} ends before its commit: the topic was just made again; try later")
        waiting = 0

        def count_waiting(_message: Message) -> None:
            nonlocal waiting
            waiting += 1

        self._read(starts, ends, count_waiting)
        earliest = self._cluster.starts(starts)
        has_deleted = any(
            may_lack_records(start, earliest[partition], ends[partition]) for partition, start in starts.items()
        )
        return Verification(moment.account(self._connector), waiting, self._parked(ends), has_deleted)

    def _still(self) -> tuple[Moment, dict[Partition, int]]:
        """The counts, and the ends of the topics, of a moment in which the counts did not change."""
        for _ in range(LOOKS_MAX):
            before = self._accounts.moment([self._connector])
            if before is not None:
                ends = self._ends()
                if self._accounts.moment([self._connector]) == before:
                    return before, ends
            time.sleep(LOOK_SECONDS)
        raise TooBusy(
            f"the counts of {self._connector} changed during each of {LOOKS_MAX} looks; suspend it, then verify again"
        )

    def _ends(self) -> dict[Partition, int]:
        prefix = self._topics.dead_letter_credentials(self._connector, "")
        names = self._cluster.topic_names()
        topics = [self._topics.connector(self._connector), self._topics.dead_letter_rejected(self._connector)]
        topics += sorted(name for name in names if name.startswith(prefix))
        partitions = [partition for topic in topics if topic in names for partition in self._cluster.partitions(topic)]
        return self._cluster.ends(partitions)

    def _parked(self, ends: Mapping[Partition, int]) -> dict[str, int]:
        view = self._accounts.state_views()[self._connector]
        forget_deleted(view, self._topics, self._cluster.topic_ids)
        letters = {topic_of(self._topics, self._connector, REJECTED): REJECTED}
        prefix = self._topics.dead_letter_credentials(self._connector, "")
        letters |= {topic: CREDENTIALS + topic.removeprefix(prefix) for topic, _ in ends if topic.startswith(prefix)}
        starts = {(topic, number): view.cursor((letters[topic], number)) for topic, number in ends if topic in letters}
        parked: dict[str, int] = {}

        def count_parked(message: Message) -> None:
            if not view.is_settled((letters[message.topic()], message.partition()), message.offset()):
                cause = (header_of(message.headers() or [], CAUSE_HEADER) or b"").decode("ascii", "replace")
                parked[cause] = parked.get(cause, 0) + 1

        self._read(starts, ends, count_parked)
        return parked

    def _read(
        self, starts: Mapping[Partition, int], ends: Mapping[Partition, int], count: Callable[[Message], None]
    ) -> None:
        """Every record from the starts up to the ends, as committed."""
        unread = {partition for partition, start in starts.items() if start < ends[partition]}
        if not unread:
            return
        self._reader.open({partition: starts[partition] for partition in unread})
        deadline = time.monotonic() + READ_SECONDS_MAX
        while unread:
            page = self._reader.read(1_000, 0.5)
            if page.letters:
                deadline = time.monotonic() + READ_SECONDS_MAX
            elif time.monotonic() >= deadline:
                raise KafkaUnreachable(f"topics were not read to their ends within {READ_SECONDS_MAX:.0f} s")
            for message in page.letters:
                partition = (message.topic(), message.partition())
                if message.offset() < ends[partition]:
                    count(message)
                else:
                    unread.discard(partition)
            unread.difference_update(page.ends)

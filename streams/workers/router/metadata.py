"""Keeps the metadata of the router's commits small: Kafka takes 4,096 bytes, and then no commit any more.

If many connectors are renamed at once, the counts of the old and of the new ones do not fit together. Then the router
reads nothing of such a partition until the keeper has the counts of the old ones: some seconds after it started.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from streams.delivery.handover import HandedOver, retired
from streams.delivery.metadata import KAFKA_METADATA_BYTES_MAX, METADATA_BYTES_TO_WARN_AT
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition, Position
from streams.state.records import StateError
from streams.workers.router.partitions import PartitionState

log = structlog.get_logger(__name__)

LOOK_SECONDS_FIRST = 45.0
"""After an assignment: the keeper reads commits every 30 s."""
LOOK_SECONDS_FULL = 2.0
"""While a partition waits for it."""
LOOK_SECONDS_MAX = 3_600.0
COUNT_MAX = 2**42
"""So large a count of each connector is allowed for, before it has one."""
WARN_SECONDS = 3_600.0

HandOvers = Callable[[], Mapping[Partition, HandedOver]]
"""Reads what the source's keeper took over. Raises `KafkaUnreachable` and `StateError`."""


class MetadataWatch:
    """Gives away counts of connectors that left the configuration, and warns early where metadata becomes large."""

    def __init__(self, connectors: Collection[str], read: HandOvers) -> None:
        self._connectors = connectors
        self._read = read
        self._wait = LOOK_SECONDS_FIRST
        self._look_at = float("inf")
        self._warn_at = float("-inf")
        self.full: dict[Partition, str] = {}
        """Partitions that have to give counts away before they count anything more, and why in words."""

    def assigned(self, states: Mapping[Partition, PartitionState], now: float) -> None:
        self._measure(states)
        self._wait = LOOK_SECONDS_FIRST
        self._look_at = now + (LOOK_SECONDS_FULL if self.full else self._wait)

    def give_away(self, states: Mapping[Partition, PartitionState], now: float) -> bool:
        """Drop what the keeper took over; whether any counts changed. The state is read only where there are counts of
        retired connectors, less and less often while the keeper takes none over."""
        if now < self._look_at:
            return False
        if not any(retired(state.counts, self._connectors) for state in states.values()):
            self._look_at = float("inf")
            return False
        if self.full:
            self._look_at = now + LOOK_SECONDS_FULL
        else:
            self._wait = min(2 * self._wait, LOOK_SECONDS_MAX)
            self._look_at = now + self._wait
        try:
            handed = self._read()
        except (KafkaUnreachable, StateError) as error:
            log.warning("could not hand over counts of retired connectors, will try again", error=str(error))
            return False
        changed = [one for one, state in states.items() if one in handed and state.give_away(handed[one])]
        if changed:
            log.info("counts of retired connectors given to the keeper", partitions=len(changed))
            self._measure(states)
        return bool(changed)

    def _measure(self, states: Mapping[Partition, PartitionState]) -> None:
        """Find the partitions whose commits would be too large once each connector has a count."""
        before, self.full = self.full, {}
        for partition, state in states.items():
            gone = retired(state.counts, self._connectors)
            if not gone:
                continue
            counts = state.counts.copy()
            counts.routed |= dict.fromkeys(self._connectors, COUNT_MAX)
            if (size := len(counts.to_metadata())) > KAFKA_METADATA_BYTES_MAX:
                self.full[partition] = (
                    f"counts of {len(gone)} connectors that left the configuration: with those of "
                    f"{len(self._connectors)} others the commit would take {size:,} bytes, and Kafka takes "
                    f"{KAFKA_METADATA_BYTES_MAX:,} (offset.metadata.max.bytes): waiting for the keeper"
                )
        if self.full.keys() - before.keys():
            log.warning("partitions wait for the keeper", partitions=len(self.full), why=next(iter(self.full.values())))

    def look(self, positions: Iterable[Position], now: float) -> None:
        """Warn once an hour where the metadata of a commit comes near to what Kafka takes."""
        size = max((len(position.metadata) for position in positions), default=0)
        if size > METADATA_BYTES_TO_WARN_AT and now >= self._warn_at:
            self._warn_at = now + WARN_SECONDS
            log.warning(
                "the counts in the router's commits are almost too large for Kafka (offset.metadata.max.bytes)",
                bytes=size,
                kafka_takes_by_default=KAFKA_METADATA_BYTES_MAX,
                fix="streams doctor",
            )

"""The source's keeper takes over the counts of connectors that left the configuration (see `delivery.handover`)."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import RouterCounts
from streams.delivery.handover import HandedOver, next_hand_over
from streams.delivery.metadata import MetadataError
from streams.state.records import Record, Retired, key
from streams.state.state_view import StateView
from streams.workers.keeper.commit_copies import GroupCommits

log = structlog.get_logger(__name__)


class Retirement:
    """To be written in one transaction with the copies of the same commits: so a router that begins at a copy is never
    more than one step behind."""

    def __init__(self, connectors: Collection[str]) -> None:
        self._connectors = connectors

    def __call__(self, view: StateView, committed: GroupCommits) -> dict[str, Record | None]:
        taken: dict[str, dict[str, HandedOver]] = {}
        for (topic, number), (_, metadata) in committed.commits.items():
            known = view.retired.get(topic, Retired()).partitions.get(str(number))
            try:
                found = next_hand_over(RouterCounts.from_metadata(metadata), self._connectors, known)
            except MetadataError as error:
                log.warning("could not read the counts of a commit", topic=topic, partition=number, error=str(error))
                continue
            if found is not None:
                taken.setdefault(topic, {})[str(number)] = found
        for topic, partitions in taken.items():
            log.info("counts of retired connectors taken over", topic=topic, partitions=len(partitions))
        return {
            key("retired", SOURCE, topic): Retired(
                partitions={**view.retired.get(topic, Retired()).partitions, **partitions}
            )
            for topic, partitions in taken.items()
        }

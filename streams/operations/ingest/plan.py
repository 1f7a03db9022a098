"""What an ingest of these files needs and would create. Looks at headers only, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.config import Settings
from streams.operations.ingest.places import disagreement, place_of
from streams.ports.cluster import Cluster
from streams.workers.ingest import Broken, Failure, File, UnreadableFile


@dataclass(slots=True)
class IngestPlan:
    """`files` per topic; the topics that are `missing`, and the shape that they would get."""

    partitions: int
    replication: int
    files: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    untaken: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def partitions_created(self) -> int:
        return self.partitions * len(self.missing)


def planned(
    settings: Settings, cluster: Cluster, files: Iterable[File | Broken], partitions: int | None = None
) -> IngestPlan:
    """Where each file goes, and which topics that needs. Raises `KafkaUnreachable` and `KafkaRefusal`."""
    shape = settings.kafka.topics
    plan = IngestPlan(partitions or shape.partitions, 1 if cluster.brokers() == 1 else shape.replication)
    for file in files:
        if isinstance(file, Broken):
            plan.untaken.append(Failure(file.name, None, file.reason))
            continue
        plan.size_bytes += file.size_bytes
        try:
            place = place_of(file, settings.source.topic_prefix)
        except UnreadableFile as error:
            plan.untaken.append(Failure(file.name, error.record, error.reason))
            continue
        plan.files[place.topic] = plan.files.get(place.topic, 0) + 1
        if (remark := disagreement(file, place)) is not None:
            plan.remarks.append(remark)
    plan.missing = sorted(plan.files.keys() - cluster.topic_names())
    return plan

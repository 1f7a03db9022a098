"""Makes all checks, one after the other. A check that cannot be made is a finding, too; the others are still made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streams.config import Settings
from streams.config.warnings import warnings
from streams.delivery.metadata import MetadataError
from streams.operations.doctor.cluster import cluster_findings
from streams.operations.doctor.destinations import credential_findings, registry_findings
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.operations.doctor.inlets import inlet_findings
from streams.operations.doctor.receiver import receiver_findings
from streams.operations.doctor.scratch import Look, scratch_findings
from streams.operations.doctor.storage import OpenQueue, OpenStore, queue_findings, storage_findings
from streams.operations.installation import Installation
from streams.ports.clock import Clock
from streams.ports.errors import AccessDenied, KafkaRefusal, KafkaUnreachable
from streams.ports.http import Fetcher
from streams.state.records import StateError


def examination(
    settings: Settings,
    connect: Callable[[], Installation],
    fetcher: Fetcher,
    clock: Clock,
    look: Look,
    open_store: OpenStore,
    open_queue: OpenQueue,
) -> Iterator[Finding]:
    """Findings, one by one. `connect` builds the installation; it is closed at the end. `look` tells of a folder."""
    yield ok("configuration", f"connectors: {len(settings.connectors)}")
    try:
        for remark in warnings(settings):
            yield warning("configuration", str(remark))
    except ValueError as error:  # a warning about a secret needs to read it
        yield problem("configuration", "configuration", str(error))
    yield from _of_kafka(connect)
    yield from registry_findings(settings.source.schema_registry, fetcher)
    yield from receiver_findings(settings, fetcher)
    yield from inlet_findings(settings, fetcher)
    yield from storage_findings(settings, open_store)
    yield from queue_findings(settings, open_queue)
    yield from scratch_findings(settings, look)
    for connector in settings.connectors.values():
        yield from credential_findings(connector, fetcher, clock)


def _of_kafka(connect: Callable[[], Installation]) -> Iterator[Finding]:
    try:
        installation = connect()
    except (KafkaRefusal, ValueError) as error:
        yield problem("kafka", "configuration", str(error))
        return
    try:
        for what, look in cluster_findings().items():
            try:
                yield from look(installation)
            except KafkaUnreachable as error:
                yield problem(
                    "kafka",
                    "unreachable",
                    str(error),
                    "is it running, and can this machine reach it? Checks that need Kafka were not made",
                )
                return
            except (KafkaRefusal, AccessDenied, MetadataError, StateError) as error:
                yield problem(what, "failed", str(error))
    finally:
        installation.close()

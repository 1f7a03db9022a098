"""Looks at everything in turn. What cannot be looked at is a finding too, and the rest is looked at all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streams.config import Settings
from streams.config.warnings import warnings
from streams.delivery.account import MetadataError
from streams.operations.doctor.cluster import cluster_findings
from streams.operations.doctor.destinations import credential_findings, registry_findings
from streams.operations.doctor.finding import Finding, ok, problem, warning
from streams.operations.installation import Installation
from streams.ports.clock import Clock
from streams.ports.errors import AccessDenied, KafkaRefusal, KafkaUnreachable
from streams.ports.http import Fetcher
from streams.state.records import StateError


def examination(
    settings: Settings, connect: Callable[[], Installation], fetcher: Fetcher, clock: Clock
) -> Iterator[Finding]:
    """Findings, one by one as they are made. `connect` builds the installation; it is closed at the end."""
    yield ok("configuration", f"{len(settings.connectors)} connectors")
    try:
        for remark in warnings(settings):
            yield warning("configuration", str(remark))
    except ValueError as error:  # a remark about a secret needs it
        yield problem("configuration", "configuration", str(error))
    yield from _of_kafka(connect)
    yield from registry_findings(settings.source.schema_registry, fetcher)
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
                    "is it running, and may this machine reach it? What only Kafka tells was not looked at",
                )
                return
            except (KafkaRefusal, AccessDenied, MetadataError, StateError) as error:
                yield problem(what, "failed", str(error))
    finally:
        installation.close()

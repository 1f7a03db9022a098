"""What Kafka tells: brokers, topics, processes, and how each connector stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streams.config import topology
from streams.operations.accounts import Accounts
from streams.operations.doctor.finding import Finding, ok, problem, warning
from streams.operations.installation import Installation
from streams.state.standing import Standing
from streams.workers.router.routes import source_topics

MINUTES_PER_DAY = 1_440

Look = Callable[[Installation], Iterator[Finding]]


def cluster_findings() -> Mapping[str, Look]:
    """What is looked at, in this order: one that is refused does not hide the others."""
    return {
        "kafka": _brokers,
        "topics": _topics,
        "Currents topics": _sources,
        "processes": _groups,
        "connectors": _connectors,
    }


def _brokers(installation: Installation) -> Iterator[Finding]:
    servers = installation.settings.kafka.bootstrap_servers
    yield ok("kafka", f"{installation.cluster.brokers()} brokers answer at {servers}")


def _topics(installation: Installation) -> Iterator[Finding]:
    settings, cluster = installation.settings, installation.cluster
    wanted = topology.wanted_topics(settings, cluster.brokers())
    plan = topology.plan(settings, wanted, cluster.topics(settings.kafka.topic_prefix))
    for change in plan.changes:
        detail = "is missing" if change.is_missing else f"is set differently: {', '.join(change.settings)}"
        yield problem(f"topic {change.topic.name}", "failed", detail, "streams topics apply")
    if not plan.changes:
        yield ok("topics", f"{len(wanted)} are as they must be")
    for topic in plan.orphaned:
        fix = "its connector left the configuration: put it back, or export and delete the topic"
        yield warning(f"topic {topic}", "is orphaned", fix)


def _sources(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    names = installation.cluster.topic_names()
    sources = source_topics(names, settings.source.topics, settings.kafka.topic_prefix)
    if sources:
        yield ok("Currents topics", f"{len(sources)} match source.topics")
    else:
        fix = "is source.topics right? New topics are seen within 30 s"
        yield warning("Currents topics", f"none matches {', '.join(settings.source.topics)}", fix)


def _groups(installation: Installation) -> Iterator[Finding]:
    settings, cluster = installation.settings, installation.cluster
    minutes = cluster.broker_setting("offsets.retention.minutes")
    days = f"{int(minutes) / MINUTES_PER_DAY:g} days" if minutes and minutes.isdigit() else "some days"
    roles = {"router": settings.groups.router}
    roles |= {f"sink {name}": settings.groups.sink(name) for name in settings.connectors}
    for role, group in roles.items():
        members = cluster.members(group)
        if members:
            yield ok(role, f"{members} processes")
        else:
            detail = f"no process; Kafka forgets a group's offsets {days} after its last member left"
            yield warning(role, detail, f"streams run {role}")


def _connectors(installation: Installation) -> Iterator[Finding]:
    accounts = Accounts(installation)
    try:
        standings = accounts.standings()
    finally:
        accounts.close()
    for name in installation.settings.connectors:
        yield from _standing(name, standings[name])


def _standing(name: str, standing: Standing) -> Iterator[Finding]:
    state = standing.state
    if state.state == "SUSPENDED":
        yield warning(f"connector {name}", f"SUSPENDED by {state.by}: {state.reason}", after_suspension(name, state.by))
    for scope, found in sorted(standing.scopes.items()):
        if found.overdue:
            yield warning(f"purge {name}/{scope}", f"overdue: {found.overdue}")
        if found.refused_though_good:
            detail = "traffic is refused though a probe with the same credentials is accepted"
            yield warning(f"traffic {name}/{scope}", detail, f"streams connectors show {name}")


def after_suspension(name: str, by: str | None) -> str:
    """The next step once a connector is SUSPENDED: after a flood the letters are looked at before anything goes on."""
    if by == "flood":
        return f"streams dlq top {name}"
    return f"when its cause is fixed: streams connectors resume {name}"

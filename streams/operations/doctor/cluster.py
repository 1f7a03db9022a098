"""What Kafka tells: brokers, topics, processes, and how each connector stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from streams.config.names import SOURCE
from streams.config.topology import wanted_topics
from streams.operations.accounts import Accounts
from streams.operations.doctor.finding import Finding, ok, problem, warning
from streams.operations.group_protocol import FIX, group_protocol_problem
from streams.operations.installation import Installation
from streams.operations.router import OPEN_TRANSACTION, router_overview
from streams.operations.topics import compared, unread_sentence
from streams.state.moments import iso, told
from streams.state.standing import Standing
from streams.workers.router.routes import source_topics

MINUTES_PER_DAY = 1_440
LAG_SECONDS_MAX = 300.0
"""A router that is further behind stands, or is too slow: one that runs is seconds behind."""
HELD_SECONDS_MAX = 30.0
"""A producer's transaction that is open for longer is most likely nobody's any more."""
BACK_OFF = "the destination is at fault; records wait in the connector's topic, and nothing is lost"
SCHEMA = "streams schemas add FILE"

Look = Callable[[Installation], Iterator[Finding]]


def cluster_findings() -> Mapping[str, Look]:
    """What is looked at, in this order: one that is refused does not hide the others."""
    return {
        "kafka": _brokers,
        "topics": _topics,
        "Currents topics": _sources,
        "processes": _groups,
        "Currents records": _router_lag,
        "connectors": _connectors,
    }


def _brokers(installation: Installation) -> Iterator[Finding]:
    servers = installation.settings.kafka.bootstrap_servers
    yield ok("kafka", f"{installation.cluster.brokers()} brokers answer at {servers}")
    if found := group_protocol_problem(installation.settings, installation.cluster):
        yield problem("group protocol", "failed", found, FIX)


def _topics(installation: Installation) -> Iterator[Finding]:
    settings, cluster = installation.settings, installation.cluster
    plan = compared(installation)
    for change in plan.changes:
        detail = "is missing" if change.is_missing else f"is set differently: {', '.join(change.settings)}"
        yield problem(f"topic {change.topic.name}", "failed", detail, "streams topics apply")
    if not plan.changes:
        yield ok("topics", f"{len(wanted_topics(settings, cluster.brokers()))} are as they must be")
    if plan.unread:
        yield warning("topics", unread_sentence(plan.unread), "streams topics acls --role doctor")
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


def _router_lag(installation: Installation) -> Iterator[Finding]:
    """Whether the router keeps up, and what it waits for."""
    with Accounts(installation) as accounts:
        router = router_overview(installation, accounts)
    seconds = router.lag_seconds
    if seconds is None:
        yield ok("Currents records", "all are read")
    elif seconds < (HELD_SECONDS_MAX if OPEN_TRANSACTION in router.reasons else LAG_SECONDS_MAX):
        yield ok("Currents records", f"{router.records:,} to read, the oldest for {told(seconds)}")
    else:
        worst = max(router.lags, key=lambda lag: lag.seconds(router.now_ms) or 0)
        held = f", held by {OPEN_TRANSACTION} of its producer" if worst.held else ""
        detail = f"{router.records:,} are not read, the oldest for {told(seconds)}, on {worst.topic}{held}"
        yield warning("Currents records", detail, router.next_step() or "streams connectors show router")
    for place, wait in sorted(router.waits.items()):
        detail = f"waits for {wait.why} since {iso(wait.since)}: {wait.detail}"
        yield warning(f"partition {place}", detail, router.next_step() or "")


def _connectors(installation: Installation) -> Iterator[Finding]:
    with Accounts(installation) as accounts:
        standings = accounts.standings()
    for name in (*installation.settings.connectors, SOURCE):
        yield from _standing(name, standings[name], installation.clock.epoch_ms())


def _standing(name: str, standing: Standing, now_ms: int) -> Iterator[Finding]:
    state = standing.state
    if state.state == "SUSPENDED":
        yield warning(f"connector {name}", f"SUSPENDED by {state.by}: {state.reason}", after_suspension(name, state.by))
    if standing.deletion is not None:
        since = datetime.fromtimestamp(standing.deletion.since / 1000, UTC).isoformat(timespec="seconds")
        detail = f"bytes of settled letters not deleted since {since}: {standing.deletion.reason}"
        yield warning(f"deletion {name}", detail, "tried again every 10 s; may the keeper Delete? streams topics acls")
    for scope, found in sorted(standing.scopes.items()):
        if found.overdue:
            yield warning(f"purge {name}/{scope}", f"overdue: {found.overdue}")
        if found.refused_though_good:
            detail = "traffic is refused though a probe with the same credentials is accepted"
            yield warning(f"traffic {name}/{scope}", detail, f"streams connectors show {name}")
    for scope, back_off in standing.back_offs(now_ms).items():
        yield warning(f"traffic {name}/{scope}", back_off.sentence(now_ms), BACK_OFF)
    for place, wait in sorted(standing.partition_waits(now_ms).items()):
        detail = f"waits for {wait.why} since {iso(wait.since)}: {wait.detail}"
        yield warning(f"partition {place}", detail, "streams doctor" if wait.why == "registry" else SCHEMA)


def after_suspension(name: str, by: str | None) -> str:
    """The next step once a connector is SUSPENDED: after a flood the letters are looked at before anything goes on."""
    if by == "flood":
        return f"streams dlq top {name}"
    return f"when its cause is fixed: streams connectors resume {name}"

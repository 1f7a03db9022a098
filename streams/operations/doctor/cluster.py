"""What Kafka tells: brokers, topics, processes, and how each connector stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime

from streams.config.names import SOURCE
from streams.config.topology import wanted_topics
from streams.delivery.account import RouterCounts
from streams.delivery.handover import retired
from streams.delivery.metadata import KAFKA_METADATA_BYTES_MAX, METADATA_BYTES_TO_WARN_AT
from streams.operations.accounts import Accounts
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.operations.group_protocol import FIX, group_protocol_problem
from streams.operations.installation import Installation
from streams.operations.router import OPEN_TRANSACTION, router_overview
from streams.operations.topics import compared, unread_sentence
from streams.state.moments import iso, told
from streams.state.state_view import StateView
from streams.workers.router.routes import source_topics

MINUTES_PER_DAY = 1_440
LAG_SECONDS_MAX = 300.0
"""A router that works is seconds behind. One that is further behind stands still, or is too slow."""
HELD_SECONDS_MAX = 30.0
"""If a producer's transaction is open for longer, its process most likely does not run any more."""
BACK_OFF = "the destination has the problem; records wait in the connector's topic, and nothing is lost"
SCHEMA = "streams schemas add FILE"
METADATA_SETTING = "offset.metadata.max.bytes"
RETIRED = "let the router run with this configuration: its keeper takes over the counts of those within 2 minutes"
TOO_MANY_CONNECTORS = f"raise {METADATA_SETTING} of the brokers, or split the connectors into two installations"
NEXT_STEPS = {"registry": "streams doctor", "memory": "give the sink's scratch folder room; it is tried every 10 s"}
"""By what a connector's partition waits for; else a schema."""

Look = Callable[[Installation], Iterator[Finding]]


def cluster_findings() -> Mapping[str, Look]:
    """The checks, in this order. If one cannot be made, the others still are."""
    return {
        "kafka": _brokers,
        "topics": _topics,
        "Currents topics": _sources,
        "processes": _groups,
        "Currents records": _router_lag,
        "router's commits": _router_metadata,
        "connectors": _connectors,
    }


def _brokers(installation: Installation) -> Iterator[Finding]:
    servers = installation.settings.kafka.bootstrap_servers
    yield ok("kafka", f"answers at {servers}; brokers: {installation.cluster.brokers()}")
    if found := group_protocol_problem(installation.settings, installation.cluster):
        yield problem("group protocol", "failed", found, FIX)


def _topics(installation: Installation) -> Iterator[Finding]:
    settings, cluster = installation.settings, installation.cluster
    plan = compared(installation)
    for change in plan.changes:
        detail = "is missing" if change.is_missing else f"is set differently: {', '.join(change.settings)}"
        yield problem(f"topic {change.topic.name}", "failed", detail, "streams topics apply")
    for one in plan.unequal:
        yield problem(f"topic {one.sent}", "failed", one.sentence, one.fix)
    if not plan.changes:
        yield ok("topics", f"all {len(wanted_topics(settings, cluster.brokers()))} are as they must be")
    if plan.unread:
        yield warning("topics", unread_sentence(plan.unread), "streams topics acls --role doctor")
    for topic in plan.orphaned:
        fix = "it belongs to nothing in the configuration: add that again, or export and delete the topic"
        yield warning(f"topic {topic}", "is orphaned", fix)


def _sources(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    if not settings.routed:
        return
    names = installation.cluster.topic_names()
    sources = source_topics(names, settings.source_topics, settings.kafka.topic_prefix)
    if sources:
        yield ok("Currents topics", f"topics that match source.topics: {len(sources)}")
    else:
        fix = "is source.topics right? New topics are seen within 30 s"
        yield warning("Currents topics", f"none matches {', '.join(settings.source.topics)}", fix)


def _groups(installation: Installation) -> Iterator[Finding]:
    settings, cluster = installation.settings, installation.cluster
    minutes = cluster.broker_setting("offsets.retention.minutes")
    days = f"{int(minutes) / MINUTES_PER_DAY:g} days" if minutes and minutes.isdigit() else "some days"
    roles = {"router": settings.groups.router} if settings.needs_router else {}
    roles |= {f"sink {name}": settings.groups.sink(name) for name in settings.connectors}
    for role, group in roles.items():
        members = cluster.members(group)
        if members:
            yield ok(role, f"processes: {members}")
        else:
            detail = f"no process; Kafka forgets a group's offsets {days} after its last member left"
            yield warning(role, detail, f"streams run {role}")


def _router_lag(installation: Installation) -> Iterator[Finding]:
    """Whether the router keeps up with the Currents topics. What it waits for is in the state of `source`."""
    if not installation.settings.routed:
        return
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


def _router_metadata(installation: Installation) -> Iterator[Finding]:
    """Whether the counts in the metadata of the router's commits come near to Kafka's limit."""
    with Accounts(installation) as accounts:
        commits = accounts.router_commits()
    setting = installation.cluster.broker_setting(METADATA_SETTING)
    limit = int(setting) if setting and setting.isdigit() else KAFKA_METADATA_BYTES_MAX
    yield metadata_finding([commit.metadata for commit in commits.values()], limit, installation.settings.connectors)


def metadata_finding(commits: Collection[str], bytes_max: int, connectors: Collection[str]) -> Finding:
    """What to say of the largest of these. Raises `MetadataError`."""
    largest = max(commits, key=len, default="")
    size = f"their counts take {len(largest):,} of {bytes_max:,} bytes"
    if len(largest) * KAFKA_METADATA_BYTES_MAX <= bytes_max * METADATA_BYTES_TO_WARN_AT:
        return ok("router's commits", size)
    counts = RouterCounts.from_metadata(largest)
    gone = len(retired(counts, connectors))
    detail = (
        f"{size} ({METADATA_SETTING}): of {len(counts.routed)} connectors, {gone} of which left the configuration; "
        "beyond the limit the router cannot commit"
    )
    return warning("router's commits", detail, RETIRED if gone else TOO_MANY_CONNECTORS)


def _connectors(installation: Installation) -> Iterator[Finding]:
    with Accounts(installation) as accounts:
        views = accounts.state_views()
    for name in (*installation.settings.connectors, SOURCE):
        yield from _state_view(name, views[name], installation.clock.epoch_ms())


def _state_view(name: str, view: StateView, now_ms: int) -> Iterator[Finding]:
    state = view.state
    if state.state == "SUSPENDED":
        yield warning(f"connector {name}", f"SUSPENDED by {state.by}: {state.reason}", after_suspension(name, state.by))
    if view.deletion is not None:
        since = datetime.fromtimestamp(view.deletion.since / 1000, UTC).isoformat(timespec="seconds")
        detail = f"bytes of settled letters could not be deleted since {since}: {view.deletion.reason}"
        yield warning(
            f"deletion {name}", detail, "it is tried again every 10 s; may the keeper Delete? See `streams topics acls`"
        )
    for scope, found in sorted(view.scopes.items()):
        if found.overdue:
            yield warning(f"purge {name}/{scope}", f"overdue: {found.overdue}")
        if found.refused_though_good:
            detail = "traffic is refused though a probe with the same credentials is accepted"
            yield warning(f"traffic {name}/{scope}", detail, f"streams connectors show {name}")
    for scope, back_off in view.back_offs(now_ms).items():
        yield warning(f"traffic {name}/{scope}", back_off.sentence(now_ms), BACK_OFF)
    for place, wait in sorted(view.partition_waits(now_ms).items()):
        detail = f"waits for {wait.why} since {iso(wait.since)}: {wait.detail}"
        yield warning(f"partition {place}", detail, NEXT_STEPS.get(wait.why, SCHEMA))


def after_suspension(name: str, by: str | None) -> str:
    """The next step for a SUSPENDED connector. After a flood, a person must look at the letters before it resumes."""
    if by == "flood":
        return f"streams dlq top {name}"
    return f"when its cause is fixed: streams connectors resume {name}"

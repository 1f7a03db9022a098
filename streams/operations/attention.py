"""What needs a person: what is wrong, since when, what happens when nobody acts, and the next step. By deadline.

`needs` is pure: everything comes from overviews that were read before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from streams.config.names import SOURCE
from streams.config.topology import connector_retention_ms
from streams.operations.connectors.overview import Overview
from streams.operations.connectors.secrets import fix_of
from streams.operations.dead_letters.overview import LettersOverview, Times
from streams.operations.dead_letters.overview import overview as letters_overview
from streams.operations.inlets.overview import InletOverview
from streams.operations.inlets.overview import overviews as inlet_overviews
from streams.operations.installation import Installation
from streams.operations.router import OPEN_TRANSACTION, RouterOverview
from streams.state.credentials import Rules
from streams.state.moments import clock_time, iso, told
from streams.state.records import ScopeState

Kind = Literal[
    "credentials", "purge-overdue", "suspended", "stopped", "refused", "waiting", "back-off", "letters", "files"
]
Action = Literal["probe", "resume", "letters", "files", ""]
"""What a page offers as a button: an order to the keeper, or the page of letters or of an inlet's files. Empty: a
person has to do it."""

NO_DEADLINE_MS = 72 * 3_600_000
"""What stands still and has no deadline of its own is listed as if it were due in three days."""
REASONS_MAX, REASON_LENGTH_MAX = 2, 160
"""Of what was said of dead letters: how many a need repeats, and how much of each."""
BACK_OFF_MS_MIN = 300_000
"""A destination that asks to wait for less than five minutes needs nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that a person must do. `connector` is `source` for the router and for inlets, and `inlet` names which
    one; times are ms since 1970.

    `what` says what is wrong, `consequence` what happens when nobody acts, `step` what to do, `command` the command
    that does it or shows more.
    """

    kind: Kind
    connector: str
    what: str
    since_ms: int | None = None
    consequence: str
    deadline_ms: int | None = None
    step: str
    command: str
    action: Action = ""
    scope: str = ""
    inlet: str = ""
    afterwards: str = ""
    """What happens by itself once it is fixed; empty where nothing does."""
    extension: str = ""
    """The command that moves the deadline; empty where it cannot be moved."""
    contact: str = ""
    """Who owns the connector."""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "connector": self.connector,
            "scope": self.scope or None,
            "inlet": self.inlet or None,
            "what": self.what,
            "since": iso(self.since_ms),
            "consequence": self.consequence,
            "deadline": iso(self.deadline_ms),
            "step": self.step,
            "command": self.command,
            "afterwards": self.afterwards or None,
            "extension": self.extension or None,
            "contact": self.contact or None,
        }


def needs(
    router: RouterOverview | None,
    connectors: Iterable[Overview],
    now_ms: int,
    rejected: Mapping[str, Times] | None = None,
    inlets: Iterable[InletOverview] = (),
) -> tuple[Need, ...]:
    """What needs a person, the nearest deadline first.

    `router` is None where none is needed; `inlets` are those from buckets and folders. `rejected` are the
    times of rejected letters, by connector or `source`, as far as they are known.
    """
    times = rejected or {}
    found = [] if router is None else list(_of_router(router, times.get(SOURCE, Times())))
    for inlet in inlets:
        found += _of_inlet(inlet)
    for overview in connectors:
        own = _of_connector(overview, now_ms, times.get(overview.connector.name, Times()))
        found += [replace(need, contact=overview.connector.contact) for need in own]
    return tuple(sorted(found, key=lambda need: (_due_ms(need, now_ms), need.since_ms or 0, need.connector)))


def attention(installation: Installation, router: RouterOverview, connectors: Sequence[Overview]) -> tuple[Need, ...]:
    """What needs a person now. Reads the ages of letters where there are any. Raises what reading overviews does."""
    needs_router = installation.settings.needs_router
    names = [one.connector.name for one in connectors if sum(one.account.parked.values())]
    names += [SOURCE] if needs_router and router.letters else []
    letters = [letters_overview(installation, name) for name in names]
    now_ms = installation.clock.epoch_ms()
    inlets = list(inlet_overviews(installation))
    return needs(router if needs_router else None, connectors, now_ms, rejected_times(letters), inlets)


def rejected_times(overviews: Iterable[LettersOverview]) -> dict[str, Times]:
    """Since when there are letters that only their age or a person ends, and when that is; by connector or `source`."""
    return {
        letters.connector: Times.of_all(
            row.times for row in letters.causes if row.cause != "credentials" and row.letters
        )
        for letters in overviews
    }


def _due_ms(need: Need, now_ms: int) -> int:
    return now_ms + NO_DEADLINE_MS if need.deadline_ms is None else need.deadline_ms


def _of_router(router: RouterOverview, letters: Times) -> Iterator[Need]:
    if router.members == 0:
        yield _no_router(router)
    for cause in router.causes:
        yield Need(
            kind="waiting",
            connector=SOURCE,
            what=cause.what,
            since_ms=cause.since_ms,
            consequence=cause.consequence,
            deadline_ms=cause.deadline_ms,
            step=cause.step,
            command=cause.command,
            afterwards=cause.afterwards,
        )
    if OPEN_TRANSACTION in router.reasons:
        yield Need(
            kind="waiting",
            connector=SOURCE,
            what="an open transaction of another program holds back Currents records",
            consequence="nothing after it can be read until it ends or times out",
            step="find and end the transaction",
            command=router.next_step() or "streams connectors show router",
        )
    if router.letters:
        yield _letters(SOURCE, router.letters, letters, "could not be routed", router.now_ms)


def _no_router(router: RouterOverview) -> Need:
    waiting = f"nothing is routed; {router.records:,} records wait on the Currents topics until Kafka deletes them"
    return Need(
        kind="stopped",
        connector=SOURCE,
        what="no router runs",
        consequence=waiting
        if router.is_routed
        else "nobody replays, purges or expires the dead letters of HTTP inlets",
        step="start the router",
        command="streams run router",
    )


def _of_inlet(inlet: InletOverview) -> Iterator[Need]:
    name = inlet.name
    if inlet.state != "active":
        yield Need(
            kind="stopped",
            connector=SOURCE,
            what=f"no process of inlet {name} runs",
            consequence=f"files wait in {inlet.url}, and their events are not routed",
            step="start it",
            command="streams run ingest",
            inlet=name,
        )
    elif inlet.failing:
        yield Need(
            kind="waiting",
            connector=SOURCE,
            what=f"inlet {name} cannot go on: {inlet.failing}",
            consequence=f"files wait in {inlet.url}: {inlet.pending:,} as far as it has seen",
            step="look what is missing",
            command="streams doctor",
            inlet=name,
        )
    if inlet.files:
        yield Need(
            kind="files",
            connector=SOURCE,
            what=f"{_count(len(inlet.files), 'file')} of inlet {name} cannot be read",
            since_ms=min(file.since_ms for file in inlet.files),
            consequence="their events are not routed, or only those before the damage",
            step="ask who uploads them for the files, or look at the reasons and give up what cannot be had",
            command=f"streams inlets show {name}",
            afterwards="a new version of a file under the same name is taken by itself, also later",
            action="files",
            inlet=name,
        )


def _of_connector(overview: Overview, now_ms: int, letters: Times) -> Iterator[Need]:
    name = overview.connector.name
    if overview.members == 0:
        yield _no_sink(overview)
    if overview.state == "SUSPENDED":
        yield _suspended(overview)
    for scope in overview.scopes:
        yield from _of_scope(overview, scope)
    yield from _backs_off(overview, now_ms)
    if overview.waits:
        waits = overview.waits.values()
        yield Need(
            kind="waiting",
            connector=name,
            what=f"{_count(len(waits), 'partition')} waits for: {', '.join(sorted({wait.why for wait in waits}))}",
            since_ms=min(wait.since for wait in waits),
            consequence="records of these partitions are not sent",
            deadline_ms=_kept_until_ms(overview),
            step="look at what it waits for",
            command=f"streams connectors show {name}",
        )
    rejected = sum(count for cause, count in overview.account.parked.items() if cause != "credentials")
    if rejected:
        what = f"refused by {overview.connector.destination}"
        yield _letters(name, rejected, letters, what, now_ms)


def _no_sink(overview: Overview) -> Need:
    name, waiting, kept_until_ms = overview.connector.name, _waiting(overview), _kept_until_ms(overview)
    return Need(
        kind="stopped",
        connector=name,
        what="no sink runs",
        consequence=f"nothing is sent; {waiting}; Kafka deletes the oldest at the deadline"
        if kept_until_ms
        else waiting,
        deadline_ms=kept_until_ms,
        step="start the sink",
        command=f"streams run sink {name}",
    )


def _suspended(overview: Overview) -> Need:
    name, state = overview.connector.name, overview.view.state
    action: Action = "resume"
    command = f"streams connectors resume {name}"
    match state.by:
        case "flood":
            what, step = "the flood breaker stopped it: too many records were refused", "look at the cause, then resume"
            command, action = f"streams dlq top {name}", "letters"
        case "configuration":
            what, step = "the destination refuses the configuration", "fix the configuration, then resume"
        case _:
            what, step = f"{state.who or 'somebody'} suspended it", "resume when the reason is gone"
    return Need(
        kind="suspended",
        connector=name,
        what=what + (f": {state.reason}" if state.reason else ""),
        since_ms=state.since,
        consequence=f"nothing is sent; {_waiting(overview)}; no deadline of letters runs",
        deadline_ms=_kept_until_ms(overview),
        step=step,
        command=command,
        action=action,
    )


def _of_scope(overview: Overview, scope: str) -> Iterator[Need]:
    state = overview.view.scope(scope)
    if state.state == "INVALID":
        yield _invalid(overview, scope, state)
    if state.overdue:
        yield Need(
            kind="purge-overdue",
            connector=overview.connector.name,
            what=f"letters of scope {scope} are past their deadline and cannot be purged: {state.overdue}",
            consequence="personal data stays longer than it should",
            step="remove what prevents the purge",
            command=f"streams connectors show {overview.connector.name}",
            scope=scope,
        )
    if state.refused_though_good:
        yield _refused_though_good(overview, scope, state)


def _backs_off(overview: Overview, now_ms: int) -> Iterator[Need]:
    """One need for all scopes: an outage of a destination is one thing, however many scopes it has."""
    found = {scope: one for scope in overview.scopes if (one := overview.view.back_off(scope, now_ms)) is not None}
    lasting = {scope: one for scope, one in found.items() if now_ms - one.since >= BACK_OFF_MS_MIN}
    if not lasting:
        return
    destination = overview.connector.destination
    said = dict.fromkeys(str(one.status) if one.status else one.detail or "no answer" for one in lasting.values())
    kept_until_ms = _kept_until_ms(overview)
    then = "Kafka deletes the oldest of them at the deadline" if kept_until_ms else "none is lost"
    yield Need(
        kind="back-off",
        connector=overview.connector.name,
        what=f"{destination} takes nothing of {_named(lasting, overview.scopes)}; last answer {', '.join(said)}",
        since_ms=min(one.since for one in lasting.values()),
        consequence=f"{_waiting(overview)} on the connector's topic, and more come; {then}",
        deadline_ms=kept_until_ms,
        step=f"look whether {destination} has an outage, and tell the contact; nothing has to be done here",
        command=f"streams connectors show {overview.connector.name}",
        scope=next(iter(lasting)) if len(lasting) == 1 else "",
        afterwards="the sink tries again by itself, and sends what waits, in order, once the destination answers",
    )


def _named(some: Iterable[str], scopes: Sequence[str]) -> str:
    """Scopes as a sentence names them."""
    named = list(some)
    if len(named) == 1:
        return f"scope {named[0]}"
    which = f"all {len(named)} scopes" if len(named) == len(scopes) else f"{len(named)} of {len(scopes)} scopes"
    return f"{which} ({', '.join(named)})"


def _invalid(overview: Overview, scope: str, state: ScopeState) -> Need:
    name, destination = overview.connector.name, overview.connector.destination
    said = "" if state.evidence is None else f": {state.evidence.status} {state.evidence.detail}".rstrip(" :")
    deadline_ms = overview.deadlines.get(scope)
    rules = Rules(overview.connector.grace_seconds)
    life = told((rules.grace_ms + state.extended_ms) / 1000)
    fate = f"each is deleted for good {life} after it was parked, the first at the deadline"
    parked = overview.account.parked.get("credentials", 0)
    every = told(rules.probe_seconds)
    return Need(
        kind="credentials",
        connector=name,
        what=f"{destination} refuses the credentials of scope {scope}{said}",
        since_ms=state.since,
        consequence=f"{_count(parked, 'letter')} parked for credentials; {fate}"
        if deadline_ms
        else f"{_count(parked, 'letter')} parked for credentials",
        deadline_ms=deadline_ms,
        step=f"{fix_of(overview.connector, scope)}. Until then, extend the deadline",
        command=f"streams connectors probe {name} --scope {scope}",
        action="probe",
        scope=scope,
        afterwards=f"a probe runs by itself every {every}. Once one is accepted, the parked letters are sent by "
        "themselves, in order (they are redriven): nothing has to be replayed",
        extension=f"streams dlq extend {name} --scope {scope} --by 24h --reason WHY",
    )


def _refused_though_good(overview: Overview, scope: str, state: ScopeState) -> Need:
    name, destination = overview.connector.name, overview.connector.destination
    return Need(
        kind="refused",
        connector=name,
        what=f"{destination} refuses traffic of scope {scope}, and accepts the probe",
        since_ms=state.refused_though_good,
        consequence="the sink waits and tries again; records wait on the topic",
        deadline_ms=_kept_until_ms(overview),
        step="look at the project's rights at the destination, then probe",
        command=f"streams connectors probe {name} --scope {scope}",
        action="probe",
        scope=scope,
    )


def _waiting(overview: Overview) -> str:
    return "1 record waits" if overview.account.waiting == 1 else f"{overview.account.waiting:,} records wait"


def _kept_until_ms(overview: Overview) -> int | None:
    """When Kafka may delete the oldest record that waits on the connector's topic."""
    oldest_ms = overview.lag.oldest_ms
    return None if oldest_ms is None else oldest_ms + connector_retention_ms(overview.connector)


def _letters(name: str, count: int, times: Times, what: str, now_ms: int) -> Need:
    said = "; ".join(_cut(words) for words in times.said[:REASONS_MAX])
    newest = f"; the newest was parked at {clock_time(times.newest, now_ms)} UTC" if times.newest else ""
    return Need(
        kind="letters",
        connector=name,
        what=f"{_count(count, 'record')} {what}" + (f", for example: {said}" if said else ""),
        since_ms=times.oldest,
        consequence=f"each is deleted for good 14 days after it was parked, the first at the deadline{newest}",
        deadline_ms=times.first_deadline,
        step="look at all causes and have them fixed: by who makes the events, in the configuration, or at the "
        "destination. Then replay, or purge what nobody needs",
        command=f"streams dlq top {name}",
        action="letters",
    )


def _cut(words: str) -> str:
    return words if len(words) <= REASON_LENGTH_MAX else f"{words[: REASON_LENGTH_MAX - 1]}…"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

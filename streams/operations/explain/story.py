"""What happened to an event, from the places where it was found and from the state of its connectors. Pure.

A story is about one Currents record, which is known by its origin. An event that is on the source twice has two
stories. Within one connector its copies and letters follow each other by the time of writing: routed, parked,
redriven or replayed, and so on; the last of them says where it is now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streams.config.names import SOURCE
from streams.delivery.letter import Origin, Verdict
from streams.operations.explain.receipts import Receipt
from streams.ports.kafka import Partition
from streams.state.credentials import Rules, deadline_ms
from streams.state.records import CREDENTIALS, PURGED, Job
from streams.state.state_view import StateView
from streams.workers.keeper.expiry import REJECTED_MS_MAX
from streams.workers.keeper.refused import NOT_TAKEN_BACK

Kind = Literal["currents", "connector", "letter"]

RouterState = Literal["routed", "skipped", "waiting", "parked", "unseen"]
ConnectorState = Literal[
    "waiting", "delivered", "skipped", "parked", "purged", "expired", "returned", "missing", "unsure"
]
"""`returned`: it left the dead letters, and its copy was not found. `missing`: its copy was not found.
`unsure`: delivered, or purged by a receipt whose letters are deleted."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record that holds the event. `connector` is `source` for the router's letters, empty for Currents records.

    `skip` is the router's reason for a Currents record, the sink's for a connector's copy, by the configuration as it
    is; `targets` are the connectors that a Currents record goes to.
    """

    kind: Kind
    partition: Partition
    offset: int
    written_ms: int
    origin: Origin
    event_type: str = ""
    event_time: int | None = None
    is_decoded: bool = True
    connector: str = ""
    letters: str = ""
    cause: str = ""
    verdict: Verdict | None = None
    skip: str = ""
    targets: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.partition[0]}/{self.partition[1]}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides sightings. It is read before the search, so that it claims nothing that the search cannot
    see.

    `router` and `sinks` are committed offsets; `earliest` is the first offset that is still there, per partition of
    the dead letters that were looked through; `letter_topics` gives the letters of each of those topics.
    """

    now_ms: int
    router: Mapping[Partition, int] = field(default_factory=dict)
    sinks: Mapping[str, Mapping[Partition, int]] = field(default_factory=dict)
    views: Mapping[str, StateView] = field(default_factory=dict)
    rules: Mapping[str, Rules] = field(default_factory=dict)
    receipts: Mapping[str, Sequence[Receipt]] = field(default_factory=dict)
    earliest: Mapping[Partition, int] = field(default_factory=dict)
    letter_topics: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story, in a few words. `at` is None if its time is not known."""

    what: str
    at: int | None
    detail: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """What happened to an event on its way to one connector. `source` means the router's own dead letters."""

    connector: str
    state: ConnectorState
    steps: tuple[Step, ...]
    deadline_ms: int | None = None
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One Currents record. `ways` are in the order of the connectors' names."""

    origin: Origin
    event_type: str
    event_time: int | None
    is_decoded: bool
    read: Sighting | None
    router: RouterState
    router_detail: str
    ways: tuple[Way, ...]


def stories(event_id: str, sightings: Iterable[Sighting], known: Known) -> list[Story]:
    """The story of each Currents record, by its place."""
    by_origin: defaultdict[Origin, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        by_origin[sighting.origin].append(sighting)
    order = sorted(by_origin, key=lambda origin: (origin.topic, origin.partition, origin.offset))
    return [_story(event_id, origin, by_origin[origin], known) for origin in order]


def _story(event_id: str, origin: Origin, sightings: list[Sighting], known: Known) -> Story:
    read = next((sighting for sighting in sightings if sighting.kind == "currents"), None)
    best = max(sightings, key=lambda sighting: (sighting.is_decoded, sighting.kind == "currents"))
    seen: defaultdict[str, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        if sighting.kind != "currents":
            seen[sighting.connector].append(sighting)
    router, detail = _routed(read, SOURCE in seen, known)
    targets = read.targets if read is not None and router == "routed" else ()
    ways = [_way(event_id, name, seen[name], best, known) for name in sorted({*seen, *targets})]
    return Story(origin, best.event_type, best.event_time, best.is_decoded, read, router, detail, tuple(ways))


def _routed(read: Sighting | None, is_parked: bool, known: Known) -> tuple[RouterState, str]:
    """What the router did with a Currents record, and why."""
    if is_parked:
        return "parked", "the router could not decode it"
    if read is None:
        return "unseen", "its Currents record was not found"
    committed = known.router.get(read.partition)
    if committed is None:
        return "waiting", "no router ever read this partition"
    if read.offset >= committed:
        source = known.views.get(SOURCE, StateView(SOURCE))
        wait = source.partition_waits(known.now_ms).get(f"{read.partition[0]}/{read.partition[1]}")
        why = "" if wait is None else f"; the partition waits for {wait.why}: {wait.detail}"
        return "waiting", f"{read.offset - committed:,} offsets before it{why}"
    if not read.is_decoded:
        return "unseen", "it cannot be decoded now, and no letter of it was found"
    if read.skip:
        return "skipped", read.skip
    return "routed", f"to {', '.join(read.targets)}" if read.targets else "to nobody"


def _way(event_id: str, connector: str, sightings: list[Sighting], event: Sighting, known: Known) -> Way:
    if not sightings:
        detail = "no copy was found: retention deleted it, or the configuration selected other events then"
        return Way(connector, "missing", (Step("missing", None, detail),))
    order = sorted(sightings, key=lambda sighting: (sighting.written_ms, sighting.kind == "letter", sighting.offset))
    view = known.views.get(connector, StateView(connector))
    steps: list[Step] = []
    before: Verdict | None = None
    parked_at: set[int] = set()
    for sighting in order:
        if sighting.kind == "letter":
            steps.append(_parked(sighting))
        else:
            arrived = _arrived(sighting, before, known)
            steps += [*_parked_unseen(sighting, arrived, parked_at), arrived]
        before = sighting.verdict or before
        parked_at.add((sighting.verdict or Verdict()).parked_at_ms)
    last = order[-1]
    if last.kind == "letter":
        return _letter_now(event_id, connector, last, steps, view, known)
    return _copy_now(connector, last, event, steps, view, known)


def _arrived(copy: Sighting, before: Verdict | None, known: Known) -> Step:
    """How a copy came onto the connector's topic."""
    verdict = copy.verdict
    if verdict is None:
        return Step("routed", copy.written_ms, f"from {copy.origin.topic}", copy.place)
    replays_before = 0 if before is None else before.replays
    if verdict.job is None or (before is not None and verdict.replays <= replays_before):
        return Step("redriven", copy.written_ms, "credentials were VALID again", copy.place)
    what = "replayed again" if verdict.again else "replayed"
    jobs = {name: job for view in known.views.values() for name, job in view.jobs.items()}
    return Step(what, copy.written_ms, _ordered(verdict.job, jobs.get(verdict.job)), copy.place)


def _parked(letter: Sighting) -> Step:
    """The step of a letter. A letter of credentials that the connector's topic refused was moved, not parked by a
    sink."""
    verdict = letter.verdict or Verdict()
    is_moved = verdict.detail.startswith(NOT_TAKEN_BACK)
    cause = letter.cause or "no cause"
    detail = _reason(f"from credentials to {cause}:" if is_moved else cause, verdict)
    return Step("moved" if is_moved else "parked", verdict.parked_at_ms or letter.written_ms, detail, letter.place)


def _parked_unseen(copy: Sighting, arrived: Step, parked_at: Collection[int]) -> Iterator[Step]:
    """The letter that a copy was made of, from the copy's header; none if the letter itself was found (`parked_at`).

    Letters that went back are deleted within seconds. Letters of the router are told at the source; only a copy of a
    settled letter (`again`) names one.
    """
    verdict = copy.verdict
    if verdict is None or verdict.again or not verdict.parked_at_ms or verdict.parked_at_ms in parked_at:
        return
    reason = _reason("credentials" if arrived.what == "redriven" else "", verdict)
    yield Step("parked", verdict.parked_at_ms, "; ".join(part for part in (reason, "its letter was not found") if part))


def _reason(cause: str, verdict: Verdict) -> str:
    """Cause, status and the destination's words, and the credential scope."""
    parts = [cause, str(verdict.status) if verdict.status else "", verdict.detail]
    scope = f"scope {verdict.scope}" if verdict.scope else ""
    return ", ".join(part for part in (" ".join(part for part in parts if part), scope) if part)


def _copy_now(connector: str, copy: Sighting, event: Sighting, steps: list[Step], view: StateView, known: Known) -> Way:
    """Where the newest copy on the connector's topic is."""
    committed = known.sinks.get(connector, {}).get(copy.partition, 0)
    if copy.offset >= committed:
        detail = f"{copy.offset - committed:,} offsets before it"
        if view.state.state == "SUSPENDED":
            detail += f"; the connector is SUSPENDED by {view.state.by}: {view.state.reason}"
        for scope, back_off in view.back_offs(known.now_ms).items():
            detail += f"; scope {scope} is {back_off.sentence(known.now_ms)}"
        now = Step("waiting", known.now_ms, detail)
        return Way(connector, "waiting", (*steps, now), next_step=f"streams connectors show {connector}")
    if copy.skip:
        return Way(connector, "skipped", (*steps, Step("skipped", None, copy.skip)))
    doubt = _may_have_gone(connector, copy, event, known)
    if doubt is not None:
        detail = f"or {doubt.what} by a receipt of {doubt.letters} whose letters are deleted ({doubt.why})"
        return Way(connector, "unsure", (*steps, Step("delivered", None, detail)))
    return Way(
        connector,
        "delivered",
        (*steps, Step("delivered", None, "the sink committed an offset after it, and it is not a dead letter")),
    )


def _may_have_gone(connector: str, copy: Sighting, event: Sighting, known: Known) -> Receipt | None:
    """A receipt that may be about this event's letter. The letter's bytes are deleted, so this cannot be checked."""
    topics = {letters: topic for topic, (owner, letters) in known.letter_topics.items() if owner == connector}
    for receipt in known.receipts.get(connector, ()):
        if receipt.at < copy.written_ms or not receipt.may_hold(event.event_type, event.event_time):
            continue
        for number, ranges in receipt.offsets.items():
            earliest = known.earliest.get((topics.get(receipt.letters, ""), number), 0)
            if any(start < earliest for start, _ in ranges):
                return receipt
    return None


def _letter_now(
    event_id: str, connector: str, letter: Sighting, steps: list[Step], view: StateView, known: Known
) -> Way:
    """Where the newest letter is."""
    place = (letter.letters, letter.partition[1])
    receipt = next(
        (
            receipt
            for receipt in known.receipts.get(connector, ())
            if receipt.letters == letter.letters and receipt.covers(letter.partition[1], letter.offset)
        ),
        None,
    )
    if receipt is not None:
        state: ConnectorState = "expired" if receipt.what == "expired" else "purged"
        said = Step(state, receipt.at, f"by {receipt.who}: {receipt.why}")
        return Way(connector, state, (*steps, said))
    if not view.is_settled(place, letter.offset):
        return _still_parked(event_id, connector, letter, steps, view, known)
    purged = view.settled.get((PURGED, letter.partition[1]))
    job = _job_of(place, letter, view)
    detail = "" if job is None else _ordered(*job)
    if (purged is not None and letter.offset in purged) or (job is not None and job[1].action == "purge"):
        return Way(connector, "purged", (*steps, Step("purged", None, detail or "its receipt was not found")))
    if connector == SOURCE:
        detail = detail or "by a job that is not remembered"
        return Way(connector, "returned", (*steps, Step("routed again", None, detail)))
    where = "it went back to the connector's topic, but no copy was found there"
    return Way(connector, "returned", (*steps, Step("returned", None, f"{detail}; {where}" if detail else where)))


def _still_parked(
    event_id: str, connector: str, letter: Sighting, steps: list[Step], view: StateView, known: Known
) -> Way:
    parked_at = (letter.verdict or Verdict()).parked_at_ms or letter.written_ms
    show = f"streams connectors show {connector}"
    if not letter.letters.startswith(CREDENTIALS):
        replay = f"streams dlq replay {connector} --event-id {event_id}"
        return Way(connector, "parked", tuple(steps), parked_at + REJECTED_MS_MAX, replay)
    scope = view.scope(letter.letters.removeprefix(CREDENTIALS))
    if scope.state == "VALID":
        step = Step("goes back", known.now_ms, "credentials are VALID: its redrive is under way")
        return Way(connector, "parked", (*steps, step), next_step=show)
    rules = known.rules.get(connector)
    deadline = None if rules is None else deadline_ms(parked_at, scope, view.state, rules, known.now_ms)
    return Way(connector, "parked", tuple(steps), deadline, show)


def _job_of(place: tuple[str, int], letter: Sighting, view: StateView) -> tuple[str, Job] | None:
    """The newest job that read past this letter after it was parked. Most likely it settled the letter."""
    found = None
    for name, job in view.jobs.items():
        if job.created >= letter.written_ms and job.positions.get(f"{place[0]}/{place[1]}", 0) > letter.offset:
            found = (name, job)
    return found


def _ordered(name: str, job: Job | None) -> str:
    """Who ordered a job."""
    if job is None:
        return f"by job {name}"
    return f"by job {name} of {job.who}" + (f": {job.reason}" if job.reason else "")

"""Makes a plan: reads the letters that a selection means, and counts what would happen to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.operations.dead_letters.facts import Facts
from streams.operations.dead_letters.filters import Filters, selection_of
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters, silent
from streams.operations.dead_letters.overview import overview
from streams.operations.dead_letters.topics import DeadLetters
from streams.operations.errors import NothingMatched, OperationError, PlanStale
from streams.operations.installation import Installation
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Stretch
from streams.state.moments import iso
from streams.state.orders import Action
from streams.state.plan import LEFT_OUT_SENTENCES, Plan, Planner, is_purged
from streams.state.records import CREDENTIALS

REPLAYS_PER_SECOND_MAX = 1_000.0
"""The rate of a replay if none is given. It is at most half of the account's rate at the destination, because live
traffic goes through the same sink."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """A plan of one connector's letters, its rate (letters per second; None: as fast as Kafka takes them), and what
    the person who orders it should know first."""

    connector: str
    plan: Plan
    rate: float | None
    warnings: tuple[str, ...] = ()

    @property
    def estimate_seconds(self) -> float | None:
        return self.plan.letters / self.rate if self.rate else None

    def to_json(self) -> dict[str, Any]:
        """Times are ISO 8601, the estimate is in seconds."""
        content = self.plan.to_json()
        content["selection"] = shown_selection(content["selection"])
        estimate = self.estimate_seconds
        return {
            "connector": self.connector,
            **content,
            "rate": self.rate,
            "estimate_seconds": None if estimate is None else round(estimate, 1),
            "warnings": list(self.warnings),
        }


def planned(
    installation: Installation,
    name: str,
    action: Action,
    filters: Filters,
    *,
    rate: float | None = None,
    expected: str | None = None,
    report: Report = silent,
) -> OrderPlan:
    """The plan, as of now. `expected` is the id that it must have.

    Raises `BadRequest`, `PlanStale`, `NothingMatched`, and `OperationError` where the topic is missing.
    """
    with open_letters(installation, name) as opened:
        selection = selection_of(opened.dead, filters, installation.clock.epoch_ms())
        plan = _plan(opened, Planner(action, selection, opened.view.totals.revision), report)
        warnings = _warnings(opened, plan)
    if expected is not None and plan.id != expected:
        raise PlanStale(
            f"plan {expected} is stale: letters came or were settled meanwhile, or the options differ. It is now "
            f"plan {plan.id} with {plan.letters:,} letters"
        )
    if not plan.letters:
        raise NothingMatched(_nothing(name, plan) + _parked_elsewhere(installation, name, filters))
    if action == "replay":
        rate = rate or replay_rate(opened.dead)
    return OrderPlan(name, plan, rate, warnings)


def replay_rate(dead: DeadLetters) -> float:
    """Letters per second of a replay without a given rate."""
    account = None if dead.connector is None else dead.connector.rate_per_second
    if dead.connector is not None and account is None:
        account = dead.connector.limits().records_per_second
    return REPLAYS_PER_SECOND_MAX if account is None else min(REPLAYS_PER_SECOND_MAX, account / 2)


def shown_selection(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A selection with its times as people read them, and without the salt of users to forget."""
    return {
        name: iso(value) if name in ("since", "until") else value for name, value in arguments.items() if name != "salt"
    }


def _plan(opened: OpenLetters, planner: Planner, report: Report) -> Plan:
    letters = planner.selection.letters
    starts = opened.starts([letters])
    if not starts:
        raise OperationError(f"there is no topic {opened.dead.topics[letters]}; make it with `streams topics apply`")
    facts = Facts(opened.events, planner.selection)
    for (_, number), found in _stretches(opened, planner, starts, report):
        _take(planner, opened, number, found, facts)
        if planner.is_full:
            break
    return planner.finish()


def _stretches(
    opened: OpenLetters, planner: Planner, starts: dict[Partition, int], report: Report
) -> Iterator[Stretch]:
    """With a limit, reads one partition after the other, so that it takes the same letters each time."""
    if planner.selection.limit is None:
        yield from opened.scan(starts, report)
        return
    for partition, start in sorted(starts.items()):
        yield from opened.scan({partition: start}, report)


def _take(planner: Planner, opened: OpenLetters, number: int, letters: Iterable[Message], facts: Facts) -> None:
    name, view = planner.selection.letters, opened.view
    for message in letters:
        if planner.is_closed(number):
            return
        offset = message.offset()
        planner.take(
            number,
            offset,
            facts.of(message),
            is_settled=view.is_settled((name, number), offset),
            is_purged=is_purged(view, name, number, offset),
        )


def _warnings(opened: OpenLetters, plan: Plan) -> tuple[str, ...]:
    """A replay into an INVALID scope parks its letters again, and counts as one of their replays. With `--again` what
    was delivered goes out once more, and a destination that receives records of the way back deduplicates nothing."""
    if plan.action != "replay" or opened.dead.connector is None:
        return ()
    letters = plan.selection.letters
    scopes = [letters.removeprefix(CREDENTIALS)] if letters.startswith(CREDENTIALS) else opened.dead.scopes
    name = opened.dead.name
    warnings = [
        f"scope {scope} of {name} is INVALID since {iso(opened.view.scope(scope).since)}: its letters are parked "
        f"again at once. Fix its secret first; once a probe is accepted, they are sent "
        f"by themselves: `streams connectors probe {name} --scope {scope}`"
        for scope in scopes
        if opened.view.scope(scope).state == "INVALID"
    ]
    if plan.selection.again and getattr(opened.dead.connector.settings, "receive", None):
        warnings.append(
            "--again also sends letters that were sent back before: events and purchases that were delivered then are "
            f"counted a second time by {opened.dead.connector.destination}"
        )
    state = opened.view.state
    if state.state == "SUSPENDED":
        warnings.append(f"{name} is SUSPENDED by {state.by}: the letters wait until `streams connectors resume {name}`")
    return tuple(warnings)


def _parked_elsewhere(installation: Installation, name: str, filters: Filters) -> str:
    """Where no letter matched: letters that are parked for credentials are selected by their scope only."""
    if filters.scope is not None:
        return ""
    letters = overview(installation, name)
    scopes = [row.scope for row in letters.scopes if row.times.oldest]
    if not scopes:
        return ""
    parked = sum(row.letters for row in letters.causes if row.cause == "credentials")
    options = " or ".join(f"--scope {scope}" for scope in scopes)
    return f"; {parked:,} are parked for credentials: select them with {options}"


def _nothing(name: str, plan: Plan) -> str:
    left = "; ".join(f"{count:,} {LEFT_OUT_SENTENCES[reason]}" for reason, count in plan.left_out.items())
    what = f"no letter of {name} to {plan.action} matches"
    return f"{what}; left out: {left}" if left else f"{what}: see `streams dlq top {name}`"

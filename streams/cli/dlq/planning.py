"""Plans an order: reads the letters that a selection means, and says what would become of how many."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from streams.cli.dlq.reading import CLIENT_ID, EventTypes, scanned, starts_of
from streams.cli.errors import CommandError, ExitCode
from streams.cli.output import note, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.adapters.kafka.scan import Stretch
    from streams.cli.dlq.place import DeadLetters
    from streams.ports.kafka import Message, Partition
    from streams.state.orders import Action
    from streams.state.plan import Plan, Planner
    from streams.state.selection import LetterFacts, Selection
    from streams.state.standing import Standing
    from streams.workers.reading.event_reader import EventReader

REPLAYS_PER_SECOND_MAX = 1_000.0
"""A replay's rate where none is given, and never more than half of what the destination's account takes: live traffic
goes through the same sink."""


def planned(dead: DeadLetters, selection: Selection, action: Action) -> Plan:
    """The plan, as things stand now. Raises `CommandError` where a topic is gone."""
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.schemas.resolver import schema_resolver
    from streams.adapters.state.standings import read_standings
    from streams.state.plan import Planner
    from streams.workers.reading.event_reader import EventReader

    settings = dead.settings
    standing = read_standings(settings)[dead.name]
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    starts = starts_of(administration, dead, standing, [selection.letters])
    if not starts:
        raise CommandError(
            f"there is no topic {dead.topics[selection.letters]}; make it with `streams topics apply`",
            ExitCode.FAILED,
        )
    planner = Planner(action, selection, standing.totals.revision)
    with ExitStack() as stack:
        facts = Facts(EventReader(schema_resolver(settings, CLIENT_ID, stack, 0.0)), selection)
        for (_, number), letters in _stretches(dead, starts, selection):
            _take(planner, standing, number, letters, facts)
            if planner.is_full:
                break
    return planner.finish()


class Facts:
    """What a selection looks at, of each letter; values are decoded only where it asks for event ids."""

    def __init__(self, events: EventReader, selection: Selection) -> None:
        self._events = events
        self._types = EventTypes(events)
        self._ids = {event_id: event_id.encode() for event_id in selection.event_ids}

    def of(self, message: Message) -> LetterFacts:
        from streams.state.selection import LetterFacts

        return LetterFacts.of(message.headers() or [], self._types.of(message), self._event_id(message))

    def _event_id(self, message: Message) -> str:
        """Strings lie in Avro as they are: a value that does not hold the id's bytes is none of these events."""
        value = message.value() or b""
        if not any(mark in value for mark in self._ids.values()):
            return ""
        return self._events.read(message).event_id


def print_plan(plan: Plan, name: str, rate: float | None) -> None:
    """The plan as a table, with what is left out and how long it takes."""
    from streams.state.plan import LEFT_OUT_SENTENCES

    print_table(
        ("LETTERS", "CAUSE", "EVENT TYPE"),
        ((count, cause, event_type) for (cause, event_type), count in plan.most_first()),
    )
    for reason, count in plan.left_out.items():
        note(f"left out: {count:,} {LEFT_OUT_SENTENCES[reason]}")
    took = f", about {duration(plan.letters / rate)} at {rate:,.0f}/s" if rate else ""
    note(f"plan {plan.id}: {plan.action} {plan.letters:,} letters of {name}{took}")


def plan_json(plan: Plan, name: str, rate: float | None) -> dict[str, Any]:
    """The plan as JSON: times are ISO 8601, the estimate is in seconds."""
    content = plan.to_json()
    content["selection"] = shown_selection(content["selection"])
    estimate = round(plan.letters / rate, 1) if rate else None
    return {"connector": name, **content, "rate": rate, "estimate_seconds": estimate}


def shown_selection(arguments: dict[str, Any]) -> dict[str, Any]:
    """A selection with its times as people read them."""
    from streams.state.moments import iso

    return {name: iso(value) if name in ("since", "until") else value for name, value in arguments.items()}


def replay_rate(dead: DeadLetters) -> float:
    """Letters per second of a replay for which no rate was given."""
    account = None if dead.connector is None else dead.connector.rate_per_second
    if dead.connector is not None and account is None:
        account = dead.connector.build().limits.records_per_second
    return REPLAYS_PER_SECOND_MAX if account is None else min(REPLAYS_PER_SECOND_MAX, account / 2)


def duration(seconds: float) -> str:
    """A length of time for people."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _stretches(dead: DeadLetters, starts: dict[Partition, int], selection: Selection) -> Iterator[Stretch]:
    """One partition after the other where there is a limit, so that the same letters are taken each time."""
    if selection.limit is None:
        yield from scanned(dead, starts, "read")
        return
    for partition, start in sorted(starts.items()):
        yield from scanned(dead, {partition: start}, "read")


def _take(planner: Planner, standing: Standing, number: int, letters: Iterable[Message], facts: Facts) -> None:
    from streams.state.plan import is_purged

    name = planner.selection.letters
    for message in letters:
        if planner.is_closed(number):
            return
        offset = message.offset()
        planner.take(
            number,
            offset,
            facts.of(message),
            is_settled=standing.is_settled((name, number), offset),
            is_purged=is_purged(standing, name, number, offset),
        )

"""`streams dlq top`: letters grouped by what went wrong, most first."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq.place import Name, dead_letters
from streams.cli.dlq.reading import CLIENT_ID, names_by_topic, scanned, starts_of
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.cli.dlq.place import DeadLetters
    from streams.state.top import Groups

MESSAGE_CHARACTERS_MAX = 80
"""Of a message in the table; JSON has it whole."""


@translated
def top(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many groups are listed.")] = 20,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Group the dead letters by fingerprint: cause, status, message without its variable parts, event type."""
    from streams.state.moments import iso

    dead = dead_letters(settings_from(config), name)
    groups, letters = _grouped(dead)
    listed = groups.most_first()
    if output is Format.JSON:
        content = {"connector": name, "letters": letters, "groups_found": len(listed), "others": groups.others}
        print_json({**content, "groups": [group.to_json(iso) for group in listed[:limit]]})
        return
    print_table(
        ("LETTERS", "CAUSE", "STATUS", "EVENT TYPE", "FIRST", "LAST", "FINGERPRINT", "MESSAGE"),
        (
            (
                group.count,
                group.cause,
                group.status or "",
                group.event_type,
                iso(group.first_ms),
                iso(group.last_ms),
                group.fingerprint,
                _shortened(group.message),
            )
            for group in listed[:limit]
        ),
    )
    if groups.others:
        note(f"{groups.others:,} letters more are of kinds that were not kept apart")
    if len(listed) > limit:
        note(f"{len(listed) - limit:,} groups more: --limit {len(listed)}")
    if listed:
        note(f"one of them whole:\n  streams dlq show {name} --fingerprint {listed[0].fingerprint}")


def _grouped(dead: DeadLetters) -> tuple[Groups, int]:
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.schemas.resolver import schema_resolver
    from streams.adapters.state.standings import read_standings
    from streams.state.top import Groups
    from streams.workers.reading.event_reader import EventReader

    settings = dead.settings
    standing = read_standings(settings)[dead.name]
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    starts = starts_of(administration, dead, standing, dead.topics)
    names = names_by_topic(dead)
    with ExitStack() as stack:
        groups = Groups(EventReader(schema_resolver(settings, CLIENT_ID, stack, 0.0)).event_type)
        for (topic, number), letters in scanned(dead, starts, "read"):
            partition = (names[topic], number)
            groups.take(letters, f"{names[topic]}/{number}", standing.settled.get(partition))
    return groups, sum(group.count for group in groups.most_first()) + groups.others


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_CHARACTERS_MAX else f"{line[: MESSAGE_CHARACTERS_MAX - 1]}…"

"""`streams dlq top`: letters grouped by what went wrong, most first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.dlq.progress import progress
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.state.top import Group, Trouble

MESSAGE_CHARACTERS_MAX = 80
"""Of a message in the table; JSON has it whole."""
TYPES_SHOWN_MAX = 2


@translated
def top(
    name: Name,
    by_type: Annotated[
        bool, typer.Option("--by-type", help="One row for each event type, with its fingerprint.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many rows are listed.")] = 20,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Group the dead letters by cause, status and message without its variable parts, over all event types."""
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.groups import grouped
    from streams.operations.dead_letters.groups import listed as in_json

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation, progress("read") as report:
        groups = grouped(installation, name, report)
    listed: Sequence[Group | Trouble] = groups.most_first() if by_type else groups.troubles()
    if output is Format.JSON:
        print_json(in_json(groups, name, limit=limit, by_type=by_type))
        return
    if by_type:
        _print_groups(groups.most_first()[:limit])
    else:
        _print_troubles(groups.troubles()[:limit])
    if groups.others:
        note(f"{groups.others:,} more letters are in groups that are not listed")
    if len(listed) > limit:
        note(f"{len(listed) - limit:,} rows more: --limit {len(listed)}")
    if not listed:
        note(f"{name} has no dead letters")
    else:
        _say_next(name, groups.troubles()[0], by_type)


def _print_troubles(troubles: Sequence[Trouble]) -> None:
    from streams.state.moments import iso

    print_table(
        ("LETTERS", "AGAIN", "CAUSE", "STATUS", "EVENT TYPES", "FIRST", "LAST", "MESSAGE"),
        (
            (
                one.count,
                one.parked_again,
                one.largest.cause,
                one.largest.status or "",
                _types(one),
                iso(one.first_ms),
                iso(one.last_ms),
                _shortened(one.largest.message),
            )
            for one in troubles
        ),
    )


def _print_groups(groups: Sequence[Group]) -> None:
    from streams.state.moments import iso

    print_table(
        ("LETTERS", "AGAIN", "CAUSE", "STATUS", "EVENT TYPE", "FIRST", "LAST", "FINGERPRINT", "MESSAGE"),
        (
            (
                group.count,
                group.parked_again,
                group.cause,
                group.status or "",
                group.event_type,
                iso(group.first_ms),
                iso(group.last_ms),
                group.fingerprint,
                _shortened(group.message),
            )
            for group in groups
        ),
    )


def _types(trouble: Trouble) -> str:
    """How many event types, and the largest of them by name."""
    names = [group.event_type or "unknown" for group in trouble.groups]
    if len(names) == 1:
        return names[0]
    more = ", …" if len(names) > TYPES_SHOWN_MAX else ""
    return f"{len(names)}: {', '.join(names[:TYPES_SHOWN_MAX])}{more}"


def _say_next(name: str, first: Trouble, by_type: bool) -> None:
    note(f"show one of them:\n  streams dlq show {name} --fingerprint {first.largest.fingerprint}")
    if not by_type:
        note(
            f"each event type, with the fingerprint that `replay` and `purge` take:\n  streams dlq top {name} --by-type"
        )


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_CHARACTERS_MAX else f"{line[: MESSAGE_CHARACTERS_MAX - 1]}…"

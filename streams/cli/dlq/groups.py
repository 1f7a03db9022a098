"""`streams dlq top`: letters grouped by what went wrong, most first."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.dlq.progress import progress
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

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
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.groups import grouped
    from streams.state.moments import iso

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation, progress("read") as report:
        groups = grouped(installation, name, report)
    listed = groups.most_first()
    if output is Format.JSON:
        letters = sum(group.count for group in listed) + groups.others
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
        note(f"{groups.others:,} more letters belong to groups that are not listed")
    if len(listed) > limit:
        note(f"{len(listed) - limit:,} groups more: --limit {len(listed)}")
    if listed:
        note(f"one of them whole:\n  streams dlq show {name} --fingerprint {listed[0].fingerprint}")


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_CHARACTERS_MAX else f"{line[: MESSAGE_CHARACTERS_MAX - 1]}…"

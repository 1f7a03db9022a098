"""`streams dlq list`: how many letters there are by cause, since when, and by when something must happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.operations.dead_letters.overview import LettersOverview


@translated
def list_letters(name: Name, config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Count the dead letters of a connector by cause, with the oldest, the newest and the first deadline."""
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.overview import export_command, overview
    from streams.state.moments import iso

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        found = overview(installation, name)
    if output is Format.JSON:
        print_json(found.to_json())
        return
    print_table(
        ("CAUSE", "LETTERS", "OLDEST", "NEWEST", "FIRST DEADLINE"),
        (
            (
                row.cause,
                row.letters,
                iso(row.times.oldest),
                iso(row.times.newest),
                deadline(row.times.first_deadline, found.now_ms),
            )
            for row in found.causes
        ),
    )
    _say_next(found)
    for topic, owner in found.orphaned.items():
        note(f"orphaned: {topic} belongs to nothing in the configuration and is not changed; keep it with")
        note(f"  {export_command(owner)}")


def _say_next(found: LettersOverview) -> None:
    """The next step, as a command."""
    from streams.state.moments import iso

    name = found.connector
    for row in found.scopes:
        if row.state == "INVALID":
            purged_at = deadline(row.times.first_deadline, found.now_ms)
            until = f", its letters are purged from {purged_at}" if purged_at else ""
            note(f"scope {row.scope} is INVALID since {iso(row.since)}{until}: fix its secret, then")
            note(f"  streams connectors probe {name}")
            note("or, for more time")
            note(f"  streams dlq extend {name} --scope {row.scope} --by 24h --reason WHY")
    if any(row.letters for row in found.causes if row.cause != "credentials"):
        note("what went wrong, most frequent first:")
        note(f"  streams dlq top {name}")


def deadline(deadline_ms: int | None, now_ms: int) -> str | None:
    """A time to come and how far away it is. One that has passed is no time to wait for: the keeper deletes now."""
    from streams.state.moments import iso, told

    if deadline_ms is None:
        return None
    if deadline_ms <= now_ms:
        return "now"
    return f"{iso(deadline_ms)} (in {told((deadline_ms - now_ms) / 1000)})"

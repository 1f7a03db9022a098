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
    from streams.operations.dead_letters.overview import overview

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        found = overview(installation, name)
    if output is Format.JSON:
        print_json(_listed(found))
        return
    rows = [row.to_json() for row in found.causes]
    print_table(
        ("CAUSE", "LETTERS", "OLDEST", "NEWEST", "FIRST DEADLINE"),
        ((row["cause"], row["letters"], row["oldest"], row["newest"], row["first_deadline"]) for row in rows),
    )
    _say_next(found)
    for topic, owner in found.orphaned.items():
        note(f"orphaned: {topic} belongs to nothing in the configuration and is not changed; keep it with")
        note(f"  {_export_command(owner)}")


def _listed(found: LettersOverview) -> dict[str, object]:
    return {
        "connector": found.connector,
        "causes": [row.to_json() for row in found.causes],
        "scopes": [row.to_json() for row in found.scopes],
        "orphaned": [{"topic": topic, "next": _export_command(owner)} for topic, owner in found.orphaned.items()],
    }


def _say_next(found: LettersOverview) -> None:
    """The next step, as a command."""
    name = found.connector
    for row in found.scopes:
        scope = row.to_json()
        if row.state == "INVALID":
            until = f", its letters are purged from {scope['first_deadline']}" if scope["first_deadline"] else ""
            note(f"scope {row.scope} is INVALID since {scope['since']}{until}: fix its secret, then")
            note(f"  streams connectors probe {name}")
            note("or, for more time")
            note(f"  streams dlq extend {name} --scope {row.scope} --by 24h --reason WHY")
    if any(row.letters for row in found.causes if row.cause != "credentials"):
        note("what they are, most first:")
        note(f"  streams dlq top {name}")


def _export_command(owner: str) -> str:
    return f"streams dlq export {owner} --orphaned --to {owner}.letters.gz"

"""`streams dlq show`: one letter, why it was parked, and what would be sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.dlq.progress import progress
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.operations.dead_letters.letter import Letter


@translated
def show(
    name: Name,
    event_id: Annotated[str | None, typer.Option("--event-id", metavar="ID", help="The event with this id.")] = None,
    offset: Annotated[
        str | None, typer.Option("--offset", metavar="PLACE", help="The letter there: letters/partition/offset.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="DIGITS", help="The first letter of this group.")
    ] = None,
    show_payload: Annotated[
        bool, typer.Option("--show-payload", help="Show all values, personal data among them.")
    ] = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one dead letter: its reason, its event and what would be sent. Personal data stays hidden."""
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.letter import Wanted, letter

    wanted = Wanted(event_id, offset, fingerprint)
    with (
        connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation,
        progress("searched") as report,
    ):
        found = letter(installation, name, wanted, shows_all=show_payload, report=report)
    if output is Format.JSON:
        print_json(found.to_json())
        return
    _print(found)
    if not show_payload:
        note("values are hidden; --show-payload shows them")


def _print(letter: Letter) -> None:
    verdict = letter.to_json()["verdict"]
    for name, value in (
        ("place", letter.place),
        ("topic", letter.topic),
        ("settled", "replayed" if letter.is_settled else "no"),
        ("origin", letter.origin.to_header().decode()),
        ("event", f"{letter.event_type or 'of unknown type'} {letter.event_id}".rstrip()),
        ("cause", letter.cause),
        ("status", verdict["status"] or "-"),
        ("detail", verdict["detail"]),
        ("scope", verdict["scope"] or "-"),
        ("parked first", verdict["first_parked_at"] or "-"),
        ("parked at", verdict["parked_at"] or "-"),
        ("attempts", verdict["attempts"]),
        ("replays", verdict["replays"]),
        ("fingerprint", letter.fingerprint),
        ("key", letter.key or "-"),
    ):
        print(f"{name:<12} {value}")
    print("\nheaders")
    for name, value in letter.headers:
        print(f"  {name}: {'(null)' if value is None else value}")
    print("\nevent")
    print(_pretty(letter.payload) if letter.payload is not None else "cannot be decoded")
    sent = letter.sent
    if "body" in sent:
        print(f"\nwould be sent, credential scope {sent['scope']}")
        print(_pretty(sent["body"]))
    elif "routed_to" in sent:
        print(f"\nwould be routed to: {', '.join(sent['routed_to']) or 'no connector'}")
    elif "unknown" in sent:
        print(f"\nwould be sent: unknown here, because a secret cannot be read: {sent['unknown']}")
    else:
        print(f"\nwould not be sent: {sent.get('rejected') or sent.get('skipped')}")


def _pretty(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)

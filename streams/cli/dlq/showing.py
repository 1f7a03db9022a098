"""`streams dlq show`: one letter, why it was parked, and what would be sent."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.finding import Found, letter_at, letter_of_event, letter_with_fingerprint
from streams.cli.dlq.place import DeadLetters, Name, dead_letters
from streams.cli.dlq.reading import CLIENT_ID
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.ports.kafka import Message
    from streams.state.standing import Standing
    from streams.workers.reading.schema_resolver import SchemaResolver


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
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.schemas.resolver import schema_resolver
    from streams.adapters.state.standings import read_standings

    if sum(given is not None for given in (event_id, offset, fingerprint)) != 1:
        raise CommandError("say which letter: one of --event-id, --offset, --fingerprint", ExitCode.USAGE)
    settings = settings_from(config)
    dead = dead_letters(settings, name)
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    standing = read_standings(settings)[name]
    with ExitStack() as stack:
        resolver = schema_resolver(settings, CLIENT_ID, stack, 0.0)
        if offset is not None:
            found = letter_at(dead, administration, standing, offset)
        elif event_id is not None:
            found = letter_of_event(dead, administration, standing, resolver, event_id)
        else:
            found = letter_with_fingerprint(dead, administration, standing, str(fingerprint))
        content = _content(dead, standing, resolver, found, show_payload)
    if output is Format.JSON:
        print_json(content)
        return
    _print(content)
    if not show_payload:
        note("values are hidden; --show-payload shows them")


def _content(
    dead: DeadLetters, standing: Standing, resolver: SchemaResolver, found: Found, shows_all: bool
) -> dict[str, Any]:
    from streams.delivery.letter import Origin, origin_of
    from streams.state.moments import iso
    from streams.state.redaction import masked, masked_text
    from streams.state.selection import LetterFacts
    from streams.workers.reading.event_reader import EventReader

    message, events = found.message, EventReader(resolver)
    headers = message.headers() or []
    event, record = events.read(message), events.record(message)
    facts = LetterFacts.of(headers)
    here = Origin(message.topic(), message.partition(), message.offset())
    is_settled = standing.is_settled((found.letters, message.partition()), message.offset())
    return {
        "connector": dead.name,
        "place": found.place,
        "topic": message.topic(),
        "settled": "replayed" if is_settled else None,
        "origin": origin_of(headers, here).to_header().decode(),
        "cause": facts.cause,
        "fingerprint": facts.fingerprint,
        "verdict": {
            "status": facts.verdict.status,
            "detail": facts.verdict.detail,
            "scope": facts.verdict.scope,
            "parked_at": iso(facts.verdict.parked_at_ms),
            "attempts": facts.verdict.attempts,
            "replays": facts.verdict.replays,
            "job": facts.verdict.job,
        },
        "event_type": event.event_type,
        "event_id": event.event_id,
        "key": masked_text(message.key(), shows_all=shows_all),
        "headers": [
            {"name": name, "value": masked_text(value, shows_all=shows_all or _is_ours(name))}
            for name, value in headers
        ],
        "payload": None if record is None else masked(record, shows_all=shows_all),
        "sent": _sent(dead, resolver, message, shows_all),
    }


def _is_ours(name: str) -> bool:
    return name.startswith(("streams-", "__connect.errors."))


def _sent(dead: DeadLetters, resolver: SchemaResolver, message: Message, shows_all: bool) -> dict[str, Any]:
    """What a replay would send: a scope and its body, or why nothing; for the source, who would get the event."""

    from streams.delivery.contract import Rejected, Skipped
    from streams.ports.errors import SchemasUnavailable
    from streams.workers.reading.schema_resolver import Known, event_type_header

    try:
        resolution = resolver.resolve(message.value(), "", event_type_header(message) if message.value() else None)
    except SchemasUnavailable as error:
        return {"rejected": f"the schema registry does not answer: {error}"}
    if not isinstance(resolution, Known):
        return {"rejected": resolution.detail}
    if dead.connector is None:
        event_type = resolution.schema.event_type
        connectors = dead.settings.connectors.values()
        return {"routed_to": [connector.name for connector in connectors if event_type in connector.event_types]}
    encoder = dead.connector.build().encoder(resolution.schema)
    if encoder is None:
        return {"rejected": f"no mapping for event type {resolution.schema.event_type}"}
    match encoder(message.value() or b"", resolution.start):
        case Skipped(reason):
            return {"skipped": reason}
        case Rejected(detail):
            return {"rejected": detail}
        case (scope, body, cut):
            return {"scope": scope, "body": _shown(body, shows_all=shows_all), "truncated": cut}


def _shown(body: bytes, *, shows_all: bool) -> Any:
    """What would be sent: as JSON where it is, else as text, which shows whole or not at all."""
    import orjson

    from streams.state.redaction import masked

    try:
        return masked(orjson.loads(body), shows_all=shows_all)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace") if shows_all else f"({len(body)} bytes)"


def _print(content: dict[str, Any]) -> None:
    verdict = content["verdict"]
    for name, value in (
        ("place", content["place"]),
        ("topic", content["topic"]),
        ("settled", content["settled"] or "no"),
        ("origin", content["origin"]),
        ("event", f"{content['event_type'] or 'of unknown type'} {content['event_id']}".rstrip()),
        ("cause", content["cause"]),
        ("status", verdict["status"] or "-"),
        ("detail", verdict["detail"]),
        ("scope", verdict["scope"] or "-"),
        ("parked at", verdict["parked_at"] or "-"),
        ("attempts", verdict["attempts"]),
        ("replays", verdict["replays"]),
        ("fingerprint", content["fingerprint"]),
        ("key", content["key"] or "-"),
    ):
        print(f"{name:<12} {value}")
    print("\nheaders")
    for header in content["headers"]:
        print(f"  {header['name']}: {'(null)' if header['value'] is None else header['value']}")
    print("\nevent")
    print(_pretty(content["payload"]) if content["payload"] is not None else "cannot be decoded")
    sent = content["sent"]
    if "body" in sent:
        print(f"\nwould be sent, credential scope {sent['scope']}")
        print(_pretty(sent["body"]))
    elif "routed_to" in sent:
        print(f"\nwould be routed to: {', '.join(sent['routed_to']) or 'no connector'}")
    else:
        print(f"\nwould not be sent: {sent.get('rejected') or sent.get('skipped')}")


def _pretty(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)

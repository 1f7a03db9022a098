"""`streams dlq show`: one letter, why it was parked, and what would be sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.place import DeadLetters, Name, dead_letters
from streams.cli.dlq.reading import CLIENT_ID, names_by_topic, scanned, starts_of
from streams.cli.dlq.selecting import check_fingerprint
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.adapters.admin import Administration
    from streams.keeping.standing import Standing
    from streams.workers.ports import Message
    from streams.workers.resolving import SchemaResolver


@dataclass(frozen=True, slots=True)
class Found:
    """A letter and where it lies."""

    letters: str
    message: Message

    @property
    def place(self) -> str:
        return f"{self.letters}/{self.message.partition()}/{self.message.offset()}"


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
    from streams.adapters.admin import Administration
    from streams.adapters.resolver import schema_resolver
    from streams.adapters.standings import read_standings

    if sum(given is not None for given in (event_id, offset, fingerprint)) != 1:
        raise CommandError("say which letter: one of --event-id, --offset, --fingerprint", ExitCode.USAGE)
    settings = settings_from(config)
    dead = dead_letters(settings, name)
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    standing = read_standings(settings)[name]
    with ExitStack() as stack:
        resolver = schema_resolver(settings, CLIENT_ID, stack, 0.0)
        if offset is not None:
            found = _at(dead, administration, standing, offset)
        elif event_id is not None:
            found = _with_event_id(dead, administration, standing, resolver, event_id)
        else:
            found = _with_fingerprint(dead, administration, standing, str(fingerprint))
        content = _content(dead, standing, resolver, found, show_payload)
    if output is Format.JSON:
        print_json(content)
        return
    _print(content)
    if not show_payload:
        note("values are hidden; --show-payload shows them")


def _at(dead: DeadLetters, administration: Administration, standing: Standing, place: str) -> Found:
    letters, _, rest = place.partition("/")
    number, _, offset = rest.partition("/")
    if letters not in dead.topics or not number.isdigit() or not offset.isdigit():
        there_are = ", ".join(dead.topics)
        mend = f"it must be letters/partition/offset, where letters is one of: {there_are}"
        raise CommandError(f"--offset: {place} is no place of a letter of {dead.name}; {mend}", ExitCode.USAGE)
    partition = (dead.topics[letters], int(number))
    if partition in administration.partitions(partition[0]):
        for _, messages in scanned(dead, {partition: int(offset)}, "read"):
            if messages[0].offset() == int(offset):
                return _visible(standing, Found(letters, messages[0]))
            break
    raise CommandError(f"there is no letter at {place}", ExitCode.NOTHING_MATCHED)


def _with_event_id(
    dead: DeadLetters,
    administration: Administration,
    standing: Standing,
    resolver: SchemaResolver,
    event_id: str,
) -> Found:
    """The newest letter of the event: one that was replayed may have been parked again."""
    from streams.workers.contents import EventReader

    events, names, mark = EventReader(resolver), names_by_topic(dead), event_id.encode()
    newest: tuple[int, Found] | None = None
    for (topic, number), messages in scanned(dead, _all_starts(administration, dead, standing), "searched"):
        for message in messages:
            if mark not in (message.value() or b"") or events.read(message).event_id != event_id:
                continue
            if _is_gone(standing, names[topic], number, message.offset()):
                continue
            parked_ms = _parked_ms(message)
            if newest is None or parked_ms >= newest[0]:
                newest = parked_ms, Found(names[topic], message)
    if newest is None:
        raise CommandError(f"no letter of {dead.name} holds the event {event_id}", ExitCode.NOTHING_MATCHED)
    return newest[1]


def _with_fingerprint(dead: DeadLetters, administration: Administration, standing: Standing, fingerprint: str) -> Found:
    from streams.delivery.letter import FINGERPRINT_HEADER, header_of

    check_fingerprint(fingerprint)
    names = names_by_topic(dead)
    for (topic, number), messages in scanned(dead, _all_starts(administration, dead, standing), "searched"):
        for message in messages:
            if standing.is_settled((names[topic], number), message.offset()):
                continue
            if header_of(message.headers() or [], FINGERPRINT_HEADER) == fingerprint.encode():
                return Found(names[topic], message)
    raise CommandError(f"no letter of {dead.name} has the fingerprint {fingerprint}", ExitCode.NOTHING_MATCHED)


def _all_starts(administration: Administration, dead: DeadLetters, standing: Standing) -> Mapping[tuple[str, int], int]:
    return starts_of(administration, dead, standing, dead.topics)


def _visible(standing: Standing, found: Found) -> Found:
    if _is_gone(standing, found.letters, found.message.partition(), found.message.offset()):
        raise CommandError(
            f"the letter at {found.place} is gone: replayed, redriven, purged or expired; the audit topic says which",
            ExitCode.NOTHING_MATCHED,
        )
    return found


def _is_gone(standing: Standing, letters: str, number: int, offset: int) -> bool:
    """What lies before a cursor left for good; of the letters after it, those that a person purged."""
    from streams.keeping.plan import is_purged

    return offset < standing.cursor((letters, number)) or is_purged(standing, letters, number, offset)


def _parked_ms(message: Message) -> int:
    from streams.delivery.letter import verdict_of

    verdict = verdict_of(message.headers() or [])
    return 0 if verdict is None else verdict.parked_at_ms


def _content(
    dead: DeadLetters, standing: Standing, resolver: SchemaResolver, found: Found, shows_all: bool
) -> dict[str, Any]:
    from streams.delivery.letter import Origin, origin_of
    from streams.keeping.masking import masked, masked_text
    from streams.keeping.moments import iso
    from streams.keeping.selection import LetterFacts
    from streams.workers.contents import EventReader

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
    import orjson

    from streams.delivery.contract import Rejected, Skipped
    from streams.keeping.masking import masked
    from streams.workers.ports import SchemasUnavailable
    from streams.workers.resolving import Known, event_type_header

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
        case (scope, _, body, cut):
            return {"scope": scope, "body": masked(orjson.loads(body), shows_all=shows_all), "truncated": cut}


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

"""`streams events`: the event types there are, and what each destination makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import OutputFormat
from streams.cli.output import Format, print_json, print_table

if TYPE_CHECKING:
    from streams.destinations import DestinationKind
    from streams.events.catalogue import EventType

app = typer.Typer(help="Event types of Currents and what destinations make of them.", no_args_is_help=True)

SAMPLE_SEED = 1
SAMPLE_TIME_SECONDS = 1_767_225_600
"""2026-01-01T00:00:00Z: a sample is the same on every day."""


@app.command("list")
@translated
def list_events(
    select: Annotated[
        list[str] | None,
        typer.Option("--events", metavar="PATTERN", help="Only these: groups, event types or globs."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List every event type with its group, channel and the destinations that have a mapping for it."""
    from streams.destinations import REGISTRY
    from streams.events.catalogue import CATALOGUE, SelectionError
    from streams.events.catalogue import select as selected

    try:
        names = selected(select or ["all"], CATALOGUE)
    except SelectionError as error:
        raise CommandError(str(error), ExitCode.NOTHING_MATCHED) from None
    types = [CATALOGUE[name] for name in sorted(names)]
    if output is Format.JSON:
        print_json({"event_types": [_listed(event_type, REGISTRY) for event_type in types]})
        return
    print_table(
        ("EVENT TYPE", "GROUP", "CHANNEL", *(name.upper() for name in REGISTRY), "REMARK"),
        (
            (
                event_type.name,
                event_type.group,
                event_type.channel,
                *(_mapping(event_type.name, kind) for kind in REGISTRY.values()),
                "retired" if event_type.retired else "",
            )
            for event_type in types
        ),
    )


@app.command()
@translated
def show(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="An event type, in any spelling.")],
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one event type: a sample event, and the payload that each destination would get."""
    import json

    from streams.destinations import REGISTRY
    from streams.events.catalogue import CATALOGUE, canonical_name

    name = canonical_name(event_type)
    if name not in CATALOGUE:
        raise CommandError(f"there is no event type {event_type}; {_nearest(name)}", ExitCode.USAGE)
    record = _sample(name)
    payloads = {kind.name: _payload(name, record, kind) for kind in REGISTRY.values()}
    if output is Format.JSON:
        listed = _listed(CATALOGUE[name], REGISTRY)
        print_json({**listed, "sample": record, "payloads": payloads})
        return
    known = CATALOGUE[name]
    for key, value in (
        ("event type", name),
        ("group", known.group or "none: storage only"),
        ("channel", known.channel or "none"),
        ("retired", "yes" if known.retired else "no"),
    ):
        print(f"{key:<12} {value}")
    print("\nsample event")
    print(json.dumps(record, indent=2, ensure_ascii=False))
    for destination, payload in payloads.items():
        print(f"\n{destination}" + (f", feed {payload['scope']}" if payload and "scope" in payload else ""))
        print("no mapping" if payload is None else json.dumps(payload["payload"], indent=2, ensure_ascii=False))


def _listed(event_type: EventType, registry: Mapping[str, DestinationKind]) -> dict[str, Any]:
    return {
        "event_type": event_type.name,
        "group": event_type.group,
        "channel": event_type.channel,
        "retired": event_type.retired,
        "mapped": [kind.name for kind in registry.values() if event_type.name in kind.event_types],
        "selected_by_default": [kind.name for kind in registry.values() if event_type.name in kind.default_selection],
    }


def _mapping(name: str, kind: DestinationKind) -> str:
    if name in kind.default_selection:
        return "default"
    return "mapped" if name in kind.event_types else ""


def _sample(name: str) -> dict[str, Any]:
    from random import Random

    from streams.events.samples import sample_record

    return sample_record(name, Random(SAMPLE_SEED), SAMPLE_TIME_SECONDS)  # noqa: S311 - a sample guards nothing


def _payload(name: str, record: dict[str, Any], kind: DestinationKind) -> dict[str, Any] | None:
    """What the destination's encoder makes of the sample, or None where it has no mapping."""
    import orjson

    from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, encode_single_object
    from streams.events.schemas import shipped

    schema = shipped().by_event_type(name)
    encoder = None if schema is None else kind.build(kind.example()).encoder(schema)
    if schema is None or encoder is None:
        return None
    encoded = encoder(encode_single_object(schema, record), SINGLE_OBJECT_HEADER_BYTES)
    assert isinstance(encoded, tuple), f"the sample of {name} is not sent: {encoded}"
    scope, body, _ = encoded
    try:
        return {"scope": scope, "payload": orjson.loads(body)}
    except orjson.JSONDecodeError:  # not every destination takes JSON
        return {"scope": scope, "payload": body.decode(errors="replace")}


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    from streams.events.catalogue import CATALOGUE

    spellings = {known.lower(): known for known in CATALOGUE}
    near = get_close_matches(name.lower(), spellings, n=3)
    hint = "".join(f"did you mean {spellings[spelling]}? " for spelling in near[:1])
    return f"{hint}`streams events list` names them all"

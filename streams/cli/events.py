"""`streams events`: the event types there are, and what each destination makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, connector_names, connector_of, settings_from
from streams.cli.output import Format, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from streams.delivery.contract import Destination
    from streams.destinations import DestinationKind
    from streams.events.catalogue import EventType
    from streams.operations.payload import Payload

app = typer.Typer(
    help="Show the event types of Currents, and what each destination makes of them.", no_args_is_help=True
)

SAMPLE_SEED = 1
SAMPLE_TIME_SECONDS = 1_767_225_600
"""2026-01-01T00:00:00Z: a sample is the same on every day."""


@app.command("list", epilog=examples("streams events list", "streams events list -o json"))
@translated
def list_events(
    select: Annotated[
        list[str] | None,
        typer.Option("--events", metavar="PATTERN", help="Only these: groups, event types or globs."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List every event type with its group, channel and the destinations that have a mapping for it."""
    from streams.destinations import ROUTED
    from streams.events.catalogue import CATALOGUE, SelectionError
    from streams.events.catalogue import select as selected

    try:
        names = selected(select or ["all"], CATALOGUE)
    except SelectionError as error:
        raise CommandError(str(error), ExitCode.NOTHING_MATCHED) from None
    types = [CATALOGUE[name] for name in sorted(names)]
    if output is Format.JSON:
        print_json({"event_types": [_listed(event_type, ROUTED) for event_type in types]})
        return
    print_table(
        ("EVENT TYPE", "GROUP", "CHANNEL", *(name.upper() for name in ROUTED), "REMARK"),
        (
            (
                event_type.name,
                event_type.group,
                event_type.channel,
                *(_mapping(event_type.name, kind) for kind in ROUTED.values()),
                "retired" if event_type.retired else "",
            )
            for event_type in types
        ),
    )


@app.command(epilog=examples("streams events show email.Open", "streams events show email.Open --connector growth"))
@translated
def show(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="An event type, in any spelling.")],
    connector: Annotated[
        str | None,
        typer.Option(
            "--connector",
            metavar="NAME",
            help="The payload as it would leave to this connector: its names, what it drops and what it hashes.",
            autocompletion=connector_names,
        ),
    ] = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one event type: a sample event, and the payload that each destination would get."""
    from streams.destinations import ROUTED
    from streams.events.catalogue import CATALOGUE, canonical_name
    from streams.operations.payload import payload_of

    destinations = {connector: _destination(connector, config)} if connector is not None else None
    name = canonical_name(event_type)
    record = _received_sample(name) if destinations is not None else None
    if record is None and name not in CATALOGUE:
        raise CommandError(f"there is no event type {event_type}. {_nearest(name)}", ExitCode.USAGE)
    record = _sample(name) if record is None else record
    if destinations is None:
        destinations = {kind.name: kind.build(kind.example()) for kind in ROUTED.values()}
    payloads = {place: payload_of(destination, name, record) for place, destination in destinations.items()}
    if output is Format.JSON:
        shown = {
            place: None if payload is None else {"scope": payload.scope, "payload": payload.content}
            for place, payload in payloads.items()
        }
        listed = _listed(CATALOGUE[name], ROUTED) if name in CATALOGUE else {"event_type": name}
        print_json({**listed, "sample": record, "payloads": shown})
    else:
        _print_event(name, CATALOGUE.get(name), record, payloads)


def _print_event(
    name: str, known: EventType | None, record: Mapping[str, Any], payloads: Mapping[str, Payload | None]
) -> None:
    import json

    for key, value in (
        ("event type", name),
        ("group", (known and known.group) or "none: storage only"),
        ("channel", (known and known.channel) or "none"),
        ("retired", "yes" if known and known.retired else "no"),
    ):
        print(f"{key:<12} {value}")
    print("\nsample event")
    print(json.dumps(record, indent=2, ensure_ascii=False))
    for place, payload in payloads.items():
        print(f"\n{place}" + (f", feed {payload.scope}" if payload is not None else ""))
        print("no mapping" if payload is None else json.dumps(payload.content, indent=2, ensure_ascii=False))


def _destination(connector: str, config: Path | None) -> Destination:
    """The connector's vendor side, without its credentials."""
    from streams.operations.payload import shown_destination

    known = connector_of(settings_from(config, reads_secrets=False), connector)
    try:
        return shown_destination(known)
    except ValueError as error:
        raise CommandError(f"{connector}: what is hashed cannot be shown: {error}", ExitCode.USAGE) from None


def _received_sample(name: str) -> dict[str, Any] | None:
    """Of a record that a receiver writes; None where it is none."""
    from streams.destinations import REGISTRY

    samples = (kind.received[name] for kind in REGISTRY.values() if name in kind.received)
    found = next(samples, None)
    return None if found is None else dict(found)


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


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    from streams.events.catalogue import CATALOGUE

    spellings = {known.lower(): known for known in CATALOGUE}
    near = get_close_matches(name.lower(), spellings, n=3)
    hint = "".join(f"Did you mean {spellings[spelling]}? " for spelling in near[:1])
    return f"{hint}`streams events list` names them all"

"""`streams schemas`: writers' schemas that are known, and more of them for everyone who reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.operations.schemas import AddedSchemas, Addition, FileSchema, KnownSchemas

app = typer.Typer(help="List and add the schemas that values are read with.", no_args_is_help=True)

CLIENT_ID = "streams-schemas"
NEXT_STEP = "streams dlq replay source --cause unknown-schema"


@app.command("list", epilog=examples("streams schemas list", "streams schemas list -o json"))
@translated
def list_schemas(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List every schema by fingerprint: shipped, in a configured folder, or on the topic of schemas."""
    from streams.cli.assembly.installation import connected
    from streams.operations.schemas import known

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        found = known(installation)
    _print_known(found, output)


@app.command(epilog=examples("streams schemas add Forwarded.avsc more/ --reason 'Braze added a field'"))
@translated
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Avro schemas in JSON; of a folder its *.avsc.")],
    config: ConfigPath = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    output: OutputFormat = Format.TABLE,
) -> None:
    """Write schemas to the topic of schemas, where routers and sinks read them at once. All of the files, or none."""
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations import schemas

    settings = settings_from(config, reads_secrets=False)
    given = schemas.read_files(files)
    with connected(settings, schemas.transactional_id(settings)) as installation:
        added = schemas.add(installation, given, who=who(), reason=reason)
    _print_added(added, output)


def _print_known(found: KnownSchemas, output: Format) -> None:
    for sentence in found.unused:
        note(sentence)
    if output is Format.JSON:
        print_json(found.to_json())
    else:
        print_table(
            ("FINGERPRINT", "EVENT TYPE", "FROM"),
            (
                (
                    one.schema.fingerprint.hex(),
                    one.schema.event_type,
                    ", ".join(f"{place.kind} {place.name}".strip() for place in one.places),
                )
                for one in found.schemas
            ),
        )
    if found.registry_url is not None:
        url = found.registry_url
        note(f"schemas of values in Confluent's wire format are asked by id of {url}; they are not listed")


def _print_added(added: AddedSchemas, output: Format) -> None:
    for sentence in added.unused:
        note(sentence)
    if output is Format.JSON:
        print_json(
            {
                "added": [_named(one) for one in added.written],
                "there_already": [_named(one) for one in added.files if one.there_already],
                "next_step": NEXT_STEP if added.written else None,
            }
        )
        return
    print_table(
        ("FINGERPRINT", "EVENT TYPE", "FILE", "RESULT"),
        (
            (one.schema.fingerprint.hex(), one.schema.event_type, one.file, one.there_already or "added")
            for one in added.files
        ),
    )
    if added.written:
        note(f"records that were parked because of these schemas can be replayed now: {NEXT_STEP}")


def _named(one: FileSchema | Addition) -> dict[str, str]:
    return {"fingerprint": one.schema.fingerprint.hex(), "event_type": one.schema.event_type, "file": one.file}

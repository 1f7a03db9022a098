"""`streams inlets`: how storage inlets stand, and orders about files that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table, told

if TYPE_CHECKING:
    from streams.inlets.progress import What
    from streams.operations.inlets.overview import InletOverview

InletName = Annotated[str, typer.Argument(metavar="NAME", help="The inlet.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The file's key, as `show` prints it.")]
Reason = Annotated[str, typer.Option(help="Why: the audit keeps it.")]

app = typer.Typer(help="Inlets from buckets and folders, and their files that cannot be read.", no_args_is_help=True)

CLIENT_ID = "streams-inlets"
WAIT_SECONDS = 15.0
"""An active process carries an order out within seconds."""


@app.command("list", epilog=examples("streams inlets list", "streams inlets list -o json | jq .inlets"))
@translated
def list_inlets(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List the storage inlets: which are active, what waits, what was taken, what cannot be read."""
    found = _overviews(config, None)
    if output is Format.JSON:
        print_json({"inlets": [one.to_json() for one in found]})
        return
    print_table(
        ("INLET", "STATE", "INSTANCE", "PENDING", "OLDEST", "TAKEN", "RECORDS", "PARKED", "LOST", "FAILING"),
        (
            (
                *(one.name, one.state, one.active_instance, one.pending),
                told(one.oldest_pending_seconds if one.pending else None),
                *(one.counts.taken, one.counts.records, len(one.parked), one.counts.lost, one.failing),
            )
            for one in found
        ),
    )
    if not found:
        note("no inlet of kind storage is configured")


@app.command(epilog=examples("streams inlets show braze-bucket", "streams inlets show braze-bucket -o json"))
@translated
def show(name: InletName, config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Show one inlet: its counts, and each file that cannot be read with the reason."""
    (one,) = _overviews(config, name)
    if output is Format.JSON:
        print_json(one.to_json())
        return
    counts = one.counts
    print(f"{one.name}  {one.url}")
    print(f"  {one.state}" + (f" on {one.active_instance}" if one.active_instance else ""))
    if one.failing:
        print(f"  cannot go on: {one.failing}")
    oldest = f", the oldest is {told(one.oldest_pending_seconds)} old" if one.pending else ""
    print(f"  pending: {one.pending:,} files{oldest}")
    print(f"  taken: {counts.taken:,} files, {counts.records:,} records")
    print(f"  rewritten {counts.rewritten:,}, copies {counts.copies:,}, lost {counts.lost:,}, ignored {one.ignored:,}")
    if one.files:
        print()
        print_table(
            ("KEY", "STATE", "SINCE", "TAKEN", "REASON"),
            ((file.key, file.state.value, file.to_json()["since"], file.records, file.reason) for file in one.files),
        )


@app.command(epilog=examples("streams inlets retry braze-bucket KEY --reason 'the bucket was repaired'"))
@translated
def retry(name: InletName, key: Key, reason: Reason, config: ConfigPath = None) -> None:
    """Read a parked or damaged file again now."""
    from streams.inlets.progress import What

    _order(config, name, key, What.RETRY, reason)


@app.command(
    epilog=examples(
        "streams inlets skip braze-bucket KEY --reason 'Braze confirmed it is empty'",
        "streams inlets skip braze-bucket KEY --salvage --reason 'the rest is lost'",
    )
)
@translated
def skip(
    name: InletName,
    key: Key,
    reason: Reason,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Take the records before the damage first; the audit says how many.")
    ] = False,
    config: ConfigPath = None,
) -> None:
    """Give a parked or damaged file up, as long as its content stays."""
    from streams.inlets.progress import What

    _order(config, name, key, What.SALVAGE if salvage else What.SKIP, reason)


def _overviews(config: ConfigPath, name: str | None) -> list[InletOverview]:
    from streams.cli.assembly.installation import connected
    from streams.operations.inlets.overview import overviews

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        return list(overviews(installation, name))


def _order(config: ConfigPath, name: str, key: str, what: What, reason: str) -> None:
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.inlets.orders import order

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        done = order(installation, name, key, what, who=who(), reason=reason, wait_seconds=WAIT_SECONDS)
    if not done.is_done:
        raise CommandError(
            f"no process of inlet {name} answered: the order waits until one runs (`streams run ingest`)",
            ExitCode.PARTLY_DONE,
        )
    note(f"{what.value}: {done.sentence()}")

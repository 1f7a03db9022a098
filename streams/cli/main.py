"""The command `streams`: gathers the nouns. Whatever is heavy is imported by the commands, when they run."""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import Annotated

import typer

from streams.cli import (
    audiences,
    audit,
    config,
    connectors,
    doctor,
    emulate,
    events,
    explain,
    forget,
    ingest,
    inlets,
    schemas,
    topics,
)
from streams.cli import run as run_commands
from streams.cli.demo import command as demo
from streams.cli.dlq import commands as dlq
from streams.cli.errors import ExitCode
from streams.cli.help import Commands, examples
from streams.cli.process_end import own_ending

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

app = typer.Typer(
    name="streams",
    cls=Commands,
    help="Braze Currents on your own Kafka: routed, delivered to Mixpanel and mParticle, nothing lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    rich_markup_mode=None,  # importing rich costs more than all the rest of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", epilog=examples("streams demo --for 20s", "streams demo --events exports/ --restamp"))(demo.demo)
app.add_typer(run_commands.app, name="run", cls=Commands)
app.add_typer(config.app, name="config", cls=Commands)
app.add_typer(events.app, name="events", cls=Commands)
app.add_typer(topics.app, name="topics", cls=Commands)
app.add_typer(connectors.app, name="connectors", cls=Commands)
app.add_typer(dlq.app, name="dlq", cls=Commands)
app.add_typer(audiences.app, name="audiences", cls=Commands)
app.add_typer(inlets.app, name="inlets", cls=Commands)
app.add_typer(schemas.app, name="schemas", cls=Commands)
app.add_typer(emulate.app, name="emulate", cls=Commands)
app.command(
    "ingest",
    epilog=examples("streams ingest exports/ --dry-run", "streams ingest exports/ dump.zip --config streams.yaml"),
)(ingest.ingest)
app.command("doctor", epilog=examples("streams doctor", "streams doctor -o json | jq .findings"))(doctor.doctor)
app.command(
    "explain",
    epilog=examples("streams explain EVENT_ID", "streams explain EVENT_ID --since 3d --until 2d --user person-7"),
)(explain.explain)
app.command(
    "forget",
    epilog=examples(
        "streams forget --external-id ada-17",
        'streams forget --from ids.txt --execute --plan 0123456789ab --reason "request 4711"',
    ),
)(forget.forget)
app.command(
    "audit",
    epilog=examples(
        "streams audit growth-mixpanel --kind receipt --since 3d",
        "streams audit --kind order --actor ada",
        "streams audit --follow -o json | jq .what",
    ),
)(audit.audit)


def _print_version(wanted: bool) -> None:
    if wanted:
        from streams import __version__
        from streams.compiled import how_it_runs

        print(f"streams {__version__} ({how_it_runs()})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Braze Currents on your own Kafka: routed, delivered to Mixpanel and mParticle, nothing lost."""


COLLECT_OBJECTS = 50_000
"""New objects between two looks of the garbage collector. With Python's 700, it looks hundreds of times at what imports
make and keep: a fifth of a command's time."""


def run() -> None:
    """Run the command line, and end the process with its exit code."""
    with own_ending():
        carry_out()


def carry_out() -> None:
    """Run the command line. Raises `SystemExit`. A reader that closes stdout early (`streams … | head`) is no error."""
    gc.set_threshold(COLLECT_OBJECTS)
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as fault:  # the last line of defence: what is known was told with a code of its own
        if isinstance(fault, OSError) and fault.errno in NO_ROOM:
            print(f"streams: could not write: {fault}; make room, and run it again", file=sys.stderr)
            sys.exit(ExitCode.FAILED)
        from streams.cli.defence import explained

        print(f"streams: {explained(fault)}", file=sys.stderr)
        sys.exit(ExitCode.FAULT)

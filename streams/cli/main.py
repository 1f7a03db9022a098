"""The command `streams`: gathers the nouns. Whatever is heavy is imported by the commands, when they run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from streams.cli import audit, config, connectors, doctor, emulate, events, explain, ingest, schemas, topics
from streams.cli import run as run_commands
from streams.cli.demo import command as demo
from streams.cli.dlq import commands as dlq
from streams.cli.errors import ExitCode
from streams.cli.help import Commands, examples

app = typer.Typer(
    name="streams",
    cls=Commands,
    help="Braze Currents on your own Kafka: routed, delivered to Mixpanel and mParticle, nothing lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    rich_markup_mode=None,  # importing rich costs more than all the rest of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.add_typer(run_commands.app, name="run", cls=Commands)
app.add_typer(config.app, name="config", cls=Commands)
app.add_typer(events.app, name="events", cls=Commands)
app.add_typer(topics.app, name="topics", cls=Commands)
app.add_typer(connectors.app, name="connectors", cls=Commands)
app.add_typer(dlq.app, name="dlq", cls=Commands)
app.add_typer(schemas.app, name="schemas", cls=Commands)
app.add_typer(emulate.app, name="emulate", cls=Commands)
app.command("ingest")(ingest.ingest)
app.command("doctor", epilog=examples("streams doctor", "streams doctor -o json | jq .findings"))(doctor.doctor)
app.command("explain")(explain.explain)
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

        print(f"streams {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Braze Currents on your own Kafka: routed, delivered to Mixpanel and mParticle, nothing lost."""


def run() -> None:
    """Run the command line; a reader that closes stdout early (`streams … | head`) is no error."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as fault:  # the last line of defence: what is known was told with a code of its own
        from streams.cli.defence import explained

        print(f"streams: {explained(fault)}", file=sys.stderr)
        sys.exit(ExitCode.FAULT)

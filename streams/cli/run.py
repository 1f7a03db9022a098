"""`streams run router|sink|all`: the processes."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, connector_of, required

ParentOption = Annotated[int | None, typer.Option("--with-parent", hidden=True)]

app = typer.Typer(no_args_is_help=True, help="Run the router, a connector's sink, or all of them.")


@app.command("router")
@translated
def run_router(config: ConfigPath = None, with_parent: ParentOption = None) -> None:
    """Route Currents topics to connector topics."""
    from streams.cli.composition import router
    from streams.cli.keeping import kept
    from streams.cli.processes import stop_on_signal
    from streams.cli.starting import prepared

    with (
        prepared(config) as settings,
        router(settings) as (worker, keeper),
        stop_on_signal(with_parent) as stop,
        kept(keeper, stop),
    ):
        worker.run(stop)


@app.command("sink")
@translated
def run_sink(
    name: Annotated[str, typer.Argument(help="The connector's name.")],
    config: ConfigPath = None,
    with_parent: ParentOption = None,
) -> None:
    """Deliver one connector's topic to its destination."""
    from streams.cli.composition import sink
    from streams.cli.keeping import kept
    from streams.cli.processes import stop_on_signal
    from streams.cli.starting import prepared

    with prepared(config) as settings:
        connector = connector_of(settings, name)
        with (
            sink(settings, connector) as (worker, keeper),
            stop_on_signal(with_parent) as stop,
            kept(keeper, stop),
        ):
            worker.run(stop)


@app.command("all")
@translated
def run_all(config: ConfigPath = None) -> None:
    """Run the router and every connector's sink, each in a process of its own; when one ends, end all."""
    from streams.cli.processes import Workers, stop_on_signal
    from streams.cli.starting import prepared

    with prepared(config) as settings:
        commands = [["router"], *(["sink", name] for name in settings.connectors)]
    with stop_on_signal() as stop:
        workers = Workers(required(config), commands)
        try:
            ended = workers.watch(stop)
        finally:
            workers.stop()
    if ended is not None:
        command, code = ended
        raise CommandError(f"`streams run {command}` ended by itself with exit code {code}", ExitCode.FAILED)

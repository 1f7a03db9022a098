"""`streams run router|sink|all`: the processes."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, connector_names, connector_of, required

ParentOption = Annotated[int | None, typer.Option("--with-parent", hidden=True)]

PortOption = Annotated[
    int | None,
    typer.Option(
        "--http-port",
        envvar="STREAMS_HTTP_PORT",
        min=0,
        max=65_535,
        help="Serve /livez, /readyz and /metrics here; 0 takes any free port. Without it nothing listens.",
    ),
]

app = typer.Typer(no_args_is_help=True, help="Run the router, a connector's sink, or all of them.")


@app.command("router")
@translated
def run_router(config: ConfigPath = None, http_port: PortOption = None, with_parent: ParentOption = None) -> None:
    """Route Currents topics to connector topics."""
    from streams.cli.assembly.keeper import kept
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.start import prepared, start_log
    from streams.cli.assembly.workers import router

    start_log()
    with (
        named("router") as instance,
        observed("router", http_port, instance) as observation,
        prepared(config, "router") as settings,
        router(settings, observation, instance) as (worker, keeper),
        stop_on_signal(with_parent) as stop,
        kept(keeper, stop),
    ):
        observation.pulse.stops_when(stop.is_set)
        worker.run(stop)


@app.command("sink")
@translated
def run_sink(
    name: Annotated[str, typer.Argument(help="The connector's name.", autocompletion=connector_names)],
    config: ConfigPath = None,
    http_port: PortOption = None,
    with_parent: ParentOption = None,
) -> None:
    """Deliver one connector's topic to its destination."""
    from streams.cli.assembly.keeper import kept
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.start import prepared, start_log
    from streams.cli.assembly.workers import sink

    start_log()
    with (
        named(f"sink-{name}") as instance,
        observed(f"sink-{name}", http_port, instance) as observation,
        prepared(config, f"sink {name}") as settings,
    ):
        connector = connector_of(settings, name)
        with (
            sink(settings, connector, observation, instance) as (worker, keeper),
            stop_on_signal(with_parent) as stop,
            kept(keeper, stop),
        ):
            observation.pulse.stops_when(stop.is_set)
            worker.run(stop)


@app.command("all")
@translated
def run_all(config: ConfigPath = None, http_port: PortOption = None, with_parent: ParentOption = None) -> None:
    """Run the router and every connector's sink, each in its own process; when one ends, end all.

    With --http-port the router serves its health there, and the sinks, in the order of the configuration, on the
    ports after it.
    """
    from streams.cli.assembly.processes import Workers, ports_from, stop_on_signal
    from streams.cli.assembly.start import prepared

    with prepared(config) as settings:
        commands = [["router"], *(["sink", name] for name in settings.connectors)]
    if http_port is not None:
        ports = ports_from(http_port, len(commands))
        commands = [[*command, "--http-port", str(port)] for command, port in zip(commands, ports, strict=True)]
    with stop_on_signal(with_parent) as stop:
        workers = Workers(required(config), commands)
        try:
            ended = workers.watch(stop)
        finally:
            workers.stop()
    if ended is not None:
        command, code = ended
        raise CommandError(f"`streams run {command}` ended by itself with exit code {code}", ExitCode.FAILED)

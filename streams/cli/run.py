"""`streams run router|sink|receiver|ingest|console|all`: the processes."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import (
    ConfigPath,
    connector_names,
    connector_of,
    required,
    settings_from,
    storage_inlets_of,
)

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

app = typer.Typer(
    no_args_is_help=True, help="Run the router, a sink, the receiver, the inlets, or all of them; and the console."
)


@app.command("router", epilog=examples("streams run router --config streams.yaml"))
@translated
def run_router(config: ConfigPath = None, http_port: PortOption = None, with_parent: ParentOption = None) -> None:
    """Route Currents topics to connector topics, and keep the dead letters of `source`.

    Where no connector gets events of Currents, it only keeps these letters, which HTTP inlets write.
    """
    from streams.cli.assembly.keeper import kept
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.router import router
    from streams.cli.assembly.start import prepared, start_log

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


@app.command("sink", epilog=examples("streams run sink growth --http-port 8080"))
@translated
def run_sink(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The connector.", autocompletion=connector_names)],
    config: ConfigPath = None,
    http_port: PortOption = None,
    with_parent: ParentOption = None,
) -> None:
    """Deliver one connector's topic to its destination."""
    from streams.cli.assembly.keeper import kept
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.sink import sink
    from streams.cli.assembly.start import prepared, start_log

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


@app.command("receiver", epilog=examples("streams run receiver --http-port 8080"))
@translated
def run_receiver(config: ConfigPath = None, http_port: PortOption = None, with_parent: ParentOption = None) -> None:
    """Receive what Mixpanel and mParticle send for Braze, and events that Braze sends, on `receiver.port`."""
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.receiver import receiver
    from streams.cli.assembly.start import prepared, start_log

    start_log()
    with (
        named("receiver") as instance,
        observed("receiver", http_port, instance) as observation,
        prepared(config, "receiver") as settings,
        receiver(settings, observation, instance) as run,
        stop_on_signal(with_parent) as stop,
    ):
        observation.pulse.stops_when(stop.is_set)
        run(stop)


@app.command("ingest", epilog=examples("streams run ingest", "streams run ingest braze-bucket"))
@translated
def run_ingest(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME…]", help="Inlets of kind storage; all of them where none is named."),
    ] = None,
    config: ConfigPath = None,
    http_port: PortOption = None,
    with_parent: ParentOption = None,
) -> None:
    """Take files from buckets and folders as they appear, and write their events to the Currents topics.

    Any number of processes may run: one is active for each inlet, and another takes over when it ends.
    """
    from streams.cli.assembly.inlet import inlets
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.start import prepared, start_log

    start_log()
    with (
        named("ingest") as instance,
        observed("ingest", http_port, instance) as observation,
        prepared(config, "inlets") as settings,
        inlets(settings, storage_inlets_of(settings, names), observation, instance) as run,
        stop_on_signal(with_parent) as stop,
    ):
        observation.pulse.stops_when(stop.is_set)
        run(stop)


@app.command("console", epilog=examples("streams run console --port 8090"))
@translated
def run_console(
    config: ConfigPath = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Instead of console.port; 0 takes any free port.")
    ] = None,
    http_port: PortOption = None,
    with_parent: ParentOption = None,
) -> None:
    """Serve web pages for people on call, on the address `console.host` and `console.port`."""
    from streams.cli.actor import who
    from streams.cli.assembly.console import console, on_port
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named, stop_on_signal
    from streams.cli.assembly.start import start_log

    start_log()
    settings = on_port(settings_from(config, reads_secrets=False), port)
    with (
        named("console") as instance,
        observed("console", http_port, instance) as observation,
        console(settings, who(), observation.pulse) as address,
        stop_on_signal(with_parent) as stop,
    ):
        observation.pulse.stops_when(stop.is_set)
        print(f"the console is at {address}", flush=True)
        stop.wait()


@app.command("all", epilog=examples("streams run all --config streams.yaml"))
@translated
def run_all(config: ConfigPath = None, http_port: PortOption = None, with_parent: ParentOption = None) -> None:
    """Run the router, every connector's sink, the inlets and the receiver where there are any; when one ends, end all.

    With --http-port the router serves its health there, the sinks, in the order of the configuration, on the ports
    after it, then the inlets, and the receiver on the last. Where nothing is routed and no inlet is of kind http,
    there is no router, and the first sink has that port.
    """
    from streams.cli.assembly.processes import Workers, ports_from, stop_on_signal
    from streams.cli.assembly.start import prepared

    with prepared(config) as settings:
        commands = [["router"]] if settings.needs_router else []
        commands += [["sink", name] for name in settings.connectors]
        commands += [["ingest"]] if settings.storage_inlets else []
        commands += [["receiver"]] if settings.receives else []
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

"""`streams run router|sink|all`: the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="STREAMS_CONFIG", help="The configuration file.", show_envvar=True)
]
ParentOption = Annotated[int | None, typer.Option("--with-parent", hidden=True)]

STOP_SECONDS_MAX = 25.0
"""A process settles and leaves within this after SIGTERM; then `run all` kills what is left."""
PARENT_SECONDS = 1.0

app = typer.Typer(no_args_is_help=True, help="Run the router, a connector's sink, or all of them.")
log = structlog.get_logger(__name__)


@app.command("router")
def run_router(config: ConfigOption, with_parent: ParentOption = None) -> None:
    """Route Currents topics to connector topics."""
    from streams.cli.composition import router
    from streams.cli.starting import prepared

    with prepared(config) as settings, router(settings) as worker, _stop_on_signal(with_parent) as stop:
        worker.run(stop)


@app.command("sink")
def run_sink(
    name: Annotated[str, typer.Argument(help="The connector's name.")],
    config: ConfigOption,
    with_parent: ParentOption = None,
) -> None:
    """Deliver one connector's topic to its destination."""
    from streams.cli.composition import sink
    from streams.cli.starting import known_connector, prepared

    with prepared(config) as settings:
        known_connector(settings, name)
        with sink(settings, name) as worker, _stop_on_signal(with_parent) as stop:
            worker.run(stop)


@app.command("all")
def run_all(config: ConfigOption) -> None:
    """Run the router and every connector's sink, each in a process of its own; end all when one ends."""
    from streams.cli.starting import prepared

    with prepared(config) as settings:
        commands = [["router"], *(["sink", name] for name in settings.connectors)]
    common = ["--config", str(config), "--with-parent", str(os.getpid())]
    with _stop_on_signal(None) as stop:
        children = [
            subprocess.Popen([sys.executable, "-m", "streams", "run", *command, *common])  # noqa: S603 - ourselves
            for command in commands
        ]
        try:
            ended = _first_to_end(children, stop)
        finally:
            _end(children)
    if ended is not None:
        log.error("a process ended by itself", command=" ".join(commands[children.index(ended)]), code=ended.returncode)
        raise typer.Exit(ended.returncode or 1)


def _first_to_end(children: list[subprocess.Popen[bytes]], stop: threading.Event) -> subprocess.Popen[bytes] | None:
    while not stop.wait(0.2):
        for child in children:
            if child.poll() is not None:
                return child
    return None


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + STOP_SECONDS_MAX
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def _stop_on_signal(parent: int | None) -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT or the parent's end sets."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if parent is not None:
        threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True, name="parent").start()
    try:
        yield stop
    finally:
        for number, action in previous.items():
            signal.signal(number, action)


def _watch_parent(parent: int, stop: threading.Event) -> None:
    """A killed `run all` must not leave its processes behind."""
    while not stop.wait(PARENT_SECONDS):
        if os.getppid() != parent:
            stop.set()

"""`streams demo`: the main job on this machine, with an embedded Kafka and emulated destinations."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated

if TYPE_CHECKING:
    from streams.cli.demo.stage import Result


class Story(StrEnum):
    """What can be played."""

    CREDENTIALS = "credentials"


def _duration(text: str) -> float:
    from streams.values import parse_duration  # pydantic comes with it, which --help can do without

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


@translated
def demo(
    duration: Annotated[
        float | None,
        typer.Option("--for", parser=_duration, metavar="DURATION", help="Stop by itself after this long, as 20s."),
    ] = None,
    events: Annotated[
        list[Path] | None,
        typer.Option(
            "--events", exists=True, help="Currents Avro files or folders to send instead of generated events."
        ),
    ] = None,
    restamp: Annotated[bool, typer.Option("--restamp", help="Give the events of --events new ids and times.")] = False,
    story: Annotated[
        Story | None, typer.Option("--story", help="Play a story instead: what happens when a key is revoked.")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Generated events per second.")] = 200.0,
    seed: Annotated[int, typer.Option(help="Seed of the generated events.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print the accounts as one JSON object on stdout.")] = False,
) -> None:
    """Run router and sinks against emulated Mixpanel and mParticle, and show the accounts as they move.

    Exits with 1 unless every account adds up, with nothing waiting. With `--story credentials` a key dies, its records
    are parked, some expire, the key is fixed and the rest goes out by itself: in under a minute. Ctrl-C ends it within
    seconds, with the account so far.
    """
    from streams.cli.assembly.processes import stop_on_signal
    from streams.cli.demo.stage import Demonstration, Source
    from streams.cli.demo.story import CredentialsStory
    from streams.testing.brokers import BrokerFailed

    source = Source(tuple(events or ()), restamp, rate, seed)
    if story is not None and (events or duration is not None):
        raise CommandError(
            "--story makes its own events and ends by itself: do not give --events or --for", ExitCode.USAGE
        )
    staged = Demonstration if story is None else CredentialsStory
    told_to_stop = _watch_for_stop()
    try:
        with staged(source, duration, is_quiet=json) as demonstration, stop_on_signal() as stop:
            _leave_if(told_to_stop)
            demonstration.run(stop)
            result = demonstration.result(is_stopped=stop.is_set())
            _print(result, json)
    except BrokerFailed as error:
        raise CommandError(str(error), ExitCode.FAILED) from None
    except KeyboardInterrupt:
        raise CommandError("stopped before any event was sent: nothing ran yet", ExitCode.INTERRUPTED) from None
    if result.problems:
        raise CommandError("; ".join(result.problems), ExitCode.FAILED)
    if result.remarks:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _watch_for_stop() -> Event:
    """Set by Ctrl-C or SIGTERM while the stage is built. Both raise as well, which ends it at once and leaves nothing.

    The exception alone is not enough: Python drops it where it comes inside a callback of a client library.
    """
    told = Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        told.set()
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return told


def _leave_if(told_to_stop: Event) -> None:
    if told_to_stop.is_set():
        raise KeyboardInterrupt


def _print(result: Result, is_json: bool) -> None:
    if is_json:
        from streams.cli.output import print_json

        print_json(result.to_json())
    else:
        print(result.to_text(), flush=True)

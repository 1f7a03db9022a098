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
from streams.cli.output import note

if TYPE_CHECKING:
    from streams.cli.demo.result import Result
    from streams.cli.demo.stage import Demonstration


class Story(StrEnum):
    """What can be played."""

    CREDENTIALS = "credentials"
    LOOP = "loop"
    INLETS = "inlets"


def _duration(text: str) -> float:
    from streams.values import parse_duration  # pydantic comes with it, which --help can do without

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


Duration = Annotated[
    float | None,
    typer.Option("--for", parser=_duration, metavar="DURATION", help="Stop by itself after this long, as 20s."),
]
Events = Annotated[
    list[Path] | None,
    typer.Option("--events", exists=True, help="Currents Avro files or folders to send instead of generated events."),
]
Restamp = Annotated[bool, typer.Option("--restamp", help="Give the events of --events new ids and times.")]
StoryName = Annotated[
    Story | None,
    typer.Option(
        "--story",
        help="Play a story instead: a key is revoked, cohorts and audiences come back, or events come from a "
        "bucket and over HTTP.",
    ),
]
Rate = Annotated[float, typer.Option(min=1, max=5000, help="Generated events per second.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated events.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the accounts as one JSON object on stdout.")]
WithConsole = Annotated[bool, typer.Option("--console", help="Serve the console beside it, and print its address.")]


@translated
def demo(
    duration: Duration = None,
    events: Events = None,
    restamp: Restamp = False,
    story: StoryName = None,
    rate: Rate = 200.0,
    seed: Seed = 1,
    json: AsJson = False,
    console: WithConsole = False,
) -> None:
    """Run router and sinks against emulated Mixpanel and mParticle, and show the accounts as they move.

    Exits with 1 if an account does not add up, or if records still wait at the end. With `--story credentials` a key is
    revoked, its records are parked, some are purged, the key is fixed, and the other records are sent automatically: in
    less than a minute. With `--story loop` a cohort, an audience and an attribute come back into an emulated Braze.
    With `--story inlets` events come from a bucket and over HTTP; a file is damaged, and a token is rotated. Ctrl-C
    ends the demo within seconds and prints the account so far. The exit code is then 0 if every record is settled. It
    is 130 if records were waiting, or if --for, --events or --story would have ended the demo later.
    """
    from streams.cli.assembly.processes import stop_on_signal
    from streams.cli.demo.stage import Source
    from streams.testing.brokers import BrokerFailed

    source = Source(tuple(events or ()), restamp, rate, seed)
    if story is not None and (events or duration is not None):
        raise CommandError(
            "--story makes its own events and ends by itself: do not give --events or --for", ExitCode.USAGE
        )
    stage = _stage_of(story)
    told_to_stop = _watch_for_stop()
    if not json:
        note(f"starting Kafka, {_processes(story)}; {_end(duration, story, events)}")
    try:
        with stage(source, duration, is_quiet=json, has_console=console) as demonstration, stop_on_signal() as stop:
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


def _stage_of(story: Story | None) -> type[Demonstration]:
    from streams.cli.demo.inlets import InletsStory
    from streams.cli.demo.loop import LoopStory
    from streams.cli.demo.stage import Demonstration
    from streams.cli.demo.story import CredentialsStory

    match story:
        case Story.CREDENTIALS:
            return CredentialsStory
        case Story.LOOP:
            return LoopStory
        case Story.INLETS:
            return InletsStory
        case None:
            return Demonstration


def _processes(story: Story | None) -> str:
    match story:
        case Story.LOOP:
            return "three emulated destinations, the router, three sinks and the receiver"
        case Story.INLETS:
            return "two emulated destinations, the router, two sinks and both inlets"
        case _:
            return "two emulated destinations, the router and two sinks"


def _end(seconds: float | None, story: Story | None, events: list[Path] | None) -> str:
    if story is not None:
        return "the story takes about a minute"
    if events:
        return "it ends when all events of the files are settled"
    return "Ctrl-C ends it" if seconds is None else f"it ends by itself after {seconds:g} s"


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

"""`streams explain`: where an event is, what happened to it, and where was not looked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table
from streams.cli.times import iso, parse_time

if TYPE_CHECKING:
    from streams.cli.explaining import Explanation, Window
    from streams.workers.tracing import Story, Way

DEFAULT_MS = 3_600_000
AROUND_MS = 1_800_000
EVENT_ID_CHARACTERS_MAX = 500
PROGRESS_SECONDS = 0.2


@translated
def explain(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's `id`, whole.")],
    config: ConfigPath = None,
    around: Annotated[
        str | None, typer.Option(metavar="TIME", help="Written within half an hour of this time, before or after.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Written at this time or later. Default: an hour ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Written before this time. Default: now.")] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The event's external_user_id: only the partitions of this key are read."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Say where an event is and what happened to it, in order, and what was not looked at.

    A TIME is like 2026-01-31T03:00Z, or how long ago: 2h. It is when the Currents record was written; what became of
    it since is looked for up to now.
    """
    from streams.cli import explaining
    from streams.delivery.account import MetadataError
    from streams.keeping.records import StateError

    if not event_id.strip() or len(event_id) > EVENT_ID_CHARACTERS_MAX:
        raise CommandError("EVENT_ID must be the `id` of an event, such as a UUID", ExitCode.USAGE)
    if user is not None and not user:
        raise CommandError("--user must be an external_user_id; leave it out to read every partition", ExitCode.USAGE)
    window = _window(around, since, until, time.time_ns() // 1_000_000)
    settings = settings_from(config)
    try:
        with _progress() as report:
            found = explaining.explain(settings, event_id, window, user, report)
    except (MetadataError, StateError) as error:
        raise CommandError(f"what was written before cannot be read: {error}", ExitCode.FAILED) from None
    not_looked_at = _not_looked_at(found, window, user)
    if output is Format.JSON:
        print_json(
            {
                "event_id": event_id,
                "since": iso(window.since_ms),
                "until": iso(window.until_ms),
                "topics": found.topics,
                "offsets": found.offsets,
                "records": [_listed(story) for story in found.stories],
                "not_looked_at": not_looked_at,
            }
        )
    else:
        _print(event_id, found, not_looked_at)
    if not found.stories:
        note(f"event {event_id} was not found in {found.offsets:,} offsets of {found.topics} topics")
        raise typer.Exit(ExitCode.NOTHING_MATCHED)


def _window(around: str | None, since: str | None, until: str | None, now_ms: int) -> Window:
    from streams.cli.explaining import Window

    if around is not None:
        if since is not None or until is not None:
            raise CommandError("--around says both ends: leave --since and --until out", ExitCode.USAGE)
        middle = parse_time("--around", around, now_ms)
        return Window(middle - AROUND_MS, middle + AROUND_MS)
    end = None if until is None else parse_time("--until", until, now_ms)
    begin = (end or now_ms) - DEFAULT_MS if since is None else parse_time("--since", since, now_ms)
    if begin >= (now_ms if end is None else end):
        raise CommandError("--since must be before --until, and both in the past", ExitCode.USAGE)
    return Window(begin, end)


def _not_looked_at(found: Explanation, window: Window, user: str | None) -> list[str]:
    """Where the event may still be, in sentences."""
    began = "after this began" if window.until_ms is None else f"from {iso(window.until_ms)} on"
    sentences = [f"Currents records written before {iso(window.since_ms)} or {began} (--around, --since, --until)"]
    for topic, numbers in found.gaps.items():
        sentences.append(f"records of {topic} that are deleted (partitions {', '.join(map(str, sorted(numbers)))})")
    if user is not None:
        sentences.append("Currents partitions where only a producer with another partitioner puts this user's key")
    if found.by_key:
        sentences.append("partitions of our topics other than those of the event's key")
    sentences += [f"{topic}: there is no such topic" for topic in found.missing]
    sentences += [f"{topic}: it belongs to nothing in the configuration" for topic in found.orphaned]
    sentences.append("values that cannot be decoded, unless the id stands in their bytes")
    if found.is_cut:
        sentences.append("more records with this id: only the first that were seen are told")
    return sentences


def _print(event_id: str, found: Explanation, not_looked_at: Sequence[str]) -> None:
    for story in found.stories:
        for key, value in (*_head(event_id, story), *map(_now, story.ways)):
            print(f"{key:<12} {value}")
        if story.ways:
            print()
            print_table(
                ("WHEN", "CONNECTOR", "WHAT", "DETAIL", "PLACE"),
                (
                    (iso(step.at), way.connector, step.what, step.detail, step.place)
                    for way in story.ways
                    for step in way.steps
                ),
            )
        print()
    print("not looked at")
    for sentence in not_looked_at:
        print(f"  {sentence}")
    for story in found.stories:
        for way in story.ways:
            if way.next_step:
                note(f"{way.connector}: {way.next_step}")


def _head(event_id: str, story: Story) -> Iterator[tuple[str, str]]:
    yield "event", event_id
    yield "type", story.event_type or "unknown"
    yield "time", iso(None if story.event_time is None else story.event_time * 1000) or "unknown"
    origin = f"{story.origin.topic}/{story.origin.partition}/{story.origin.offset}"
    yield "read from", origin + ("" if story.read is None else f", written {iso(story.read.written_ms)}")
    if not story.is_decoded:
        yield "decoded", "no: its bytes hold the id, and nothing here can read them"
    yield "router", f"{story.router}: {story.router_detail}"


def _now(way: Way) -> tuple[str, str]:
    """Where the event is now on its way to one connector."""
    deadline = iso(way.deadline_ms)
    return way.connector, way.state + (f", until {deadline}" if deadline else "")


def _listed(story: Story) -> dict[str, Any]:
    return {
        "origin": {
            "topic": story.origin.topic,
            "partition": story.origin.partition,
            "offset": story.origin.offset,
            "written": None if story.read is None else iso(story.read.written_ms),
        },
        "event_type": story.event_type or None,
        "time": None if story.event_time is None else iso(story.event_time * 1000),
        "decoded": story.is_decoded,
        "router": {"state": story.router, "detail": story.router_detail},
        "connectors": {way.connector: _listed_way(way) for way in story.ways},
    }


def _listed_way(way: Way) -> dict[str, Any]:
    return {
        "state": way.state,
        "deadline": iso(way.deadline_ms),
        "next_step": way.next_step or None,
        "steps": [
            {"at": iso(step.at), "what": step.what, "detail": step.detail, "place": step.place or None}
            for step in way.steps
        ],
    }


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """How far the search is, on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _passed, _total: None
        return
    next_at = 0.0

    def report(passed: int, total: int) -> None:
        nonlocal next_at
        if total and time.monotonic() >= next_at:
            next_at = time.monotonic() + PROGRESS_SECONDS
            print(f"\r{passed:,} of {total:,} offsets", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)

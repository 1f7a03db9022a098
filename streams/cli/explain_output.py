"""What `streams explain` prints: the stories of an event, as JSON or for people, and where was not looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams.cli.output import note, print_json, print_table
from streams.operations.explain.explanation import Explanation, Window
from streams.operations.explain.story import Story, Way
from streams.operations.explain.story_content import listed
from streams.state.moments import iso


def print_as_json(event_id: str, found: Explanation, window: Window, sentences: Sequence[str]) -> None:
    print_json(listed(event_id, found, window, sentences))


def print_for_people(event_id: str, found: Explanation, sentences: Sequence[str]) -> None:
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
    for sentence in sentences:
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

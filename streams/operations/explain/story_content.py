"""The stories of an event as JSON, as `streams explain --output json` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.operations.explain.explanation import Explanation, Window
from streams.operations.explain.story import Story, Way
from streams.state.moments import iso


def listed(event_id: str, found: Explanation, window: Window, sentences: Sequence[str]) -> dict[str, Any]:
    """`sentences` say where the event was not looked for."""
    return {
        "event_id": event_id,
        "since": iso(window.since_ms),
        "until": iso(window.until_ms),
        "topics": found.topics,
        "offsets": found.offsets,
        "records": [_listed(story) for story in found.stories],
        "not_looked_at": sentences,
    }


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

"""Lines of the audit: what a writer says is what a reader gets."""

from __future__ import annotations

import json

import pytest

from streams.state.audit import (
    Alerted,
    Answered,
    CredentialsChanged,
    JobEnded,
    Line,
    Passed,
    ReceiptLine,
    Redriven,
    SchemasAdded,
    Started,
    Stopped,
    parse_line,
)
from streams.state.records import Evidence

LINES = [
    Answered(what="suspend", who="ada", why="release", arguments={}, outcome="done", detail="it stands"),
    Stopped(by="flood", why="1,000 records were refused in a row"),
    CredentialsChanged(
        what="credentials INVALID",
        scope="default",
        evidence=Evidence(status=401, detail="no", at=1),
        invalid_since=7,
    ),
    Alerted(alert="purged", scope="-"),
    Redriven(why="credentials VALID", scope="default", letters=3),
    JobEnded(what="replay done", job="j", planned=3, done=3, left_out={}, detail=""),
    Started(what="started at a copy", why="forgotten", partitions={"0": 5}),
    Passed(why="too large", count=1, records=("topic/0/5",)),
    SchemasAdded(schemas=({"fingerprint": "00", "event_type": "a.b", "file": "x.avsc"},)),
    ReceiptLine(what="purged", letters=2, offsets={0: ((1, 3),)}, scope="default"),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_a_line_is_read_as_it_was_written(line: Line) -> None:
    written = line.stamped(1_000, "keeper a", "growth")
    assert parse_line(written.to_bytes()) == written


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_a_written_line_says_what_when_who_and_whose(line: Line) -> None:
    content = json.loads(line.stamped(1_000, "keeper a", "growth").to_bytes())
    assert content["v"] == 1
    assert content["at"] == 1_000
    assert content["what"] == line.what
    assert content["who"] == (line.who or "keeper a")
    assert content["connector"] == "growth"


def test_a_line_of_a_newer_program_keeps_what_every_line_says() -> None:
    read = parse_line(
        b'{"v":1,"at":5,"who":"keeper a","connector":"growth","what":"renamed","why":"wish","to":"other"}'
    )
    assert read is not None
    assert (read.what, read.who, read.detail()) == ("renamed", "keeper a", "wish")


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"v":2,"what":"purged"}', b'{"what":"purged"}'])
def test_what_is_no_line_is_none(value: bytes | None) -> None:
    assert parse_line(value) is None

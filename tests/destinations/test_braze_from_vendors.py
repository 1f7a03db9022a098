"""What a vendor sends becomes exactly the golden request: receiver's bodies, encoder and composer together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from streams.wayback.entries import Entry
from streams.wayback.reception import receive
from streams.wayback.records import Malformed, Membership, Page
from tests.destinations.braze_desk import Desk, content

GOLDEN = Path(__file__).parents[1] / "golden" / "way_back"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['says']}")
    for path in sorted(GOLDEN.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]
NOW_MS = 1_789_997_600_123


@pytest.mark.parametrize("case", CASES)
def test_a_body_becomes_exactly_its_request(case: dict[str, Any]) -> None:
    entry = TypeAdapter[Any](Entry).validate_python(case["entry"])
    reception = receive("entry", entry, orjson.dumps(case["body"]), NOW_MS, "request-1")
    assert reception.status in (200, 202)
    assert reception.taken is not None
    records = reception.taken.records
    assert dict(reception.taken.skipped) == case.get("skipped", {})
    assert sum(isinstance(one, Malformed) for one in records) == case.get("malformed", 0)
    sent = [
        one
        for one in records
        if not isinstance(one, Page | Malformed) and not (isinstance(one, Membership) and one.change == "present")
    ]
    desk = Desk(receive={"entry": case["entry"]}, **case.get("settings", {}))
    if not sent:
        assert case["sent"] == {}
        return
    composed = desk.compose(*sent)
    assert composed.taken == len(sent)
    assert content(composed.request) == case["sent"]
    assert dict(composed.dropped) == case.get("dropped", {})

"""Both shapes of one event, the files' and the one over HTTP, become the same payload at each destination."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.events.custom_http.mapping import EventMappings
from streams.events.custom_http.samples import posted
from streams.events.custom_http.schemas import UNKNOWN
from tests.golden.test_golden import CASES, destination

MAPPINGS = EventMappings()
NEW = {"streams_never_heard_of": {"a": [1]}}


@pytest.mark.parametrize(("name", "event_type", "case"), CASES)
def test_an_event_over_http_becomes_exactly_the_payload_of_the_file(
    name: str, event_type: str, case: dict[str, Any]
) -> None:
    event = posted(event_type, case["event"])
    found = MAPPINGS.record(event)
    assert found.schema.event_type == event_type
    assert found.schema.decode(found.value, 10)[UNKNOWN] is None
    encode = destination(name).encoder(found.schema)
    assert encode is not None
    encoding = encode(found.value, 10)
    assert isinstance(encoding, tuple), encoding
    scope, body, cuts = encoding
    assert json.loads(body) == case["payload"]
    assert (scope, cuts) == (case.get("feed", "default"), 0)
    event["properties"] |= NEW
    more = MAPPINGS.record(event)
    assert encode(more.value, 10) == encoding, "what Braze adds changes nothing until it is mapped"

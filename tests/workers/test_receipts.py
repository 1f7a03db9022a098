"""Lines of the audit that are receipts, from each of their writers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.operations.explain.receipts import receipt_of

COMMON: dict[str, Any] = {
    "v": 1,
    "at": 1_800_000_000_000,
    "who": "keeper a",
    "connector": "growth",
    "event_types": {"users.messages.email.Open": 3},
    "first_event_time": 1,
    "last_event_time": 9,
}


@pytest.mark.parametrize(
    ("line", "letters", "covered", "not_covered"),
    [
        ({"what": "purged", "scope": "ios", "offsets": {"1": [5, 8]}}, "credentials.ios", [5, 7], [4, 8]),
        ({"what": "expired", "offsets": {"1": [5, 8]}}, "rejected", [5, 7], [4, 8]),
        (
            {"what": "purged", "from": "rejected", "job": "j", "offsets": {"1": [[5, 6], [7, 8]]}},
            "rejected",
            [5, 7],
            [6, 8],
        ),
    ],
)
def test_a_receipt_covers_its_ranges_and_nothing_else(
    line: dict[str, Any], letters: str, covered: list[int], not_covered: list[int]
) -> None:
    found = receipt_of(json.dumps({**COMMON, **line}).encode())
    assert found is not None
    connector, receipt = found
    assert (connector, receipt.letters, receipt.event_times) == ("growth", letters, (1, 9))
    assert all(receipt.covers(1, offset) for offset in covered)
    assert not any(receipt.covers(1, offset) for offset in not_covered)
    assert not receipt.covers(0, 5)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"what": "suspend", "offsets": {}}',
        json.dumps({**COMMON, "what": "purged"}).encode(),
        json.dumps({**COMMON, "what": "purged", "offsets": {"x": [1, 2]}}).encode(),
        json.dumps({**COMMON, "what": "purged", "offsets": {"1": [1]}}).encode(),
    ],
)
def test_any_other_line_is_none(value: bytes | None) -> None:
    assert receipt_of(value) is None

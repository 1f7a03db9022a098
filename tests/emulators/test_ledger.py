"""The ledger's bounds: the newest requests stay, and totals count all."""

from __future__ import annotations

from streams.emulators.ledger import RECORD_IDS_MAX, REQUESTS_MAX, Exchange, Ledger


def exchange(number: int, ids: int) -> Exchange:
    return Exchange(number, 0, "POST", "/import", {}, {}, "", 1, 1, "", ("id",) * ids, 200, None)


def numbers(ledger: Ledger) -> list[int]:
    return [request["number"] for request in ledger.to_json()["requests"]]


def test_the_oldest_requests_are_forgotten_first() -> None:
    ledger = Ledger()
    for _ in range(REQUESTS_MAX + 2):
        ledger.add(exchange(ledger.count(10, 200), 0))
    assert numbers(ledger)[0] == 3
    assert len(numbers(ledger)) == REQUESTS_MAX
    assert ledger.to_json()["totals"] == {
        "requests": REQUESTS_MAX + 2,
        "bytes": 10 * (REQUESTS_MAX + 2),
        "statuses": {"200": REQUESTS_MAX + 2},
    }


def test_large_requests_are_forgotten_sooner() -> None:
    ledger = Ledger()
    for number in range(1, 5):
        ledger.add(exchange(number, RECORD_IDS_MAX // 3))
    assert numbers(ledger) == [2, 3, 4]
    ledger.reset()
    ledger.add(exchange(5, RECORD_IDS_MAX))
    assert numbers(ledger) == [5]

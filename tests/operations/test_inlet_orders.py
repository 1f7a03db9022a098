"""An order about a parked file is carried out when it is gone from the topic, and not before anybody can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from streams.config import loads
from streams.inlets.layout import place_of
from streams.inlets.progress import Entry, State, What, slot_to_bytes, taken_key
from streams.operations.inlets.orders import Ordered, order
from streams.operations.installation import Installation
from streams.testing.clock import MovableClock

SETTINGS = loads("""
kafka: {bootstrap_servers: "k:1"}
inlets: {bucket: {kind: storage, url: "s3://bucket/prefix"}}
""")
FILE = "a.avro"
PLACE = (SETTINGS.topics.inlets, 0)
PARKED = {
    taken_key("bucket", place_of(FILE).slot, 0).encode(): slot_to_bytes(
        {FILE: Entry("etag", 100, 1, State.PARKED, reason="a cut-off block")}
    )
}
ORDER = f"order/bucket/{FILE}".encode()


class Topic:
    """The topic of inlets as readers see it, look by look: where it ends for them, and whether they see the order."""

    def __init__(self, *looks: tuple[int, bool]) -> None:
        self._looks = list(looks)
        self.slept = 0
        self.shown: Callable[[], Mapping[bytes, bytes]] = lambda: PARKED

    def installation(self) -> Installation:
        cluster = SimpleNamespace(
            partitions=lambda *_topics: (PLACE,),
            high_watermarks=lambda _places: {PLACE: 5},
            ends=lambda _places: {PLACE: self._looks[0][0]},
        )
        made = SimpleNamespace(
            settings=SETTINGS,
            cluster=cluster,
            clock=MovableClock(),
            open_transactions=_transactions,
            read_latest=self._latest,
        )
        return cast(Installation, made)

    def sleep(self, _seconds: float) -> None:
        self.slept += 1
        self._looks.pop(0)

    def _latest(self, _topic: str, prefix: bytes) -> Mapping[bytes, bytes]:
        if not prefix:
            return self.shown()
        return {ORDER: b"an order"} if self._looks[0][1] else {}


@contextmanager
def _transactions(_transactional_id: str) -> Iterator[Any]:
    yield SimpleNamespace(begin=lambda: None, write=lambda *_record: None, commit=lambda *_positions: None)


def test_an_order_whose_transaction_no_reader_sees_yet_is_not_carried_out() -> None:
    topic = Topic((3, False), (5, True), (7, False))
    done = order(
        topic.installation(), "bucket", FILE, What.SKIP, who="ada", reason="it is empty", wait_seconds=60.0,
        sleep=topic.sleep,
    )  # fmt: skip
    assert (done.is_done, topic.slept) == (True, 2)


def came_of(what: What, *, state: State, records: int = 0, reason: str = "") -> str:
    return Ordered(FILE, what, True, Entry("etag", 100, 1, state, records=records, reason=reason)).sentence()


def test_what_came_of_an_order_is_told_with_what_was_taken_and_what_was_given_up() -> None:
    assert came_of(What.SALVAGE, state=State.SKIPPED, records=296) == (
        "296 records of a.avro are taken; the rest of it is given up for good"
    )
    assert came_of(What.SKIP, state=State.SKIPPED) == (
        "0 records of a.avro are taken; the rest of it is given up for good"
    )
    assert came_of(What.RETRY, state=State.DONE, records=300).startswith("a.avro was read to its end: 300 records")
    assert came_of(What.RETRY, state=State.PARKED, reason="a cut-off block") == (
        "a.avro still cannot be read: a cut-off block"
    )
    assert Ordered(FILE, What.SKIP, False).sentence() == (
        "no process of the inlet answered: skip a.avro waits until one runs"
    )


def test_an_order_is_over_once_the_file_was_read() -> None:
    under_way = {key: value.replace(b'"parked"', b'"under_way"') for key, value in PARKED.items()}
    topic = Topic((5, False), (5, False), (5, False))
    shown = iter([PARKED, under_way, PARKED])
    topic.shown = lambda: next(shown)
    done = order(
        topic.installation(), "bucket", FILE, What.RETRY, who="ada", reason="it was repaired", wait_seconds=60.0,
        sleep=topic.sleep,
    )  # fmt: skip
    assert (topic.slept, done.sentence()) == (1, "a.avro still cannot be read: a cut-off block")

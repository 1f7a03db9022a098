"""An order about a parked file is carried out when it is gone from the topic, and not before anybody can read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from streams.config import loads
from streams.inlets.layout import Slot
from streams.inlets.progress import Entry, State, What, slot_to_bytes, taken_key
from streams.operations.inlets.orders import order
from streams.operations.installation import Installation
from streams.testing.clock import MovableClock

SETTINGS = loads("""
kafka: {bootstrap_servers: "k:1"}
inlets: {bucket: {kind: storage, url: "s3://bucket/prefix"}}
""")
FILE = "a.avro"
PLACE = (SETTINGS.topics.inlets, 0)
PARKED = {
    taken_key("bucket", Slot("users.messages.email.Open", "2026-11-24-12"), 0).encode(): slot_to_bytes(
        {FILE: Entry("etag", 100, 1, State.PARKED, reason="a cut-off block")}
    )
}
ORDER = f"order/bucket/{FILE}".encode()


class Topic:
    """The topic of inlets as readers see it, look by look: where it ends for them, and whether they see the order."""

    def __init__(self, *looks: tuple[int, bool]) -> None:
        self._looks = list(looks)
        self.slept = 0

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
            return PARKED
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

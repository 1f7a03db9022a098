"""Which of two words is the later one: also after the topic was made again, and of letters that come back."""

from __future__ import annotations

import pytest

from streams.delivery.letter import (
    ORIGIN_HEADER,
    VERDICT_HEADER,
    Origin,
    Reason,
    Verdict,
    letter_headers,
    returned_headers,
)
from streams.testing.ports import FakeMessage
from streams.workers.sink.composition.places import Places, offset_of, places

TOPIC = "streams.connector.back"
FIRST, SECOND = Places(("a",)), Places(("a", "b"))


def read(offset: int, origin: str = "", topic: str = "") -> FakeMessage:
    """A record at an offset of partition 0; `topic` is the mark of the topic that its letter was first read from."""
    headers: list[tuple[str, bytes | None]] = []
    if origin:
        headers.append((ORIGIN_HEADER, origin.encode()))
    if origin or topic:
        headers.append((VERDICT_HEADER, Verdict(topic=topic).to_header()))
    return FakeMessage(TOPIC, 0, offset, b"key", b"value", tuple(headers))


def test_every_place_of_a_topic_is_later_than_all_of_the_topic_before() -> None:
    assert FIRST.of(read(2**43)) < SECOND.of(read(0)) < SECOND.of(read(1)) < Places(("a", "b", "c")).of(read(0))
    assert offset_of(SECOND.of(read(7))) == 7


def test_places_of_the_first_topic_are_its_offsets() -> None:
    assert [Places().of(read(7)), FIRST.of(read(7))] == [7, 7]


def test_a_letter_that_comes_back_keeps_its_place_also_where_its_topic_is_gone() -> None:
    assert SECOND.of(read(90, f"{TOPIC}/0/5", "b")) == SECOND.of(read(5))
    assert SECOND.of(read(90, f"{TOPIC}/0/5", "a")) == FIRST.of(read(5))
    assert SECOND.of(read(3, f"{TOPIC}/0/500", "a")) == FIRST.of(read(500))


@pytest.mark.parametrize(
    ("origin", "topic"),
    [
        (f"{TOPIC}/0/5", "elsewhere"),
        (f"{TOPIC}/1/5", "b"),
        ("streams.connector.other/0/5", "b"),
        (f"{TOPIC}/0/500", "b"),
    ],
    ids=["another cluster's topic", "another partition", "another name", "a later offset"],
)
def test_a_letter_of_another_cluster_is_new(origin: str, topic: str) -> None:
    assert SECOND.of(read(90, origin, topic)) == SECOND.of(read(90))


def test_a_letter_keeps_its_place_and_the_mark_of_the_topic_that_it_was_first_read_from() -> None:
    reason = Reason("rejected", 400, "no", "default", "wayback.Attributes", 1, 0, topic="a")
    back = returned_headers(letter_headers([], Origin(TOPIC, 0, 5), reason))
    again = returned_headers(
        letter_headers(back, Origin(TOPIC, 0, 5), Reason("rejected", 400, "no", "", "", 1, 0, "b"))
    )
    assert dict(back)[ORIGIN_HEADER] == dict(again)[ORIGIN_HEADER] == f"{TOPIC}/0/5".encode()
    assert Verdict.from_header(dict(again)[VERDICT_HEADER]).topic == "a"  # type: ignore[union-attr]


def test_topics_are_remembered_in_their_order_and_unknown_ones_change_nothing() -> None:
    known = Places().with_topic("a").with_topic("a").with_topic("").with_topic("b")
    assert known == SECOND == places(known.to_bytes())
    assert places(None) == Places()


@pytest.mark.parametrize("row", [b"", b"[]", b"7", b"{}", b'{"v":2,"topics":[]}', b'{"v":1,"topics":[1]}', b'{"v":1}'])
def test_bytes_that_are_no_list_of_topics_are_told(row: bytes) -> None:
    with pytest.raises(ValueError, match="list of topics"):
        places(row)

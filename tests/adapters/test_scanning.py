"""Reading dead-letter topics: all of it, and only the edges, on a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from streams.adapters.kafka import scan as scanning
from streams.adapters.kafka.scan import edges, scan
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.letters import Edges
from streams.testing.brokers import Broker
from tests.cli.dlq.desk import Desk

pytestmark = pytest.mark.kafka

Place = tuple[int, int]


@pytest.fixture
def desk(kafka: Broker, tmp_path: Path) -> Desk:
    return Desk(kafka.bootstrap_servers, tmp_path)


def topic_of(desk: Desk) -> str:
    return desk.settings.topics.dead_letter_rejected("growth")


def starts(desk: Desk, *offsets: int) -> dict[Partition, int]:
    return {(topic_of(desk), number): offset for number, offset in enumerate(offsets)}


def read(desk: Desk, *offsets: int) -> list[Place]:
    config = desk.settings.kafka.client_config("scanning")
    return [
        (partition[1], letter.offset())
        for partition, letters in scan(config, starts(desk, *offsets))
        for letter in letters
    ]


def edges_of(desk: Desk, is_settled: Callable[[int], bool] = lambda _offset: False) -> list[tuple[int, int] | None]:
    config = desk.settings.kafka.client_config("scanning")
    found = edges(config, starts(desk, 0, 0), lambda _partition, offset: is_settled(offset))
    return [_offsets(edge) for _, edge in sorted(found.items())]


def _offsets(edge: Edges) -> tuple[int, int] | None:
    if edge.first is None or edge.last is None:
        return None
    return edge.first.offset(), edge.last.offset()


def test_a_scan_reads_every_letter_and_stops_though_offsets_go_on(desk: Desk) -> None:
    desk.park(3)
    desk.park(2, partition=1)
    desk.park(1)  # after the marker that ended the first transaction
    assert sorted(read(desk, 0, 0)) == [(0, 0), (0, 1), (0, 2), (0, 4), (1, 0), (1, 1)]


def test_a_scan_begins_where_it_is_told_and_an_empty_topic_ends_at_once(desk: Desk) -> None:
    assert read(desk, 0, 0) == []
    desk.park(3)
    assert read(desk, 2, 0) == [(0, 2)]
    assert read(desk, 4, 0) == []


def test_what_was_aborted_or_is_not_committed_yet_is_no_letter(desk: Desk) -> None:
    desk.park(2)
    for number, is_aborted in enumerate((True, False)):
        producer = Producer(
            {"bootstrap.servers": desk.bootstrap_servers, "transactional.id": f"{desk.prefix}open-{number}"}
        )
        producer.init_transactions(60)
        producer.begin_transaction()
        producer.produce(topic_of(desk), b"half", partition=0)
        producer.flush(60)
        if is_aborted:
            producer.abort_transaction(60)
    assert read(desk, 0, 0) == [(0, 0), (0, 1)]
    assert edges_of(desk) == [(0, 1), None]


def test_letters_that_were_deleted_are_passed_over(desk: Desk) -> None:
    desk.park(5)
    for future in desk.admin.delete_records([TopicPartition(topic_of(desk), 0, 3)]).values():
        future.result(60)
    assert read(desk, 0, 0) == [(0, 3), (0, 4)]
    assert read(desk, 1, 0) == [(0, 3), (0, 4)]


def test_progress_counts_the_letters_that_were_read(desk: Desk) -> None:
    desk.park(30)
    told: list[int] = []
    for _ in scan(desk.settings.kafka.client_config("scanning"), starts(desk, 0, 0), told.append):
        pass
    assert told[-1] == 30


def test_the_edges_are_the_first_and_the_last_letter(desk: Desk) -> None:
    assert edges_of(desk) == [None, None]
    desk.park(40)
    desk.park(1, partition=1)
    assert edges_of(desk) == [(0, 39), (0, 0)]


def test_the_edges_pass_over_settled_letters(desk: Desk) -> None:
    desk.park(40)
    assert edges_of(desk, lambda offset: offset < 7 or offset > 20) == [(7, 20), None]
    assert edges_of(desk, lambda offset: offset != 11) == [(11, 11), None]
    assert edges_of(desk, lambda _offset: True) == [None, None]


def test_the_last_letter_is_found_behind_a_long_tail_of_aborted_ones(desk: Desk) -> None:
    desk.park(2)
    producer = Producer({"bootstrap.servers": desk.bootstrap_servers, "transactional.id": f"{desk.prefix}aborts"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for _ in range(300):
        producer.produce(topic_of(desk), b"never", partition=0)
    producer.flush(60)
    producer.abort_transaction(60)
    assert edges_of(desk) == [(0, 1), None]


def test_a_broker_that_does_not_answer_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "ANSWER_SECONDS_MAX", 0.5)
    config = {**desk.settings.kafka.client_config("scanning"), "bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(KafkaUnreachable, match="could not be read"):
        list(scan(config, starts(desk, 0, 0)))

"""What only a scratch file can be: behind, damaged, of a topic that is no more, too old, on a full disk."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import FRESH_SECONDS_MAX, KafkaMemories, check_folder
from streams.adapters.scratch import Position, Scratch
from streams.adapters.scratch_memory import LATE_MAX, POSITION_SECONDS, ScratchMemory
from streams.delivery.sent_rows import Seen
from streams.ports.errors import TopicMissing
from streams.ports.memory import MemoryDamaged, Row, RowsNotUnderstood
from streams.testing.brokers import Broker
from streams.testing.clock import MovableClock
from tests.topics import claim, make_topics

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

PATIENCE_SECONDS = 60.0


class AskedTopic(SentTopic):
    """Keeps the answers about ends that are under way."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers: list[Future[Any]] = []

    def ask_end(self, partition: int) -> Future[Any]:
        self.answers.append(super().ask_end(partition))
        return self.answers[-1]


class Desk:
    """A topic of rows, its file on a scratch folder, and how often the rows were read."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.clock = MovableClock()
        self.folder = folder / "back-to-braze"
        self.path = self.folder / "0.sqlite"
        self.topic = f"sent-{uuid4().hex[:8]}"
        claim(broker.bootstrap_servers, self.topic)
        self._options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        self._admin = AdminClient(self._options)
        self._writer = Producer({**self._options, "transactional.id": self.topic})
        self._writer.init_transactions(PATIENCE_SECONDS)
        self.sent = AskedTopic(self._options, self.topic, "desk")
        self.at_the_end = ExitStack()

    def make_topic(self) -> None:
        new = NewTopic(self.topic, 1, 1, config={"cleanup.policy": "compact"})
        make_topics(self._admin, new)

    def make_topic_again(self) -> None:
        self._admin.delete_topics([self.topic])[self.topic].result(PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.topic in self._admin.list_topics(timeout=PATIENCE_SECONDS).topics:
            assert time.monotonic() < deadline, "the topic is not deleted"
        self.make_topic()

    def open(self, beat: Any = lambda: None) -> ScratchMemory:
        """As a process that starts now does. It is closed after the test."""
        memory = KafkaMemories(self.sent, self.folder, self.clock).open(0, beat)
        self.at_the_end.callback(memory.close)
        return memory

    def close(self, memory: ScratchMemory) -> Position:
        """The position that the file keeps."""
        memory.close()
        with Scratch(self.path) as scratch:
            return scratch.position

    def begin(self, *rows: Row) -> None:
        self._writer.begin_transaction()
        for key, value in rows:
            self._writer.produce(self.topic, value, key, 0)
        self._writer.flush(PATIENCE_SECONDS)

    def end(self, *, is_committed: bool = True) -> None:
        end = self._writer.commit_transaction if is_committed else self._writer.abort_transaction
        end(PATIENCE_SECONDS)

    def commit(self, *rows: Row) -> None:
        self.begin(*rows)
        self.end()


@pytest.fixture
def desk(kafka: Broker, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(kafka, tmp_path)
    desk.make_topic()
    with desk.at_the_end:
        yield desk


def plant(desk: Desk, key: bytes) -> None:
    """Put a row into the file that no topic has: it is there for as long as the file is not made anew."""
    with Scratch(desk.path) as scratch:
        scratch.apply([(key, b"only here")])


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_transaction_that_another_owner_left_open_is_waited_for(desk: Desk, is_committed: bool) -> None:
    desk.commit((b"group/a", b"1"))
    desk.begin((b"group/b", b"2"))
    beats = threading.Semaphore(0)

    def end_it_later() -> None:
        for _ in range(8):
            beats.acquire()
        desk.end(is_committed=is_committed)

    other = threading.Thread(target=end_it_later)
    other.start()
    memory = desk.open(beats.release)
    other.join()
    assert memory.get(b"group/a") == b"1"
    assert memory.get(b"group/b") == (b"2" if is_committed else None)


def test_a_file_goes_on_where_it_stood(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"))
    desk.open().close()
    plant(desk, b"group/planted")
    desk.commit((b"group/b", b"2"))
    memory = desk.open()
    assert [memory.get(b"group/" + each) for each in (b"a", b"b", b"planted")] == [b"1", b"2", b"only here"]


def test_a_topic_that_was_made_again_is_read_from_its_first_row(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"))
    desk.open().close()
    desk.make_topic_again()
    desk.commit((b"group/b", b"2"), (b"group/c", b"3"), (b"group/c", b"4"))
    memory = desk.open()
    assert [memory.get(b"group/" + each) for each in (b"a", b"b", b"c")] == [None, b"2", b"4"]


def test_a_file_beyond_the_end_of_the_topic_is_made_anew(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"))
    position = desk.close(desk.open())
    with Scratch(desk.path) as scratch:
        scratch.apply([(b"group/planted", b"only here")], position._replace(next_offset=position.next_offset + 1))
    memory = desk.open()
    assert (memory.get(b"group/a"), memory.get(b"group/planted")) == (b"1", None)


def test_a_file_that_may_have_missed_a_tombstone_is_made_anew(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"))
    desk.open().close()
    plant(desk, b"group/planted")
    desk.clock.advance(FRESH_SECONDS_MAX - 1)
    memory = desk.open()
    assert memory.get(b"group/planted") == b"only here"
    memory.close()
    desk.clock.advance(FRESH_SECONDS_MAX)
    memory = desk.open()
    assert (memory.get(b"group/a"), memory.get(b"group/planted")) == (b"1", None)


def test_a_damaged_file_is_made_anew(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"))
    desk.open().close()
    desk.path.write_bytes(b"no database" * 1_000)
    assert desk.open().get(b"group/a") == b"1"


def test_damage_that_shows_later_is_told_with_the_file_and_opening_again_cures_it(desk: Desk) -> None:
    rows: Sequence[Row] = [(b"group/%d" % number, b"x" * 500) for number in range(20_000)]
    desk.commit(*rows)
    memory = desk.open()
    size = desk.path.stat().st_size
    with desk.path.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xff" * (size - 8_192))
    with pytest.raises(MemoryDamaged, match=r"0\.sqlite"):
        _ = [memory.get(key) for key, _ in rows]
    memory.close()
    again = desk.open()
    assert [again.get(key) for key, _ in rows[::1_000]] == [b"x" * 500] * 20


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond it: a disk that is full for us."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_with_the_file_and_room_cures_it(desk: Desk) -> None:
    memory = desk.open()
    rows: Sequence[Row] = [(b"group/%d" % number, b"x" * 500) for number in range(2_000)]
    desk.commit(*rows)
    with files_of_at_most(200_000):
        memory.apply(rows)
        with pytest.raises(MemoryDamaged, match=r"0\.sqlite"):
            memory.bytes()  # which writes what waits
        memory.close()
        with pytest.raises(MemoryDamaged, match=r"0\.sqlite"):
            desk.open()
    assert desk.open().get(b"group/1999") == b"x" * 500


def test_a_folder_that_cannot_be_written_is_told(desk: Desk) -> None:
    desk.folder.write_text("a file")
    with pytest.raises(MemoryDamaged, match="back-to-braze"):
        desk.open()
    with pytest.raises(OSError, match="back-to-braze"):
        check_folder(desk.folder)


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_row_that_nobody_can_read_stops_with_its_place(desk: Desk) -> None:
    desk.commit((b"group/a", b"1"), (b"user/ann", b"no memory"))
    with pytest.raises(RowsNotUnderstood, match=f"partition 0 of {desk.topic}.*no memory of a user"):
        desk.open()


def test_a_topic_that_is_missing_is_named(kafka: Broker, tmp_path: Path) -> None:
    desk = Desk(kafka, tmp_path)
    with pytest.raises(TopicMissing, match=f"{desk.topic}.*topics apply"):
        desk.open()


class Asked:
    """Ends of the topic, answered when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def __call__(self) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


class End:
    def __init__(self, offset: int) -> None:
        self.offset = offset


def test_the_position_follows_to_an_end_that_was_told_before_the_last_commit(tmp_path: Path) -> None:
    path, clock, asked = tmp_path / "0.sqlite", MovableClock(), Asked()
    memory = ScratchMemory(Scratch(path), path, asked, "id", clock)

    def position() -> int:
        with Scratch(path) as other:
            return other.position.next_offset

    memory.apply([(b"group/a", b"1")])
    assert asked.futures == []
    clock.advance(POSITION_SECONDS)
    memory.apply([(b"group/a", b"2")])
    memory.apply([(b"group/a", b"3")])
    assert (len(asked.futures), position()) == (1, 0)
    asked.futures[0].set_result(End(30))
    # The answer may be younger than this commit: another owner's rows may be before that end.
    memory.apply([(b"group/a", b"4")])
    assert position() == 0
    memory.apply([(b"group/a", b"5")])
    assert position() == 30
    memory.close()


def test_the_position_is_near_the_end_after_many_commits(desk: Desk) -> None:
    memory = desk.open()
    for number in range(20):
        row: Row = (b"group/a", b"%d" % number)
        desk.commit(row)
        memory.apply([row])
        wait(desk.sent.answers, PATIENCE_SECONDS)
        desk.clock.advance(POSITION_SECONDS)
    _, end = desk.sent.bounds(0, lambda: None)
    assert end - 20 < desk.close(memory).next_offset <= end
    assert desk.open().get(b"group/a") == b"19"


def test_rows_that_wait_for_the_file_are_known_and_read_again_after_a_kill(desk: Desk) -> None:
    killed, now_s = desk.open(), desk.clock.epoch_ms() // 1_000
    first: list[Row] = [(b"group/a", b"1"), (b"group/b", b"2"), (b"seen/1", Seen(("a", "b"), now_s).to_bytes())]
    then: list[Row] = [(b"group/a", b"3"), (b"group/b", None), (b"seen/2", Seen(("c",), now_s).to_bytes())]
    for rows in (first, then):
        desk.commit(*rows)
        killed.apply(rows)
    with Scratch(desk.path) as file:
        assert (file.get(b"group/a"), file.position.next_offset) == (None, 0)
    assert (killed.get(b"group/a"), killed.get(b"group/b")) == (b"3", None)
    assert [each in killed.seen_among("abcd") for each in "abcd"] == [True, True, True, False]
    after = desk.open()
    assert list(after.rows_under(b"group/")) == [(b"group/a", b"3")]
    assert [each in after.seen_among("abcd") for each in "abcd"] == [True, True, True, False]


def test_events_that_a_commit_writes_beside_the_end_of_older_ones_are_known(tmp_path: Path) -> None:
    path, at_s = tmp_path / "0.sqlite", MovableClock().epoch_ms() // 1_000
    memory = ScratchMemory(Scratch(path), path, Asked(), "id", MovableClock())
    older, newer = Seen(("a",), at_s), Seen(("b",), at_s)
    memory.apply([(b"seen/1", older.to_bytes())], {b"seen/1": older})
    memory.apply([(b"seen/1", None), (b"seen/2", newer.to_bytes())], {b"seen/2": newer})
    assert list(memory.seen_among("ab")) == ["b"]
    memory.close()


def test_enough_rows_go_to_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    memory = ScratchMemory(Scratch(path), path, Asked(), "id", MovableClock())
    ids = [f"id-{number}" for number in range(LATE_MAX)]
    memory.apply([(b"group/a", b"1"), (b"seen/1", Seen(tuple(ids), 1_000).to_bytes())])
    with Scratch(path) as other:
        assert other.get(b"group/a") == b"1"
        assert other.seen_at([ids[-1]]) == {ids[-1]: 1_000}
    memory.close()

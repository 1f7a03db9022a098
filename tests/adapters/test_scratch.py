"""What a sink remembers on its scratch folder: a copy of rows that Kafka keeps, made anew whenever it is no good."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streams.adapters.scratch import Position, Scratch
from streams.adapters.seen_filter import IDS_MAX, SeenFilter
from streams.delivery.sent_rows import SEEN_SECONDS, Seen
from streams.wayback.memory import Standing, UserMemory


def memory(**groups: bool) -> bytes:
    return UserMemory(
        groups={f"cohorts/{name}": Standing(is_member, name, 1, 1, 1) for name, is_member in groups.items()}
    ).to_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scratch" / "connector-3.sqlite"


def test_rows_and_the_offset_after_them_are_there_when_it_is_opened_again(path: Path) -> None:
    with Scratch(path) as scratch:
        assert (scratch.position.next_offset, scratch.get(b"group/1")) == (0, None)
        scratch.apply([(b"group/1", b"a"), (b"group/2", b"b"), (b"group/1", None), (b"group/2", b"c")], Position(42))
    with Scratch(path) as scratch:
        assert (scratch.position.next_offset, scratch.get(b"group/1"), scratch.get(b"group/2")) == (42, None, b"c")
        assert scratch.rows() == 1


def test_a_batch_that_fails_half_way_leaves_neither_rows_nor_offset(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"group/1", b"a")], Position(1))
        with pytest.raises(ValueError, match="memory"):
            scratch.apply([(b"group/2", b"b"), (b"user/ann", b"no memory")], Position(3))
        assert (scratch.position.next_offset, scratch.get(b"group/2")) == (1, None)


def test_members_are_those_whom_the_rows_say_in_order_of_their_ids(path: Path) -> None:
    with Scratch(path) as scratch:
        users = ["ann", "bob", "zoë", "Ärn", "😀", "￿"]
        scratch.apply([(b"user/" + user.encode(), memory(a=True, b=user != "bob")) for user in users], Position(6))
        assert list(scratch.members("cohorts/a")) == sorted(users)
        assert set(scratch.members("cohorts/b")) == set(users) - {"bob"}
        scratch.apply([(b"user/ann", memory(a=False)), (b"user/bob", None)], Position(8))
        assert list(scratch.members("cohorts/a")) == sorted(set(users) - {"ann", "bob"})
        assert list(scratch.members("cohorts/never")) == []


def test_more_members_than_one_reading_holds_come_each_once(path: Path) -> None:
    with Scratch(path) as scratch:
        users = [f"user-{number:05}" for number in range(2_500)]
        scratch.apply([(b"user/" + user.encode(), memory(a=True)) for user in users], Position(1))
        assert list(scratch.members("cohorts/a")) == users


def test_staged_members_are_those_of_the_version_of_each_page_that_counts_each_once(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.stage("s", [("zoe", 1, "r1"), ("ann", 1, "r1"), ("bob", 1, "again"), ("ann", 2, "r2")])
        scratch.stage("s", [("ann", 1, "r1")])
        scratch.stage("other", [("eve", 1, "r1")])
        assert list(scratch.staged("s", {1: "r1", 2: "r2"})) == ["ann", "zoe"]
        assert list(scratch.staged("s", {1: "again"})) == ["bob"]
        scratch.stage("other", [("ann", 1, "r1")])
        assert sorted(scratch.staged_users()) == ["ann", "ann", "bob", "eve", "zoe"]
        scratch.unstage_users(["ann", "nobody"])
        assert sorted(scratch.staged_users()) == ["bob", "eve", "zoe"]
        scratch.unstage("s")
        assert list(scratch.staged("s", {1: "r1"})) == []
        assert list(scratch.staged("other", {1: "r1"})) == ["eve"]
        scratch.unstage_all()
        assert list(scratch.staged("other", {1: "r1"})) == []


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4_000])
def test_a_file_that_is_damaged_is_made_anew(path: Path, content: bytes) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"group/1", b"a")], Position(9))
    path.write_bytes(content)
    with Scratch(path) as scratch:
        scratch.apply([(b"group/2", b"b")], Position(10))
        assert scratch.get(b"group/2") == b"b"


def test_damage_in_the_middle_is_found_when_it_is_opened(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(f"group/{number}".encode(), b"x" * 100) for number in range(5_000)], Position(9))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8_192] = b"\xff" * 8_192
    path.write_bytes(content)
    with Scratch(path) as scratch:
        assert (scratch.position.next_offset, scratch.rows()) == (0, 0)


def test_a_file_of_another_version_is_made_anew(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"group/1", b"a")], Position(9))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with Scratch(path) as scratch:
        assert (scratch.position.next_offset, scratch.get(b"group/1")) == (0, None)


def test_a_folder_that_cannot_be_used_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        Scratch(tmp_path / "file" / "connector-3.sqlite")


def has_seen(scratch: Scratch, event_id: str, now_s: int) -> bool:
    at_s = scratch.seen_at(scratch.maybe_seen.held([event_id])).get(event_id)
    return at_s is not None and now_s - at_s < SEEN_SECONDS


def test_events_are_seen_for_a_day_and_then_their_row_is_told_to_be_over(path: Path) -> None:
    day = 86_400
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/1", Seen(("a", "b"), 1_000).to_bytes()), (b"seen/2", Seen(("b",), 2_000).to_bytes())])
        assert [has_seen(scratch, each, 1_000 + day - 1) for each in "abc"] == [True, True, False]
        assert [has_seen(scratch, each, 1_000 + day) for each in "ab"] == [False, True]
        assert scratch.seen_over(1_000 + day - 1) == []
        assert scratch.seen_over(1_000 + day) == [b"seen/1"]
        scratch.apply([(b"seen/1", None)])
        assert [has_seen(scratch, each, 1_500) for each in "ab"] == [False, True]
        assert scratch.seen_over(3 * day) == [b"seen/2"]
        scratch.apply([(b"seen/2", Seen(("c",), 2_500).to_bytes())])
        assert [has_seen(scratch, each, 3_000) for each in "bc"] == [False, True]


def test_an_event_that_several_rows_hold_counts_from_the_newest_in_whatever_order_they_come(path: Path) -> None:
    """And hashes of either sign are kept whole: ids enough that there are both."""
    ids = tuple(f"id-{number}" for number in range(200))
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/1", Seen(ids, 50).to_bytes()), (b"seen/2", Seen(ids[:2], 40).to_bytes())])
        scratch.apply([(b"seen/3", Seen(ids[2:4], 60).to_bytes()), (b"seen/4", Seen(ids[4:6], 30).to_bytes())])
        expected = {each: 60 if each in ids[2:4] else 50 for each in ids}
        assert scratch.seen_at(ids) == expected
    with Scratch(path) as scratch:
        assert scratch.seen_at([*ids, "never"]) == expected


def test_a_file_that_is_cleared_is_empty_and_begins_at_nothing(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"user/ann", memory(a=True)), (b"seen/1", Seen(("a",), 9).to_bytes())], Position(7, "id", 5))
        assert scratch.rows() == 2
        scratch.clear()
        assert (scratch.rows(), scratch.position) == (0, Position())
        assert (list(scratch.members("cohorts/a")), has_seen(scratch, "a", 9)) == ([], False)


def test_members_that_come_and_go_while_they_are_read_break_nothing(path: Path) -> None:
    with Scratch(path) as scratch:
        users = [f"user-{number:05}" for number in range(2_500)]
        scratch.stage("s", [(user, 1, "r") for user in users])
        found = []
        for user in scratch.staged("s", {1: "r"}):
            found.append(user)
            scratch.apply([(b"user/" + user.encode(), memory(a=True))])
        assert found == users
        assert list(scratch.members("cohorts/a")) == users


def seen_row_of(*ids: str) -> tuple[bytes, bytes]:
    return b"seen/7", Seen(ids, 1_000).to_bytes()


def test_seen_ids_are_known_once_they_came_and_once_the_file_was_opened_again_or_cleared(
    path: Path,
) -> None:
    with Scratch(path) as scratch:
        assert not has_seen(scratch, "one", 1_000)
        scratch.apply([seen_row_of("one", "two")], Position(8))
        assert has_seen(scratch, "one", 1_000)
    with Scratch(path) as scratch:
        assert has_seen(scratch, "two", 1_000)
        assert not has_seen(scratch, "three", 1_000)
        scratch.clear()
        assert not has_seen(scratch, "one", 1_000)
        scratch.apply([seen_row_of("three")], Position(8))
        assert has_seen(scratch, "three", 1_000)


def test_a_filter_that_holds_too_many_ids_denies_none() -> None:
    found = SeenFilter()
    assert not found.held(["one"])
    found.add([str(number) for number in range(IDS_MAX + 1)])
    found.add(["one"])
    assert found.held(["one"]) == ["one"]

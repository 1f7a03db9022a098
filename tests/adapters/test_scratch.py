"""What a sink remembers on its scratch folder: a copy of rows that Kafka keeps, made anew whenever it is no good."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streams.adapters.scratch import Scratch
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
        assert (scratch.next_offset, scratch.get(b"seen/1")) == (0, None)
        scratch.apply([(b"seen/1", b"a"), (b"seen/2", b"b"), (b"seen/1", None), (b"seen/2", b"c")], 42)
    with Scratch(path) as scratch:
        assert (scratch.next_offset, scratch.get(b"seen/1"), scratch.get(b"seen/2")) == (42, None, b"c")
        assert scratch.counts()[0] == 1


def test_a_batch_that_fails_half_way_leaves_neither_rows_nor_offset(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/1", b"a")], 1)
        with pytest.raises(ValueError, match="memory"):
            scratch.apply([(b"seen/2", b"b"), (b"user/ann", b"no memory")], 3)
        assert (scratch.next_offset, scratch.get(b"seen/2")) == (1, None)


def test_members_are_those_whom_the_rows_say_in_order_of_their_ids(path: Path) -> None:
    with Scratch(path) as scratch:
        users = ["ann", "bob", "zoë", "Ärn", "😀", "￿"]
        scratch.apply([(b"user/" + user.encode(), memory(a=True, b=user != "bob")) for user in users], 6)
        assert list(scratch.members("cohorts/a")) == sorted(users)
        assert set(scratch.members("cohorts/b")) == set(users) - {"bob"}
        scratch.apply([(b"user/ann", memory(a=False)), (b"user/bob", None)], 8)
        assert list(scratch.members("cohorts/a")) == sorted(set(users) - {"ann", "bob"})
        assert list(scratch.members("cohorts/never")) == []


def test_more_members_than_one_reading_holds_come_each_once(path: Path) -> None:
    with Scratch(path) as scratch:
        users = [f"user-{number:05}" for number in range(2_500)]
        scratch.apply([(b"user/" + user.encode(), memory(a=True)) for user in users], 1)
        assert list(scratch.members("cohorts/a")) == users


def test_staged_members_are_those_of_the_version_of_each_page_that_counts_each_once(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.stage("s", [("zoe", 1, "r1"), ("ann", 1, "r1"), ("bob", 1, "again"), ("ann", 2, "r2")])
        scratch.stage("s", [("ann", 1, "r1")])
        scratch.stage("other", [("eve", 1, "r1")])
        assert list(scratch.staged("s", {1: "r1", 2: "r2"})) == ["ann", "zoe"]
        assert list(scratch.staged("s", {1: "again"})) == ["bob"]
        scratch.unstage("s")
        assert list(scratch.staged("s", {1: "r1"})) == []
        assert list(scratch.staged("other", {1: "r1"})) == ["eve"]
        scratch.unstage_all()
        assert list(scratch.staged("other", {1: "r1"})) == []


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4_000])
def test_a_file_that_is_damaged_is_made_anew(path: Path, content: bytes) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/1", b"a")], 9)
    path.write_bytes(content)
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/2", b"b")], 10)
        assert scratch.get(b"seen/2") == b"b"


def test_damage_in_the_middle_is_found_when_it_is_opened(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(f"seen/{number}".encode(), b"x" * 100) for number in range(5_000)], 9)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8_192] = b"\xff" * 8_192
    path.write_bytes(content)
    with Scratch(path) as scratch:
        assert (scratch.next_offset, scratch.counts()[0]) == (0, 0)


def test_a_file_of_another_version_is_made_anew(path: Path) -> None:
    with Scratch(path) as scratch:
        scratch.apply([(b"seen/1", b"a")], 9)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with Scratch(path) as scratch:
        assert (scratch.next_offset, scratch.get(b"seen/1")) == (0, None)


def test_a_folder_that_cannot_be_used_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        Scratch(tmp_path / "file" / "connector-3.sqlite")

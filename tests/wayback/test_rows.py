"""Rows of what was sent to Braze: what is kept is read again."""

from __future__ import annotations

import pytest

from streams.wayback import rows
from streams.wayback.copies import GroupCopies, page_came

NOW = 1_790_000_000


def test_copies_are_read_as_they_were_kept_and_go_on_where_they_were() -> None:
    turn = page_came(GroupCopies(), "p/s/2", 2, 2, "r2", 10, NOW)
    kept = rows.copies(rows.copies_to_bytes(turn.copies))
    assert kept == turn.copies
    done = page_came(kept, "p/s/2", 1, 2, "r1", 20, NOW)
    assert done.complete == "p/s/2"
    assert rows.copies(rows.copies_to_bytes(done.copies)) == GroupCopies(floor=10, ended={"p/s/2": NOW})
    assert rows.copies(None) == GroupCopies()


def test_keys_are_told_apart_whatever_an_id_holds() -> None:
    keys = {rows.user_row("a/b"), rows.user_row("a"), rows.group_row("cohorts/7")}
    assert len(keys) == 3
    assert rows.user_row("zoë") == "user/zoë".encode()


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"v":2}', b'{"v":1}', b'{"v":1,"open":1,"ids":1}'])
def test_bytes_that_are_no_row_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"row|copies"):
        rows.copies(value)

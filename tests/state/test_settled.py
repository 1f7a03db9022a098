"""Settled letters, one bit an offset: what was settled is remembered, nothing else is, and blocks are small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.settled import BLOCK_OFFSETS, SettledLetters

offsets = st.sets(st.integers(0, 5 * BLOCK_OFFSETS), max_size=60)


def holding(found: set[int]) -> SettledLetters:
    letters = SettledLetters()
    for number, bits in letters.with_added(found).items():
        letters.put(number, bits)
    return letters


@given(st.lists(offsets, max_size=5), st.integers(0, 6 * BLOCK_OFFSETS))
def test_a_set_of_offsets_is_what_it_holds_after_any_additions(additions: list[set[int]], other: int) -> None:
    letters, expected = SettledLetters(), set[int]()
    for added in additions:
        for number, bits in letters.with_added(added).items():
            letters.put(number, bits)
        expected |= added
    assert list(letters) == sorted(expected)
    assert len(letters) == len(expected)
    assert (other in letters) == (other in expected)
    assert letters.blocks() == {offset // BLOCK_OFFSETS for offset in expected}


@given(offsets, offsets)
def test_adding_changes_nothing_until_it_was_written(found: set[int], added: set[int]) -> None:
    letters = holding(found)
    letters.with_added(added)
    assert list(letters) == sorted(found)


@given(offsets, st.integers(0, 6 * BLOCK_OFFSETS))
def test_blocks_before_a_cursor_hold_no_offset_at_or_after_it(found: set[int], cursor: int) -> None:
    letters = holding(found)
    for number in letters.blocks_before(cursor):
        letters.drop(number)
    kept = {offset for offset in found if offset // BLOCK_OFFSETS >= cursor // BLOCK_OFFSETS}
    assert set(letters) == kept
    assert {offset for offset in found if offset >= cursor} <= kept


def test_a_million_settled_letters_take_less_than_200_kilobytes() -> None:
    blocks = SettledLetters().with_added(range(1_000_000))
    assert sum(len(bits) for bits in blocks.values()) < 200_000


@pytest.mark.parametrize(("bits", "problem"), [("", "not 0"), ("AAAA", "not 3"), ("no base64", "base64")])
def test_a_block_that_is_none_is_refused(bits: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SettledLetters().put(0, bits)

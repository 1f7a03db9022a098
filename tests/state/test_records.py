"""Records of the state topic: each comes back as it was written; what is not ours or not understood says so."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.kinds import KINDS, parse
from streams.state.records import Record, StateError, StateTooNew, key
from streams.state.state_view import StateView

objects = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
OPEN_FIELDS = {"arguments", "content", "selection"}
"""What a person or a keeper puts there is any JSON object."""


def a_record_of(model: type[Record]) -> st.SearchStrategy[Record]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        name: objects if name in OPEN_FIELDS else st.from_type(field.annotation)  # type: ignore[arg-type]
        for name, field in model.model_fields.items()
    }
    return st.builds(model, **fields)


records = st.sampled_from(sorted(KINDS.values(), key=lambda model: model.kind)).flatmap(a_record_of)


def normal(record: Record) -> Any:
    """By value: JSON knows no tuples."""
    return json.loads(record.to_bytes())


@given(records)
def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    found = parse(key(record.kind, "growth", "scope"), record.to_bytes())
    assert type(found) is type(record)
    assert found is not None
    assert normal(found) == normal(record)


@given(records)
def test_fields_of_a_later_version_are_passed_over(record: Record) -> None:
    content = normal(record) | {"a later field": 1}
    assert parse(key(record.kind, "growth"), json.dumps(content).encode()) is not None


@given(records, st.integers(2, 9))
def test_a_record_of_a_later_format_is_refused_with_its_key(record: Record, version: int) -> None:
    content = normal(record) | {"v": version}
    with pytest.raises(StateError, match=f"{record.kind}/growth"):
        parse(key(record.kind, "growth"), json.dumps(content).encode())


@given(records)
def test_only_a_later_format_asks_for_an_upgrade(record: Record) -> None:
    with pytest.raises(StateTooNew, match="upgrade this process"):
        parse(key(record.kind, "growth"), json.dumps(normal(record) | {"v": 2}).encode())
    with pytest.raises(StateError, match="another program wrote it") as failure:
        parse(key(record.kind, "growth"), b"no json")
    assert not isinstance(failure.value, StateTooNew)


@pytest.mark.parametrize("name", ["settled/growth/rejected/0/x", "settled/growth/rejected", "cursor/growth/rejected/x"])
def test_a_key_that_names_no_place_is_an_error_of_the_state_or_nothing(name: str) -> None:
    for value in (None, b'{"v":1,"bits":"x","offset":1}'):
        with suppress(StateError):
            StateView("growth").apply(name, value)


@pytest.mark.parametrize("name", ["ingest/file", "other", ""])
def test_a_key_of_another_kind_is_none_of_ours(name: str) -> None:
    assert parse(name, b"anything") is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), max_size=30))
def test_a_state_view_is_made_of_the_newest_record_of_each_key(moves: list[tuple[int, int]]) -> None:
    view, cursors = StateView("growth"), dict[int, int]()
    for partition, offset in moves:
        name = key("cursor", "growth", "rejected", partition)
        view.apply(name, KINDS["cursor"].model_validate({"offset": offset}).to_bytes())
        cursors[partition] = offset
    assert {partition: view.cursor(("rejected", partition)) for partition in cursors} == cursors


def test_no_record_shows_its_input_in_an_error() -> None:
    with pytest.raises(StateError) as failure:
        parse("request/growth/1", b'{"v":1,"what":"secret-text","who":"ann","expires":1}')
    assert "secret-text" not in str(failure.value)

"""What a body over HTTP holds, and the bytes of what cannot be taken."""

from __future__ import annotations

import json

import pytest

from streams.events.custom_http.body import RawItems, TooManyItems, Unreadable, events_in, only_checks


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"events": []}', b'{"events":[],"more":1}'])
def test_a_body_without_events_only_checks_the_credentials(body: bytes) -> None:
    assert events_in(body) == []
    assert only_checks(body)


@pytest.mark.parametrize(
    "body", [b"no", b"[]", b"7", b'{"event": []}', b'{"events": {}}', b'{"events": null}', b'{"events": [', b"\xff\xfe"]
)
def test_a_body_without_a_list_of_events_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        events_in(body)
    assert not only_checks(body)


@pytest.mark.parametrize("body", [b'{"events": [NaN]}', b'{"events": ' + b"[" * 150_000 + b"]" * 150_000 + b"}"])
def test_what_is_nearly_json_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        events_in(body)


def test_bytes_that_are_no_text_and_half_characters_become_u_fffd() -> None:
    assert events_in(b'{"events": ["a\xffb", "\\ud800"]}') == ["a\ufffdb", "\ufffd"]


def test_a_body_of_very_many_small_items_is_refused_before_it_is_read() -> None:
    for items in (b"{},", b"1,", b"[],"):
        with pytest.raises(TooManyItems):
            events_in(b'{"events":[' + items * 1_000_000 + b"1]}")


def test_the_bytes_of_an_item_are_those_that_came() -> None:
    items = [b'{ "id" : "a",\t"x": 1.50 }', b"7", b'"\xff"', b'{"events": [1, 2]}', b'"\\u00e4 ]"']
    body = b' { "a" : {"events":[9]}, "events" :\n[ ' + b" , ".join(items) + b' ] , "z": [1] } '
    events = events_in(body)
    assert RawItems(body, events).at([0, 1, 2, 3, 4]) == items
    assert RawItems(body, events).at([2]) == [b'"\xff"']


def test_of_two_lists_the_last_one_counts() -> None:
    body = b'{"events": [1], "events": [2, 3]}'
    events = events_in(body)
    assert events == [2, 3]
    assert RawItems(body, events).at([1]) == [b"3"]


def test_items_whose_bytes_cannot_be_found_are_given_as_json() -> None:
    assert [json.loads(item) for item in RawItems(b"?", [{"a": 1}]).at([0])] == [{"a": 1}]

"""Personal data stays hidden unless it is asked for; secrets always."""

from __future__ import annotations

from streams.state.redaction import masked, masked_text

EVENT = {
    "id": "e-1",
    "time": 5,
    "external_user_id": "ada@example.com",
    "properties": '{"plan": "gold"}',
    "is_opted_in": True,
    "campaign_name": "Spring",
    "gone": None,
    "purchases": [{"price": 3, "id": "p"}, "text"],
}


def test_only_harmless_fields_keep_their_values() -> None:
    assert masked(EVENT, shows_all=False) == {
        "id": "e-1",
        "time": 5,
        "external_user_id": "…",
        "properties": "…",
        "is_opted_in": "…",
        "campaign_name": "Spring",
        "gone": None,
        "purchases": [{"price": "…", "id": "p"}, "…"],
    }


def test_asked_for_the_values_are_shown_but_no_secret() -> None:
    shown = masked({**EVENT, "inner": {"token": "0123"}, "raw": b"\xff"}, shows_all=True)
    assert shown == {**EVENT, "inner": {"token": "(secret)"}, "raw": "/w=="}


def test_keys_and_header_values_are_text_where_they_can_be() -> None:
    assert masked_text(b"ada", shows_all=False) == "…"
    assert masked_text(b"ada", shows_all=True) == "ada"
    assert masked_text(b"\xff", shows_all=True) == "/w=="
    assert masked_text(None, shows_all=False) is None

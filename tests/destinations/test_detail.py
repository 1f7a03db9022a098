"""What a dead letter says of a refusal: the destination's words, and nobody's data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.destinations.detail import masked
from streams.destinations.mixpanel.destination import FIELD_NAMES as MIXPANELS
from streams.destinations.mparticle.destination import FIELD_NAMES as MPARTICLES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'properties.time' is invalid: must not be missing", "properties.time is invalid: must not be missing"),
        ("'$insert_id' is invalid", "$insert_id is invalid"),
        ("'properties.distinct_id' is invalid: 'alice'", "properties.distinct_id is invalid: '…'"),
        ('Required event field "event_type" is missing', "Required event field event_type is missing"),
        ("it isn't valid: 'bob' of 'O'Brien' there", "it isn't valid: '…' of '…' there"),
        ("value `carol` and 'dave", "value `…` and '…'"),
        ("no mail to eve@example.com, +49 (30) 1234567", "no mail to [address], [number]"),
        ("request exceeds max limit of 2097152 bytes", "request exceeds max limit of 2097152 bytes"),
        ("two\nlines\x1b[31m\tand more", "two lines [31m and more"),
        ("key s3cr3t and again s3cr3t", "key [secret] and again [secret]"),
    ],
)
def test_quoted_values_secrets_and_addresses_go_and_names_of_fields_stay(text: str, said: str) -> None:
    field_names = MPARTICLES if "event_type" in text else MIXPANELS
    assert masked(text, ["s3cr3t", ""], field_names) == said


@given(st.text(max_size=3000))
def test_any_text_becomes_one_printable_line_of_at_most_500_bytes(text: str) -> None:
    said = masked(text)
    assert len(said.encode()) <= 500
    assert said.isprintable()


@given(st.text(st.characters(categories=["L", "N"]), min_size=3, max_size=40).map("the-secret-{}".format))
def test_a_secret_is_removed_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"'{secret}'", "x" * 1_495 + secret, "'v' " * 400 + secret, f"Basic {secret}=="):
        assert "the-secret" not in masked(text, [secret])


def test_an_answer_of_megabytes_costs_no_time() -> None:
    assert len(masked("'" * 3_000_000)) <= 500
    assert len(masked("a" * 3_000_000 + "@")) <= 500

"""Each golden event becomes exactly its golden payload; the files were made from the facts, not by the encoders."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from streams.delivery.contract import Destination
from streams.destinations import REGISTRY
from streams.events.catalogue import CATALOGUE
from streams.events.encodings import encode_single_object
from streams.events.schemas import shipped

HERE = Path(__file__).parent
FACTS = HERE.parents[1].parent / "shared" / "facts" / "mparticle"
FEEDS = {feed: {"key": f"{feed}-k", "secret": f"{feed}-s"} for feed in ("ios", "android", "web", "unbound")}
SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {
        "project_token": "0123456789abcdef0123456789abcdef",
        "auth": {"api_secret": "fedcba9876543210fedcba9876543210"},
    },
    "mparticle": {"feeds": FEEDS},
}
MAPPED = {"mixpanel": 88 + 6, "mparticle": 77 + 6}
CASES = [
    pytest.param(path.parent.name, content["event_type"], case, id=f"{path.parent.name}-{path.stem}-{number}")
    for path in sorted(HERE.glob("m*/*.json"))
    for content in [json.loads(path.read_text(encoding="utf-8"))]
    for number, case in enumerate(content["cases"])
]


@cache
def destination(name: str) -> Destination:
    kind = REGISTRY[name]
    return kind.build(kind.settings.model_validate(SETTINGS[name]))


@pytest.mark.parametrize(("name", "event_type", "case"), CASES)
def test_the_event_becomes_exactly_the_payload(name: str, event_type: str, case: dict[str, Any]) -> None:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    encode = destination(name).encoder(schema)
    assert encode is not None
    encoding = encode(encode_single_object(schema, case["event"]), 10)
    assert isinstance(encoding, tuple), encoding
    scope, body, cuts = encoding
    assert json.loads(body) == case["payload"]
    assert scope == case.get("feed", "default")
    assert cuts == 0


@pytest.mark.parametrize("name", ["mixpanel", "mparticle"])
def test_there_is_a_golden_file_for_every_mapped_type_and_no_encoder_for_any_other(name: str) -> None:
    golden = {path.stem for path in (HERE / name).glob("*.json")}
    assert len(golden) == MAPPED[name]
    for event_type in CATALOGUE:
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        assert (destination(name).encoder(schema) is not None) == (event_type in golden), event_type


@pytest.mark.skipif(not FACTS.is_dir(), reason="mParticle's JSON Schema is not beside this repository")
def test_mparticles_own_schema_accepts_every_golden_payload() -> None:
    from jsonschema import Draft7Validator, FormatChecker

    schema = json.loads((FACTS / "mparticle-eventsapi-schema.json").read_text(encoding="utf-8"))
    validator = Draft7Validator(schema, format_checker=FormatChecker())
    for path in sorted((HERE / "mparticle").glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            assert [error.message for error in validator.iter_errors(case["payload"])] == [], path.stem

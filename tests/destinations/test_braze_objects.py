"""Records of the way back become exactly the objects of the golden files, and every object is one that Braze takes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from streams.delivery.contract import Rejected
from streams.destinations.braze.objects import BrazeObject, Made, of_attributes, of_event, of_purchase
from streams.destinations.braze.values import Losses, PropertyTypes, attribute_value, name_of, property_value
from streams.emulators.braze.options import Limits
from streams.emulators.braze.rules import cut, problem
from streams.wayback.entries import DataKeys
from streams.wayback.records import Attributes, Event, Purchase

GOLDEN = Path(__file__).parents[1] / "golden" / "braze"
TIME_MS = 1_789_997_600_123
CASES = [
    pytest.param(content["kind"], case, id=f"{content['kind']}: {case['says']}")
    for path in sorted(GOLDEN.glob("*.json"))
    for content in [json.loads(path.read_text(encoding="utf-8"))]
    for case in content["cases"]
]


def made(kind: str, record: dict[str, Any], entry: dict[str, Any], types: PropertyTypes) -> Made:
    common = {"id": "1", "entry": "data", "external_user_id": "ann", "time_ms": TIME_MS, "received_ms": TIME_MS}
    texts = {name: json.dumps(value) for name, value in record.items() if isinstance(value, dict)}
    fields = {**common, **record, **texts}
    settings = DataKeys.model_validate(entry)
    match kind:
        case "Attributes":
            return of_attributes(Attributes(**fields), settings, types)
        case "Event":
            return of_event(Event(**fields), settings, types)
        case _:
            return of_purchase(Purchase(**fields), settings, types)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_a_record_becomes_exactly_its_object(kind: str, case: dict[str, Any]) -> None:
    found, losses = made(kind, case["record"], case.get("entry", {}), case.get("types", "scalar"))
    assert [list(loss) for loss in losses.found] == case["losses"]
    if "rejected" in case:
        assert found == Rejected(case["rejected"])
    elif case["object"] is None:
        assert found is None
    else:
        assert isinstance(found, BrazeObject)
        assert found.body() == {"external_id": "ann", **case["object"]}
        assert json.dumps(list(found.content)) == json.dumps([n for n in case["object"] if not n.startswith("_")])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_emulated_braze_takes_every_object_as_it_is(kind: str, case: dict[str, Any]) -> None:
    found, _ = made(kind, case["record"], case.get("entry", {}), case.get("types", "scalar"))
    if not isinstance(found, BrazeObject) or found.content.get("name") == "ecommerce.order_placed":
        return
    body = {name: value for name, value in found.body().items() if not name.startswith("$google")}
    assert problem(found.array, body, Limits()) is None
    losses: list[str] = []
    cut(body, Limits(), losses, "")
    assert losses == []


@pytest.mark.parametrize(
    ("value", "scalar", "nested"),
    [
        ("text", "text", "text"),
        (1, 1, 1),
        (1.5, 1.5, 1.5),
        (True, True, True),
        ("2026-01-31", "2026-01-31", "2026-01-31"),
        (None, None, None),
        (math.nan, None, None),
        (-math.inf, None, None),
        (["a"], None, ["a"]),
        ({"a": 1}, None, {"a": 1}),
        ("x" * 256, "x" * 255, "x" * 255),
        (["2026-01-31T10:00:00Z", "a"], None, ["a"]),
    ],
)
def test_a_property_is_text_number_boolean_or_date_and_nested_where_that_is_allowed(
    value: Any, scalar: Any, nested: Any
) -> None:
    assert property_value("p", value, "scalar", Losses()) == scalar
    assert property_value("p", value, "nested", Losses()) == nested


@pytest.mark.parametrize(
    ("value", "scalar", "nested"),
    [
        (["a", "b"], ["a", "b"], ["a", "b"]),
        (["a"] * 501, ["a"] * 500, ["a"] * 500),
        (["x" * 256], ["x" * 255], ["x" * 255]),
        ([1], None, None),
        ([{"a": 1}], None, [{"a": 1}]),
        ({"a": [1, "2026-01-31"]}, None, {"a": [1, "2026-01-31"]}),
        ([], [], []),
    ],
)
def test_an_attribute_may_be_an_array_of_texts_too_and_objects_where_that_is_allowed(
    value: Any, scalar: Any, nested: Any
) -> None:
    assert attribute_value("a", value, "scalar", Losses()) == scalar
    assert attribute_value("a", value, "nested", Losses()) == nested


def test_what_is_nested_without_end_is_dropped() -> None:
    value: Any = "x"
    for _ in range(100):
        value = {"a": value}
    losses = Losses()
    property_value("p", value, "nested", losses)
    assert [loss for loss, _ in losses.found] == ["type"]


def test_a_long_name_is_cut_and_told() -> None:
    losses = Losses()
    assert name_of("$" + "n" * 300, losses) == "n" * 255
    assert losses.found == [("cut", ("$" + "n" * 300)[:255])]


def test_an_object_that_is_too_large_is_rejected_without_a_word_of_what_it_holds() -> None:
    properties = {f"property-{number}": "secret " * 30 for number in range(600)}
    found, _ = made("Event", {"name": "Played", "properties": properties}, {}, "scalar")
    assert isinstance(found, Rejected)
    assert found.detail.startswith("the object has ")
    assert "secret" not in found.detail


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_what_is_no_json_object_is_rejected(text: str) -> None:
    common: dict[str, Any] = {
        "id": "1", "entry": "data", "external_user_id": "ann", "time_ms": TIME_MS, "received_ms": TIME_MS,
    }  # fmt: skip
    entry = DataKeys()
    assert of_attributes(Attributes(changes=text, **common), entry, "scalar")[0] == Rejected(
        "changes: not a JSON object"
    )
    assert of_event(Event(name="x", properties=text, **common), entry, "scalar")[0] == Rejected(
        "properties: not a JSON object"
    )

"""Our shape of a batch against mParticle's own schema, where that is present: both say the same of the same batch."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.destinations.mparticle.settings import Identity
from streams.emulators.mparticle.batch import wrong_with
from tests.destinations.test_text import IDENTITIES

SCHEMA = (
    Path(__file__).resolve().parents[2].parent / "shared" / "facts" / "mparticle" / "mparticle-eventsapi-schema.json"
)

pytestmark = pytest.mark.skipif(not SCHEMA.exists(), reason="mParticle's schema is not beside the repository")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


@pytest.fixture(scope="module")
def vendor(schema: dict[str, Any]) -> Any:
    from jsonschema import Draft7Validator, FormatChecker

    return Draft7Validator(schema, format_checker=FormatChecker())


def test_every_identity_type_of_the_schema_may_be_configured(schema: dict[str, Any]) -> None:
    types = set(schema["definitions"]["IdentityType"]["enum"])
    assert set(get_args(Identity)) == types == set(IDENTITIES)


VALUES: list[Any] = [
    None,
    True,
    0,
    7,
    1.0,
    1.5,
    "",
    "text",
    "8c61383f-2216-4713-8c1c-1cb0a5d7a4cc",
    "192.0.2.1",
    "2001:db8::1",
    [],
    ["a", 1],
    [[]],
    [None],
    {},
    {"a": "b"},
    {"a": {"b": 1}},
    {"a": [1]},
]
WORDS = [
    *("iOS", "ios", "roku", "production", "staging", "other", "attribution", "purchase", "remove_from_wish_list"),
    *("remove_from_wishlist", "sent", "action", "login", "view", "click", "customer_id", "mobile_number", "authorized"),
    *("application_exit", "server_to_server", "gdpr_change", "impression", "consent_granted", "IOS", "Windows"),
]


def resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]]
    return node


def is_record(node: dict[str, Any]) -> bool:
    """Whether only an object makes sense here. The schema does not say `object` everywhere; we do."""
    return "properties" in node or "allOf" in node


def is_stand_in(schema: dict[str, Any], node: dict[str, Any], value: Any) -> bool:
    """Whether something else stands where only an object makes sense, here or one level down."""
    if is_record(node):
        return not isinstance(value, dict) and value is not None
    inner = node.get("items") or node.get("additionalProperties")
    if not isinstance(inner, dict) or not is_record(resolved(schema, inner)):
        return False
    held = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return any(not isinstance(each, dict) and each is not None for each in held)


def members(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields of a record, those of its parts too."""
    found = dict(node.get("properties", {}))
    for part in node.get("allOf", []):
        found |= members(schema, resolved(schema, part))
    return found


def example(schema: dict[str, Any], node: dict[str, Any]) -> Any:
    """Something that the schema accepts: every required field, and nothing else."""
    node = resolved(schema, node)
    if "enum" in node:
        return node["enum"][0]
    if is_record(node):
        required = list(node.get("required", []))
        for part in node.get("allOf", []):
            required += resolved(schema, part).get("required", [])
        fields = members(schema, node)
        return {name: example(schema, fields[name]) for name in required}
    kinds = node.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next(each for each in kinds if each != "null")
    return {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}[kind]


def events(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The least event of each type."""
    found = {}
    for choice in schema["properties"]["events"]["items"]["oneOf"]:
        event = example(schema, choice)
        found[event["event_type"]] = event
    return found


def agree(vendor: Any, batch: dict[str, Any]) -> None:
    ours = wrong_with(batch)
    theirs = vendor.is_valid(batch)
    assert (ours is None) == theirs, f"{'they refuse' if ours is None else 'we refuse'}: {batch} ({ours})"


def test_the_least_event_of_each_type_is_accepted_by_both(schema: dict[str, Any], vendor: Any) -> None:
    found = events(schema)
    assert len(found) == 17
    for event in found.values():
        batch = {"events": [event]}
        assert vendor.is_valid(batch), batch
        assert wrong_with(batch) is None, batch


def places(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any], list[Any], dict[str, Any]]]:
    """Every field of every record of a batch: its path, the field's own schema, and a batch around it.

    What all events have in common is looked at in the custom event only.
    """
    common = members(schema, schema["definitions"]["EventData"])
    least = events(schema)
    found: list[tuple[str, dict[str, Any], list[Any], dict[str, Any]]] = []

    def visit(name: str, node: dict[str, Any], path: list[Any], around: dict[str, Any], depth: int) -> None:
        node = resolved(schema, node)
        if not is_record(node) or depth > 6:
            return
        for member, inner in members(schema, node).items():
            if member in common and name in least and name != "custom_event":
                continue
            here = [*path, member]
            found.append((f"{name}.{member}", inner, here, around))
            with_inner = copy.deepcopy(around)
            target = resolved(schema, inner)
            if is_record(target):
                put(with_inner, here, example(schema, target))
                visit(f"{name}.{member}", target, here, with_inner, depth + 1)
            elif "items" in target and is_record(resolved(schema, target["items"])):
                put(with_inner, here, [example(schema, target["items"])])
                visit(f"{name}.{member}[]", target["items"], [*here, 0], with_inner, depth + 1)
            elif is_record(resolved(schema, target.get("additionalProperties") or {})):
                put(with_inner, here, {"any": example(schema, target["additionalProperties"])})
                visit(f"{name}.{member}{{}}", target["additionalProperties"], [*here, "any"], with_inner, depth + 1)

    visit("", schema, [], {}, 0)
    for event_type, event in least.items():
        around = {"events": [event]}
        choice = next(
            each
            for each in (resolved(schema, node) for node in schema["properties"]["events"]["items"]["oneOf"])
            if each["properties"]["event_type"]["enum"] == [event_type]
        )
        visit(event_type, choice["properties"]["data"], ["events", 0, "data"], around, 0)
    return found


def put(content: Any, path: list[Any], value: Any) -> None:
    for step in path[:-1]:
        content = content[step]
    content[path[-1]] = value


def test_every_field_takes_and_refuses_the_same_values(schema: dict[str, Any], vendor: Any) -> None:
    checked = 0
    for _, node, path, around in places(schema):
        target = resolved(schema, node)
        for value in [*VALUES, *(WORDS if "enum" in target else WORDS[:1])]:
            is_empty_event = path[-1] == "data" and is_record(target) and value is None
            if path == ["events"] or is_empty_event or is_stand_in(schema, target, value):
                continue  # the schema forgets to ask for an object here: we do not
            batch = copy.deepcopy(around)
            put(batch, path, value)
            agree(vendor, batch)
            checked += 1
    assert checked > 4_000


def test_a_missing_field_is_missed_by_both(schema: dict[str, Any], vendor: Any) -> None:
    for event in events(schema).values():
        for name in ("event_type", "data"):
            agree(vendor, {"events": [{key: value for key, value in event.items() if key != name}]})
        for missing in event["data"]:
            data = {name: value for name, value in event["data"].items() if name != missing}
            agree(vendor, {"events": [event | {"data": data}]})


def test_a_field_that_is_not_in_the_schema_is_known_or_unknown_to_both(schema: dict[str, Any], vendor: Any) -> None:
    seen = set()
    for _, _, path, around in places(schema):
        parent = path[:-1]
        key = json.dumps([parent, around])
        if key in seen:
            continue
        seen.add(key)
        batch = copy.deepcopy(around)
        put(batch, [*parent, "not_in_the_schema"], 1)
        agree(vendor, batch)
    for event in events(schema).values():
        agree(vendor, {"events": [event | {"not_in_the_schema": 1}]})


JSON = st.recursive(
    st.sampled_from([value for value in VALUES if not isinstance(value, (list, dict))]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    custom_attributes=JSON,
    user_attributes=JSON,
    user_identities=st.dictionaries(st.sampled_from(["customer_id", "email", "customerid", "other_id_10"]), JSON),
    device_info=st.dictionaries(st.sampled_from(["platform", "ios_idfv", "limit_ad_tracking", "model"]), JSON),
    data=st.dictionaries(
        st.sampled_from(["event_name", "custom_event_type", "timestamp_unixtime_ms", "source_message_id", "x"]),
        JSON | st.sampled_from(WORDS),
    ),
    environment=JSON | st.sampled_from(["production", "development", "unknown"]),
)
def test_any_batch_as_braze_shapes_them_is_judged_alike(
    vendor: Any,
    custom_attributes: Any,
    user_attributes: Any,
    user_identities: dict[str, Any],
    device_info: dict[str, Any],
    data: dict[str, Any],
    environment: Any,
) -> None:
    event = {"event_type": "custom_event", "data": data | {"custom_attributes": custom_attributes}}
    batch = {"user_attributes": user_attributes, "user_identities": user_identities, "device_info": device_info}
    agree(vendor, batch | {"events": [event], "environment": environment})

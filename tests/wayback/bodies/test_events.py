"""mParticle's batches: every kind of message, and what each becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.bodies.events import take
from streams.wayback.bodies.taken import Taken
from streams.wayback.entries import Entry
from streams.wayback.records import Attributes, Event, Malformed, Purchase, Record, encode

NOW = 1_790_000_000_123
SENT = 1_789_999_999_000
SAMPLE = Path(__file__).parents[3].parent / "shared" / "facts" / "mparticle" / "mparticle-eventsapi-sample.json"


def taken(content: Any, **given: Any) -> Taken:
    entry = TypeAdapter[Any](Entry).validate_python({"kind": "mparticle_events", "keys": ["x" * 16], **given})
    found = Taken("data", NOW, "request-1")
    take(entry, content, found)
    for record in found.records:
        encode(record)
    return found


def batch(*events: Any, **given: Any) -> dict[str, Any]:
    return {
        "batch_id": "b",
        "timestamp_unixtime_ms": SENT,
        "user_identities": [{"identity_type": "customer_id", "identity": "ann"}],
        "events": list(events),
        **given,
    }


def event(kind: str = "custom_event", message_id: Any = "m", **data: Any) -> dict[str, Any]:
    return {"event_type": kind, "data": {"message_id": message_id, **data}}


def played(**data: Any) -> dict[str, Any]:
    return event(event_name="Played", **data)


def commerce(action: str = "purchase", *products: Any, **given: Any) -> dict[str, Any]:
    about = {"action": action, "transaction_id": "t", "total_amount": 20, "tax_amount": 1, "shipping_amount": 2}
    return event("commerce_event", **{"product_action": {**about, "products": list(products)}, **given})


def product(**given: Any) -> dict[str, Any]:
    return {
        "id": "sku",
        "name": "Shoe",
        "brand": "B",
        "category": "C",
        "variant": "red",
        "price": 9.99,
        "quantity": 2,
        "total_product_amount": 19.98,
        **given,
    }


def texts(found: Taken) -> list[tuple[str, Any]]:
    """Each record by its name and its JSON."""

    def of(record: Record) -> tuple[str, Any]:
        match record:
            case Attributes():
                return record.message_type, json.loads(record.changes)
            case Event():
                return record.name, json.loads(record.properties)
            case Purchase():
                return f"{record.product_id} x {record.quantity}", json.loads(record.properties)
            case _:
                return type(record).__name__, None

    return [of(record) for record in found.records]


def test_a_custom_event_keeps_its_name_time_message_id_and_platform() -> None:
    content = batch(
        played(custom_attributes={"song": "x"}, timestamp_unixtime_ms=SENT + 5), device_info={"platform": "iOS"}
    )
    assert taken(content).records == [
        Event(
            id="m", entry="data", external_user_id="ann", time_ms=SENT + 5, received_ms=NOW, name="Played",
            properties='{"song":"x"}', platform="ios",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "given", "time_ms"),
    [
        ({"timestamp_unixtime_ms": "1789999999005"}, {}, SENT + 5),
        ({}, {}, SENT),
        ({}, {"timestamp_unixtime_ms": None}, NOW),
    ],
)
def test_the_time_is_the_events_else_the_batchs_else_that_of_receipt(data: Any, given: Any, time_ms: int) -> None:
    (record,) = taken(batch(played(**data), **given)).records
    assert record.time_ms == time_ms


def test_an_id_is_the_messages_own_else_the_sources_else_a_hash_that_a_retry_has_again() -> None:
    ids = [
        taken(batch(played(**data))).records[0].id
        for data in ({"message_id": "m", "source_message_id": "s"}, {"message_id": None, "source_message_id": "s"})
    ]
    assert ids == ["m", "s"]
    once, again, other = (
        taken(batch(played(message_id=None, custom_attributes={"n": n}))).records[0].id for n in (1, 1, 2)
    )
    assert once == again != other


def test_a_batch_a_list_and_one_message_are_taken() -> None:
    message = {"user_identities": {"customer_id": "ann"}, **played()}
    for content in (batch(played()), [batch(played())], message, [message]):
        assert [(record.external_user_id, record.id) for record in taken(content).records] == [("ann", "m")]
    assert taken([]).records == []
    assert (
        taken(batch(played(), mpid=7, user_identities=[]), external_identity="mpid").records[0].external_user_id == "7"
    )


@pytest.mark.parametrize("content", ["x", None, 1])
def test_what_is_no_batch_and_no_event_is_kept_for_a_person_and_the_rest_is_taken(content: Any) -> None:
    found = taken([content, batch(content, {"event_type": "custom_event"}, event(event_name=""), played())])
    assert [type(record) for record in found.records] == [Malformed] * 4 + [Event]


@pytest.mark.parametrize("part", ["events", "user_attributes", "deleted_user_attributes", "consent_state"])
@pytest.mark.parametrize("content", ["x", 5, False])
def test_a_part_of_another_shape_is_kept_for_a_person_and_the_rest_is_taken(part: str, content: Any) -> None:
    given = {"user_attributes": {"plan": 1}, "events": [played()], part: content}
    found = taken({**batch(), **given}).records
    broken = found[0]
    assert isinstance(broken, Malformed)
    assert f"{part} is no" in broken.reason
    rest = {"events": ["Attributes"], "user_attributes": ["Event"]}.get(part, ["Attributes", "Event"])
    assert [type(record).__name__ for record in found[1:]] == rest


@pytest.mark.parametrize(
    "odd",
    [
        7,
        ["customer_id"],
        [{"identity": "ann"}],
        [{"identity_type": 5, "identity": "ann"}],
        [{"identity_type": "email", "identity": {"x": 1}}],
        {"email": ["a@example.com"]},
        {"email": True},
    ],
)
def test_an_identity_that_cannot_be_read_is_kept_for_a_person_and_the_user_is_taken(odd: Any) -> None:
    given = odd
    if isinstance(odd, dict):
        given = {"customer_id": "ann", **odd}
    elif isinstance(odd, list):
        given = [{"identity_type": "customer_id", "identity": "ann"}, *odd]
    found = taken(batch(played(), user_identities=given))
    (malformed,) = [each for each in found.records if isinstance(each, Malformed)]
    assert malformed.reason == "an identity cannot be read"
    events = [each.external_user_id for each in found.records if isinstance(each, Event)]
    assert events == ([] if odd == 7 else ["ann"])


@pytest.mark.parametrize("identities", [None, [], {}, [{}], {"email": None, "customer_id": None}])
def test_no_identities_are_no_fault(identities: Any) -> None:
    found = taken(batch(user_identities=identities))
    assert (found.records, found.skipped) == ([], {"no_external_user_id": 1})


@pytest.mark.parametrize("gdpr", [7, "yes", ["ads"], {"ads": True}, {"ads": None}])
def test_a_consent_that_cannot_be_read_is_kept_for_a_person(gdpr: Any) -> None:
    found = taken(batch(consent_state={"gdpr": gdpr}), consent={"ads": "$google_ad_user_data"})
    (malformed,) = found.records
    assert isinstance(malformed, Malformed)
    assert "consent_state.gdpr" in malformed.reason


def test_a_purpose_that_the_entry_does_not_name_may_be_anything_and_is_counted() -> None:
    gdpr = {"other": 7, "more": {"consented": True}, "ads": {"consented": True}}
    found = taken(batch(consent_state={"gdpr": gdpr}), consent={"ads": "$google_ad_user_data"})
    assert texts(found) == [("consent", {"ads": True})]
    assert found.skipped == {"not_selected": 2}


def test_several_parts_of_another_shape_are_one_malformed_batch() -> None:
    (broken,) = taken({**batch(), "events": 5, "user_attributes": []}).records
    assert isinstance(broken, Malformed)
    assert broken.reason == "of a batch events is not a list, user_attributes is not a JSON object"


def test_parts_that_are_null_are_as_if_they_were_not_there() -> None:
    nothing = dict.fromkeys(("events", "user_attributes", "deleted_user_attributes", "consent_state"))
    assert taken({**batch(), **nothing}).records == []
    assert [type(each) for each in taken(batch(played(custom_attributes=None))).records] == [Event]


def test_an_event_whose_custom_attributes_are_no_object_is_kept_for_a_person() -> None:
    found = taken(batch(played(custom_attributes=["x"]), played(custom_attributes={"a": 1})))
    assert [type(record) for record in found.records] == [Malformed, Event]


@pytest.mark.parametrize(
    "data",
    [
        {"product_action": 5},
        {"promotion_action": []},
        {"product_impressions": {}},
        {"product_impressions": [5]},
        {"product_impressions": [{"products": 5}]},
        {"product_action": {"action": "purchase", "products": 5}},
        {"product_action": {"action": "purchase", "products": ["x"]}},
        {"promotion_action": {"action": "view", "promotions": [None]}},
    ],
)
def test_commerce_of_another_shape_is_kept_for_a_person(data: dict[str, Any]) -> None:
    (broken,) = taken(batch(event("commerce_event", **data))).records
    assert isinstance(broken, Malformed)
    assert " is not a " in broken.reason


def test_identities_attributes_and_consent_are_a_record_each_and_come_without_events_too() -> None:
    content = batch(
        user_identities=[
            {"identity_type": "customer_id", "identity": "ann"},
            {"identity_type": "email", "identity": "ann@example.com"},
            {"identity_type": "facebook", "identity": "f"},
            {"identity_type": "google", "identity": "g"},
        ],
        user_attributes={"$FirstName": "Ann", "colours": ["red"], "tag": None},
        deleted_user_attributes=["plan"],
        consent_state={"gdpr": {"ads": {"consented": True}, "other": {"consented": True}}},
    )
    del content["events"]
    found = taken(content, consent={"ads": "$google_ad_user_data"})
    assert texts(found) == [
        ("identities", {"email": "ann@example.com", "facebook": "f"}),
        ("attributes", {"plan": None, "$FirstName": "Ann", "colours": ["red"], "tag": True}),
        ("consent", {"ads": True}),
    ]
    assert [record.id for record in found.records] == ["b/identities", "b/attributes", "b/consent"]


def test_attributes_that_are_not_selected_are_left_out_and_counted_and_what_was_deleted_is_null() -> None:
    gone = event("user_attribute_change", user_attribute_name="$Zip", old="1", new=None, deleted=True)
    back = event("user_attribute_change", user_attribute_name="plan", deleted=True)
    found = taken(batch(gone, back, user_attributes={"plan": "gold", "other": 1}), attributes=["plan", "$*"])
    assert texts(found) == [("attributes", {"$Zip": None, "plan": "gold"})]
    assert found.skipped == {"not_selected": 1}


def test_an_identity_that_was_taken_off_is_null() -> None:
    change = event("user_identity_change", old={"identity_type": "email", "identity": "a@example.com"}, new=None)
    assert texts(taken(batch(change))) == [("identities", {"email": None})]


def test_screens_sessions_opt_outs_and_push_tokens() -> None:
    content = batch(
        event("screen_view", screen_name="Home", custom_attributes={"a": 1}),
        event("session_start", session_uuid="s"),
        event("session_end", session_id=5),
        event("opt_out", is_opted_out=True),
        event("push_registration", register=True, registration_token="t"),
        mp_deviceid="d",
        device_info={"platform": "Android"},
    )
    found = taken(content, sessions=True, app_ids={"android": "app"}, screen_prefix="Saw ")
    assert texts(found) == [
        ("Saw Home", {"a": 1}),
        ("Session Start", {"session_id": "s"}),
        ("Session End", {"session_id": "5"}),
        ("opt_out", {"opted_out": True}),
        ("push_registration", {"token": "t", "device_id": "d"}),
    ]
    found = taken(content)
    assert [name for name, _ in texts(found)] == ["Viewed Home", "opt_out"]
    assert found.skipped == {"not_mapped": 3}


@pytest.mark.parametrize("kind", ["application_state_transition", "crash_report", "uninstall", "network_performance"])
def test_every_other_message_is_counted(kind: str) -> None:
    assert taken(batch(event(kind))).skipped == {"not_mapped": 1}


def test_events_are_selected_by_name_and_by_message_type() -> None:
    content = batch(
        played(), event(event_name="Other"), event("screen_view", screen_name="Home"), commerce("refund", product())
    )
    found = taken(content, events=["Play*", "screen_view"])
    assert [name for name, _ in texts(found)] == ["Played", "Viewed Home"]
    assert found.skipped == {"not_selected": 3}


def test_a_purchase_is_one_record_a_product_and_a_hundred_pieces() -> None:
    found = taken(
        batch(commerce("purchase", product(custom_attributes={"size": 42}), product(id="many", quantity=250)))
    )
    amounts = {"Transaction Id": "t", "Total Amount": 20, "Tax Amount": 1, "Shipping Amount": 2}
    about = {"Name": "Shoe", "Category": "C", "Brand": "B", "Total Product Amount": 19.98, **amounts}
    assert texts(found) == [
        ("sku x 2", {**about, "size": 42}),
        ("many x 100", about),
        ("many x 100", about),
        ("many x 50", about),
    ]
    assert [record.id for record in found.records] == ["m/1", "m/2", "m/3", "m/4"]
    first = found.records[0]
    assert isinstance(first, Purchase)
    assert (first.currency, first.price) == ("USD", 9.99)


@pytest.mark.parametrize(
    "broken",
    [
        {"id": None},
        {"id": ""},
        {"price": None},
        {"price": "much"},
        {"quantity": 0},
        {"quantity": 1.5},
        {"quantity": 10**9},
    ],
)
def test_a_product_that_braze_cannot_take_is_kept_for_a_person_and_the_others_are_bought(
    broken: dict[str, Any],
) -> None:
    found = taken(batch(commerce("purchase", product(**broken), product())))
    assert [type(record) for record in found.records] == [Malformed, Purchase]


def test_a_purchase_as_brazes_recommended_order() -> None:
    content = batch(
        commerce("purchase", product(), product(id="b", name=None, variant=None, quantity=None), currency_code="EUR")
    )
    assert texts(taken(content, purchases_as="order_placed")) == [
        (
            "ecommerce.order_placed",
            {
                "order_id": "t", "total_value": 20.0, "currency": "EUR", "source": "mparticle",
                "tax": 1.0, "shipping": 2.0,
                "products": [
                    {"product_id": "sku", "product_name": "Shoe", "variant_id": "red", "quantity": 2, "price": 9.99},
                    {"product_id": "b", "product_name": "b", "variant_id": "b", "quantity": 1, "price": 9.99},
                ],
            },
        )
    ]  # fmt: skip
    without = commerce("purchase", product())
    without["data"]["product_action"]["transaction_id"] = None
    assert [type(each) for each in taken(batch(without), purchases_as="order_placed").records] == [Malformed]


def test_a_purchase_and_other_actions_as_events_one_by_one_and_bundled() -> None:
    item = {
        "Id": "sku", "Name": "Shoe", "Brand": "B", "Category": "C", "Variant": "red", "Price": 9.99, "Quantity": 2,
        "Total Product Amount": 19.98,
    }  # fmt: skip
    amounts = {"Transaction Id": "t", "Total Amount": 20, "Tax Amount": 1, "Shipping Amount": 2}
    assert texts(taken(batch(commerce("purchase", product())), purchases_as="event")) == [
        ("eCommerce - purchase - Item", item)
    ]
    assert texts(taken(batch(commerce("refund", product(), product())))) == [
        ("eCommerce - refund - Item", item),
        ("eCommerce - refund - Item", item),
        ("eCommerce - refund - Total", amounts),
    ]
    bundled = taken(batch(commerce("add_to_cart", product())), purchases_as="event", bundle_commerce=True)
    assert texts(bundled) == [("eCommerce - add_to_cart", {**amounts, "products": [item]})]


def test_promotions_and_impressions_are_an_event_each_and_an_empty_commerce_event_is_counted() -> None:
    promotion = event(
        "commerce_event", promotion_action={"action": "click", "promotions": [{"id": "p", "creative": "c"}]}
    )
    impression = event(
        "commerce_event",
        product_impressions=[{"product_impression_list": "top", "products": [{"id": "sku"}, {"id": "b"}]}],
    )
    found = taken(batch(promotion, impression, event("commerce_event")))
    assert texts(found) == [
        ("eCommerce - click - Item", {"Id": "p", "Creative": "c"}),
        ("eCommerce - Impression - Item", {"Id": "sku", "Product Impression List": "top"}),
        ("eCommerce - Impression - Item", {"Id": "b", "Product Impression List": "top"}),
    ]
    assert found.skipped == {"not_mapped": 1}


@pytest.mark.parametrize(
    "given", [{"source_info": {"partner": "Braze"}}, {"user_attributes": {"mParticle Source Feed": "Braze Currents"}}]
)
def test_what_came_from_braze_does_not_go_back(given: dict[str, Any]) -> None:
    found = taken(batch(played(), played(), **given))
    assert (found.records, found.skipped) == ([], {"loop": 2})


def test_users_without_the_wanted_identity_and_hashed_ones_are_counted() -> None:
    assert taken(batch(played(), user_identities=[])).skipped == {"no_external_user_id": 1}
    hashed = [{"identity_type": "customer_id", "identity": "x", "identity_encoding": "sha256"}]
    assert taken(batch(played(), user_identities=hashed)).skipped == {"hashed_identity": 1}


def test_an_item_that_is_too_large_for_kafka_is_kept_for_a_person_cut() -> None:
    found = taken(batch(played(custom_attributes={"text": "x" * 950_000}), played()))
    broken, _ = found.records
    assert isinstance(broken, Malformed)
    assert len(broken.body) == 100_000


@pytest.mark.parametrize("value", [{}, [], "x", 1, None, True])
def test_no_shape_of_a_field_is_too_strange(value: Any) -> None:
    names = [
        "events", "user_attributes", "user_identities", "consent_state", "deleted_user_attributes", "source_info",
        "device_info", "timestamp_unixtime_ms", "batch_id", "mpid", "mp_deviceid",
    ]  # fmt: skip
    for name in names:
        taken(
            batch(played(), **{name: value}), sessions=True, app_ids={"ios": "x"}, consent={"a": "$google_ad_user_data"}
        )
    for name in ("product_action", "promotion_action", "product_impressions", "currency_code", "custom_attributes"):
        taken(batch(commerce("purchase", product()), event("commerce_event", **{name: value})))
        taken(batch(commerce("purchase", product(), **{name: value})))
    for name in product():
        for shape in ("purchase", "order_placed", "event"):
            taken(batch(commerce("purchase", product(**{name: value}))), purchases_as=shape)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="mParticle's sample is not beside this repository")
def test_the_vendors_own_sample_is_taken() -> None:
    found = taken(json.loads(SAMPLE.read_text()), external_identity="customer_id", sessions=True)
    assert not any(isinstance(record, Malformed) for record in found.records)

"""The keys of a connector to Braze: what is taken, what is refused and with which words, what is warned of."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from streams.destinations.braze.settings import BASES, BrazeSettings, overlaps
from streams.wayback.entries import Entry, Firehose, MixpanelCohorts

KEY = "a-key-of-sixteen-or-more"
COHORTS: dict[str, Any] = {"kind": "mixpanel_cohorts", "auth": {"passwords": [KEY]}}
DATA: dict[str, Any] = {"kind": "mparticle_events", "keys": [KEY]}
FIREHOSE: dict[str, Any] = {"kind": "firehose", "keys": [KEY, KEY + "2"]}
AUDIENCES: dict[str, Any] = {"kind": "mparticle_audiences", "keys": [KEY]}


def settings(**given: Any) -> BrazeSettings:
    content = {"instance": "US-01", "rest_key": "rest", "receive": {"cohorts": COHORTS}, **given}
    return BrazeSettings.model_validate(content)


def entry(content: dict[str, Any], **more: Any) -> Any:
    return TypeAdapter[Any](Entry).validate_python({**content, **more})


def problems(**given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_defaults_are_those_of_the_vendors_own_integrations() -> None:
    made = settings()
    assert (made.objects_max, made.rate, made.in_doubt, made.property_types) == (75, 250.0, "resend", "scalar")
    assert (made.probe_user, made.scratch, made.grace) == ("streams-probe", "/scratch", 48 * 3600)
    cohorts = made.receive["cohorts"]
    assert isinstance(cohorts, MixpanelCohorts)
    assert (cohorts.write_as, cohorts.attribute, cohorts.value) == ("attribute", "Mixpanel_Cohorts", "name")
    assert cohorts.external_id == ("$braze_external_id", "$distinct_id", "mixpanel_distinct_id")
    firehose = entry(FIREHOSE)
    assert isinstance(firehose, Firehose)
    assert firehose.shapes == {"single"}
    assert firehose.quote_ids
    assert [entry(kind).create_users for kind in (COHORTS, DATA, FIREHOSE, AUDIENCES)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        ("single", {"single"}),
        ("array", {"array"}),
        ("per_segment", {"per_segment"}),
        ("both", {"single", "per_segment"}),
        (["single", "array", "per_segment"], {"single", "array", "per_segment"}),
    ],
)
def test_segments_are_sent_as_mparticle_offers_it(given: Any, shapes: set[str]) -> None:
    assert entry(FIREHOSE, send_segments_as=given).shapes == shapes


@pytest.mark.parametrize("instance", sorted(BASES))
def test_every_instance_has_its_address(instance: str) -> None:
    base = settings(instance=instance).base
    assert base == BASES[instance]
    assert base.startswith("https://rest.")


def test_the_addresses_are_those_of_brazes_page() -> None:
    assert len(BASES) == 15
    assert BASES["US-03"] == "https://rest.iad-03.braze.com"
    assert BASES["US-10"] == "https://rest.us-10.braze.com"
    assert BASES["EU-02"] == "https://rest.fra-02.braze.eu"
    assert BASES["KR-01"] == "https://rest.kr-01.braze.com"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"instance": None}, "set either instance, as US-01, or base_url"),
        ({"base_url": "http://127.0.0.1:8403"}, "set either instance, as US-01, or base_url"),
        ({"instance": "US-09"}, "instance"),
        ({"objects_max": 76}, "less than or equal to 75"),
        ({"objects_max": 0}, "greater than or equal to 1"),
        ({"rate": 0}, "greater than 0"),
        ({"in_doubt": "drop"}, "'resend' or 'park'"),
        ({"property_types": "all"}, "'scalar' or 'nested'"),
        ({"receive": {}}, "at least 1 item"),
        ({"receive": {f"e{number}": DATA for number in range(21)}}, "at most 20 items"),
        ({"receive": {"Cohorts": COHORTS}}, "receive.Cohorts is not a name of an entry"),
        ({"receive": {"cohorts": {**COHORTS, "as": "both"}}}, "receive.cohorts.as: both needs cohort_api"),
        ({"receive": {"cohorts": {**COHORTS, "as": "cohort_api"}}}, "receive.cohorts.as: cohort_api needs cohort_api"),
        ({"receive": {"cohorts": {**COHORTS, "kind": "webhook"}}}, "'mixpanel_cohorts'"),
        ({"receive": {"cohorts": {**COHORTS, "auth": {"passwords": ["short"]}}}}, "at least 16 characters"),
        ({"receive": {"cohorts": {**COHORTS, "auth": {"passwords": []}}}}, "at least 1 item"),
        ({"receive": {"cohorts": {**COHORTS, "auth": {"passwords": [KEY] * 3}}}}, "at most 2 items"),
        ({"receive": {"cohorts": {**COHORTS, "auth": {"user": "a:b", "passwords": [KEY]}}}}, "pattern"),
        ({"receive": {"data": {**DATA, "keys": ["short"]}}}, "at least 16 characters"),
        ({"receive": {"data": {**DATA, "external_identity": "customer"}}}, "'customer_id'"),
        ({"receive": {"data": {**DATA, "send_segments_as": "single"}}}, "Extra inputs"),
        ({"receive": {"audiences": {**AUDIENCES, "events": ["*"]}}}, "Extra inputs"),
        ({"receive": {"data": {**DATA, "bundle_commerce": True}}}, "cannot be used with purchases_as: purchase"),
        (
            {"receive": {"data": {**DATA, "bundle_commerce": True, "purchases_as": "event"}}},
            "receive.data.bundle_commerce needs property_types: nested",
        ),
        ({"receive": {"data": {**DATA, "subscription_groups": {"news": "no uuid"}}}}, "pattern"),
        ({"receive": {"data": {**DATA, "consent": {"ads": "consent"}}}}, "'$google_ad_user_data'"),
        ({"receive": {"data": {**DATA, "app_ids": {"tvos": "x"}}}}, "'ios', 'android' or 'web'"),
        ({"receive": {"data": {**DATA, "events": []}}}, "at least 1 item"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(given: dict[str, Any], words: str) -> None:
    assert words in problems(**given)


def test_bundles_go_with_nested_types_and_purchases_that_are_events() -> None:
    data = {**DATA, "bundle_commerce": True, "purchases_as": "order_placed"}
    assert settings(property_types="nested", receive={"data": data}).receive.keys() == {"data"}


def test_the_cohort_import_needs_its_keys_and_takes_them() -> None:
    keys = {"partner": "mixpanel", "partner_api_key": "p", "data_import_key": "d"}
    assert settings(cohort_api=keys, receive={"cohorts": {**COHORTS, "as": "both"}}).cohort_api is not None


def test_no_key_shows_itself() -> None:
    shown = repr(settings(receive={"cohorts": COHORTS, "data": DATA, "firehose": FIREHOSE}))
    assert KEY not in shown
    assert "'rest'" not in shown


def test_an_address_without_tls_and_a_key_in_the_body_are_warned_of() -> None:
    assert settings().warnings() == ()
    made = settings(
        instance=None, base_url="http://127.0.0.1:8403", receive={"fire": {**FIREHOSE, "key_setting": "apiKey"}}
    )
    assert [sentence.partition(":")[0] for sentence in made.warnings()] == ["base_url", "receive.fire.key_setting"]


def test_selections_are_ids_or_globs_of_names() -> None:
    cohorts = entry(COHORTS, select=["7", "VIP *"])
    assert [cohorts.selects(*group) for group in (("7", "x"), ("8", "VIP gold"), ("8", "vip"), ("VIP x", "y"))] == [
        True, True, False, False,
    ]  # fmt: skip
    data = entry(DATA, events=["Played", "screen_view", "Bought *"], attributes=["$*"])
    assert [data.selects_event(name, kind) for name, kind in (("Played", "custom_event"), ("Home", "screen_view"))] == [
        True, True,
    ]  # fmt: skip
    assert not data.selects_event("Home", "custom_event")
    assert (data.selects_attribute("$Zip"), data.selects_attribute("plan")) == (True, False)


def test_two_connectors_with_one_key_must_not_write_one_attribute_nor_share_an_entrys_name() -> None:
    one = settings(receive={"cohorts": COHORTS, "audiences": AUDIENCES})
    other = settings(receive={"lists": {**COHORTS, "attribute": "Cohorts"}, "audiences": FIREHOSE})
    assert overlaps({"a": one, "b": other}) == (
        "connectors.b.receive.audiences: a has an entry of this name; choose another",
        "connectors.b: writes 'SegmentMembership' with the same rest_key as a, so each overwrites the other: put both "
        "entries under one connector, or name another attribute",
    )
    assert overlaps({"a": one, "b": settings(rest_key="another", receive={"lists": COHORTS})}) == ()

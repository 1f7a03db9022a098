"""Connectors that a receiver fills: what they may say, what two of them must not share, and what they need of Kafka."""

from __future__ import annotations

import pytest

from streams.config import ConfigurationError, Settings, loads
from streams.config.access import Grant, roles
from streams.config.topology import wanted_topics
from streams.config.warnings import warnings
from streams.workers.router.routes import routing_of

KAFKA = "kafka: {bootstrap_servers: 'k:1', topics: {partitions: 6}}\n"
COHORTS = "cohorts: {kind: mixpanel_cohorts, auth: {passwords: [a-password-of-sixteen]}}"
KEYS = "partner_api_key: p, data_import_key: d"
BACK = f"back: {{destination: braze, instance: US-01, rest_key: r, receive: {{{COHORTS}}}}}"
GROWTH = 'growth: {destination: mixpanel, project_token: "00000000000000000000000000000000"}'


def settings(*connectors: str, environment: dict[str, str] | None = None) -> Settings:
    return loads(KAFKA + "connectors:\n" + "".join(f"  {one}\n" for one in connectors), environment or {})


def problems(*connectors: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        settings(*connectors)
    return {problem.path: problem.fix for problem in caught.value.problems}


def grants(found: Settings, role: str) -> dict[str, Grant]:
    (one,) = [one for one in roles(found) if one.name == role]
    return {grant.name: grant for grant in one.grants}


def test_it_selects_no_events_and_its_rate_is_of_requests() -> None:
    connector = settings(BACK.replace("rest_key: r,", "rest_key: r, rate: 40,")).connectors["back"]
    assert connector.event_types == frozenset()
    assert connector.rate_per_second is None
    assert connector.limits().requests_per_second == 40
    assert connector.limits().records_per_second is None
    assert connector.grace_seconds == 48 * 3_600


def test_events_are_refused_with_what_says_instead_what_it_takes() -> None:
    found = problems(BACK.replace("rest_key: r,", 'rest_key: r, events: ["*"],'))
    assert list(found) == ["connectors.back.events"]
    assert "no event is routed to it; `receive` says what it takes" in found["connectors.back.events"]


def test_every_problem_is_told_at_its_place() -> None:
    found = problems(
        "back: {destination: braze, instance: US-09, receive: {cohorts: {kind: mixpanel_cohorts, "
        "auth: {passwords: [x]}, as: both}, other: {kind: webhook}}}"
    )
    assert {
        "connectors.back.instance", "connectors.back.rest_key", "connectors.back.receive.cohorts.auth.passwords[0]",
        "connectors.back.receive.other",
    } <= found.keys()  # fmt: skip


def test_its_scopes_are_those_of_the_keys_that_it_has() -> None:
    assert settings(BACK).connectors["back"].scopes == ("default",)
    with_keys = BACK.replace("rest_key: r,", f"rest_key: r, cohort_api: {{{KEYS}}},")
    assert settings(with_keys).connectors["back"].scopes == ("default", "cohorts")
    hidden = with_keys.replace("rest_key: r,", "rest_key: '${REST_KEY}',")
    text = KAFKA + f"connectors:\n  {hidden}\n"
    assert loads(text, {}, reads_secrets=False).connectors["back"].scopes == ("default", "cohorts")


def test_two_connectors_do_not_write_one_attribute_with_one_key_nor_share_an_entrys_name() -> None:
    other = BACK.replace("back:", "other:")
    assert problems(BACK, other) == {
        "connectors.other.receive.cohorts": "back has an entry of this name; choose another",
        "connectors.other": "writes 'Mixpanel_Cohorts' with the same rest_key as back, so each overwrites the other: "
        "put both entries under one connector, or name another attribute",
    }
    renamed = other.replace("cohorts:", "more:")
    assert list(problems(BACK, renamed)) == ["connectors.other"]
    assert settings(BACK, renamed.replace("rest_key: r", "rest_key: s")).connectors.keys() == {"back", "other"}
    assert settings(BACK, renamed.replace("kind:", "attribute: Others, kind:")).connectors.keys() == {"back", "other"}


def test_nothing_is_routed_to_it() -> None:
    found = settings(BACK, GROWTH)
    assert [route.topic for route in routing_of(found).connectors] == ["streams.connector.growth"]
    assert found.routed.keys() == {"growth"}


def test_its_topics_are_the_usual_ones_and_what_its_sink_remembers_with_as_many_partitions() -> None:
    with_keys = BACK.replace("rest_key: r,", f"rest_key: r, cohort_api: {{{KEYS}}},")
    topics = {topic.name: topic for topic in wanted_topics(settings(with_keys), 3)}
    assert {name for name in topics if ".back" in name} == {
        "streams.connector.back", "streams.sent.back", "streams.dead-letter.back.rejected",
        "streams.dead-letter.back.credentials.default", "streams.dead-letter.back.credentials.cohorts",
    }  # fmt: skip
    sent = topics["streams.sent.back"]
    assert sent.partitions == topics["streams.connector.back"].partitions == 6
    assert sent.exactly["cleanup.policy"] == "compact"
    assert not any(
        name.startswith("streams.sent.") for name in {one.name for one in wanted_topics(settings(GROWTH), 3)}
    )


def test_without_any_other_connector_neither_router_nor_currents_topics_are_needed() -> None:
    alone, both = settings(BACK), settings(BACK, GROWTH)
    assert alone.source_topics == ()
    assert both.source_topics == (r"^currents\..+",)
    assert "router" not in {role.name for role in roles(alone)}
    assert "router" in {role.name for role in roles(both)}
    for found in (alone, both):
        allowed = grants(found, "sink back")
        assert not any(name.startswith("currents") or name == "*" for name in allowed)
        assert allowed["streams.sent.back"].operations == ("Read", "Write")
    assert "streams.connector.back" not in grants(both, "router")
    assert not any(name.startswith("currents") for name in grants(alone, "operator"))


def test_its_own_remarks_are_told() -> None:
    plain = BACK.replace("instance: US-01", "base_url: 'http://127.0.0.1:1'")
    assert [remark.path for remark in warnings(settings(plain))][:1] == ["connectors.back.base_url"]

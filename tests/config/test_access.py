"""What each role is allowed: as narrow as Kafka's patterns can say, for this configuration and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import Settings, loads
from streams.config.access import Grant, literal_prefix, roles
from streams.config.access_page import example, renewed

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONFIGURATION = """
kafka: {bootstrap_servers: k:1, topic_prefix: acme., topics: {create: false}}
source: {topics: ["^events\\\\..+", orders], topic_prefix: events.}
connectors:
  growth: {destination: mixpanel, project_token: "00000000000000000000000000000000"}
  cdp: {destination: mparticle, feed_fallback: skip, feeds: {ios: {key: k, secret: s}, web: {key: l, secret: s}}}
"""


@pytest.fixture
def settings() -> Settings:
    return loads(CONFIGURATION, {})


def grants(settings: Settings, role: str) -> dict[tuple[str, str], Grant]:
    (found,) = [one for one in roles(settings) if one.name == role]
    return {(grant.resource, grant.name): grant for grant in found.grants}


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("orders", "orders"),
        (r"^currents\..+", "currents."),
        (r"^currents\.users", "currents.users"),
        (r"^currents\.(a|b)", "currents."),
        (r"^(a|b)\.currents", ""),
        ("^a|b", ""),
        (r"^a\.x|b\.x", ""),
        ("^events?", "event"),
        ("^events*", "event"),
        ("^events+", "events"),
        ("^events{0,1}", "event"),
        (r"^\w+", ""),
        ("^[ab]c", ""),
        ("^.+", ""),
        (r"^a\-b_c\.", "a-b_c."),
    ],
)
def test_a_patterns_literal_beginning_is_what_every_match_begins_with(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


def test_each_connector_has_a_role_of_its_own_and_sees_no_other_connectors_records(settings: Settings) -> None:
    names = [role.name for role in roles(settings)]
    assert names == ["router", "sink growth", "sink cdp", "ingest", "topics", "operator", "import", "doctor"]
    topics = {name for resource, name in grants(settings, "sink cdp") if resource == "topic"}
    assert not any("growth" in name for name in topics)
    assert {f"acme.dead-letter.cdp.{end}" for end in ("rejected", "credentials.ios", "credentials.web")} <= topics


def test_only_the_owner_of_letters_may_delete_them(settings: Settings) -> None:
    deletable = {
        (role.name, grant.name) for role in roles(settings) for grant in role.grants if "Delete" in grant.operations
    }
    assert deletable == {
        ("router", "acme.dead-letter.source"),
        ("sink growth", "acme.dead-letter.growth.rejected"),
        ("sink growth", "acme.dead-letter.growth.credentials.default"),
        ("sink cdp", "acme.dead-letter.cdp.rejected"),
        ("sink cdp", "acme.dead-letter.cdp.credentials.ios"),
        ("sink cdp", "acme.dead-letter.cdp.credentials.web"),
    }


def test_source_topics_are_named_or_begun_as_the_configuration_says(settings: Settings) -> None:
    router = grants(settings, "router")
    assert router["topic", "events."].is_prefix
    assert not router["topic", "orders"].is_prefix


def test_a_pattern_without_a_beginning_needs_every_topic() -> None:
    anything = loads(CONFIGURATION.replace("^events\\\\..+", "^.+"), {})
    assert grants(anything, "router")["topic", "*"].pattern == "literal"


def test_ingest_creates_topics_only_where_the_configuration_lets_it(settings: Settings) -> None:
    assert grants(settings, "ingest")["topic", "events."].operations == ("Write",)
    creating = loads(CONFIGURATION.replace("create: false", "create: true"), {})
    assert grants(creating, "ingest")["topic", "events."].operations == ("Write", "Create")


def test_the_tables_in_the_page_are_those_of_its_example() -> None:
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    fix = "run: python -m streams.config.access_page docs/security.md docs/examples/streams.yaml"
    assert renewed(page, example(DOCS / "examples" / "streams.yaml")) == page, fix


def test_a_page_without_marks_is_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed("nothing", settings)


def test_a_router_that_only_keeps_the_letters_of_http_inlets_reads_no_events_and_may_write_them_again() -> None:
    http = "inlets: {feed: {kind: http, tokens: [a-token-of-24-characters]}, test: {kind: http, topic_prefix: test., "
    alone = loads(f"kafka: {{bootstrap_servers: k:1}}\n{http}tokens: [another-of-24-characters]}}}}", {})
    router = grants(alone, "router")
    assert router["topic", "currents."].operations == ("Write", "Create")
    assert router["topic", "test."].operations == ("Write", "Create")
    assert router["topic", "streams.dead-letter.source"].operations == ("Read", "Delete")
    assert ("transactional-id", "streams.router-") not in router
    assert ("transactional-id", "streams.keeper.source") in router

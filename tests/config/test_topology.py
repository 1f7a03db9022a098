"""Which topics a configuration needs, and what a plan changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest

from streams.config import Settings, loads
from streams.config.topology import ActualTopic, Plan, WantedTopic, plan, wanted_topics
from streams.delivery.contract import Destination
from tests.config.vendors import REGISTRY, ScopedDestination

DAY_MS = 86_400_000


@pytest.fixture
def settings() -> Settings:
    text = """
kafka: {bootstrap_servers: k:1}
connectors:
  cdp: {destination: bolter, grace: 8d, feeds: {ios: {key: k, secret: s}, web: {key: l, secret: s}}}
"""
    scoped = replace(REGISTRY["bolter"], build=lambda _settings: cast("Destination", ScopedDestination(("ios", "web"))))
    return loads(text, {}, registry={"bolter": scoped})


def by_name(settings: Settings, brokers: int = 3) -> Mapping[str, WantedTopic]:
    return {topic.name: topic for topic in wanted_topics(settings, brokers)}


def existing(topic: WantedTopic, **changed: str) -> ActualTopic:
    configuration = topic.configuration | {name.replace("_", "."): value for name, value in changed.items()}
    return ActualTopic(topic.name, topic.partitions, topic.replication, configuration)


def planned(settings: Settings, *there: ActualTopic) -> Plan:
    return plan(settings, wanted_topics(settings, 3), {topic.name: topic for topic in there})


def test_every_connector_has_its_topics_and_all_share_the_others(settings: Settings) -> None:
    assert set(by_name(settings)) == {
        "streams.connector.cdp",
        "streams.dead-letter.cdp.rejected",
        "streams.dead-letter.cdp.credentials.ios",
        "streams.dead-letter.cdp.credentials.web",
        "streams.dead-letter.source",
        "streams.schemas",
        "streams.state",
        "streams.forgotten",
        "streams.audit",
    }


def test_topics_that_records_go_onto_take_what_the_currents_topics_take(settings: Settings) -> None:
    sizes = {
        topic.name: topic.configuration["max.message.bytes"]
        for topic in wanted_topics(settings, 3, source_bytes_max=5_000_000)
    }
    ours = {"streams.schemas", "streams.state", "streams.forgotten", "streams.audit"}
    assert {name for name, size in sizes.items() if size == "2000000"} == ours
    assert {size for name, size in sizes.items() if name not in ours} == {"5000000"}


def test_small_currents_topics_make_no_topic_of_ours_smaller(settings: Settings) -> None:
    sizes = {
        topic.configuration["max.message.bytes"] for topic in wanted_topics(settings, 3, source_bytes_max=1_048_588)
    }
    assert sizes == {"2000000"}


def test_retention_keeps_what_nobody_else_may_delete(settings: Settings) -> None:
    topics = by_name(settings)
    assert topics["streams.connector.cdp"].configuration["retention.ms"] == str(2 * 8 * DAY_MS)
    assert topics["streams.audit"].configuration["retention.ms"] == str(400 * DAY_MS)
    for name in ("cdp.rejected", "cdp.credentials.ios", "source"):
        letters = topics[f"streams.dead-letter.{name}"].configuration
        assert (letters["cleanup.policy"], letters["retention.ms"], letters["retention.bytes"]) == (
            "delete",
            "-1",
            "-1",
        )
    assert topics["streams.state"].configuration["cleanup.policy"] == "compact"
    assert topics["streams.state"].partitions == 1


def test_one_broker_gets_one_replica(settings: Settings) -> None:
    assert {
        (topic.replication, topic.configuration["min.insync.replicas"]) for topic in wanted_topics(settings, 1)
    } == {(1, "1")}
    assert {
        (topic.replication, topic.configuration["min.insync.replicas"]) for topic in wanted_topics(settings, 3)
    } == {(3, "2")}


def test_a_missing_topic_is_created_and_a_right_one_is_left_alone(settings: Settings) -> None:
    topics = by_name(settings)
    there = [existing(topic) for name, topic in topics.items() if name != "streams.audit"]
    (change,) = planned(settings, *there).changes
    assert (change.topic.name, change.is_missing) == ("streams.audit", True)


def test_retention_that_would_lose_records_is_corrected(settings: Settings) -> None:
    topics = by_name(settings)
    there = {name: existing(topic) for name, topic in topics.items()}
    there["streams.connector.cdp"] = existing(topics["streams.connector.cdp"], retention_ms=str(7 * DAY_MS))
    there["streams.dead-letter.source"] = existing(topics["streams.dead-letter.source"], retention_ms=str(7 * DAY_MS))
    changes = {change.topic.name: change.settings for change in planned(settings, *there.values()).changes}
    assert changes == {
        "streams.connector.cdp": {"retention.ms": (str(7 * DAY_MS), str(16 * DAY_MS))},
        "streams.dead-letter.source": {"retention.ms": (str(7 * DAY_MS), "-1")},
    }


def test_what_is_larger_than_needed_stays(settings: Settings) -> None:
    topics = by_name(settings)
    there = {name: existing(topic) for name, topic in topics.items()}
    there["streams.connector.cdp"] = existing(
        topics["streams.connector.cdp"], retention_ms="-1", max_message_bytes="9000000"
    )
    assert planned(settings, *there.values()).changes == ()


def test_partitions_and_replicas_of_a_topic_that_exists_are_left_alone(settings: Settings) -> None:
    there = [
        replace(existing(topic, min_insync_replicas="1"), partitions=1, replication=1)
        for topic in by_name(settings).values()
    ]
    assert planned(settings, *there).changes == ()


def test_topics_of_connectors_that_left_are_listed_and_nothing_more(settings: Settings) -> None:
    old = ActualTopic("streams.connector.old", 6, 3, {})
    letters = ActualTopic("streams.dead-letter.old.credentials.ios", 6, 3, {})
    found = planned(settings, old, letters)
    assert found.orphaned == ("streams.connector.old", "streams.dead-letter.old.credentials.ios")
    assert all(change.is_missing for change in found.changes)

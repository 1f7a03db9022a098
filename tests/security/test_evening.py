"""A whole evening with exactly the printed access: everything works, nothing is superfluous, nothing secret is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.testing.brokers import ApacheKafka
from tests.security.authority import Authority, needs_openssl
from tests.security.evening import CONNECTOR, CONTACT, PERSONAL, SEALED, SECRETS, Evening, evening

pytestmark = [pytest.mark.apache, needs_openssl, pytest.mark.timeout(900)]


LATER = {
    (f"sink {CONNECTOR}", "Delete", "topic", f"dead-letter.{CONNECTOR}.rejected"),
    ("router", "Delete", "topic", "dead-letter.source"),
}
"""Bytes of settled letters are deleted by whole blocks of 8,192, or after 14 days: not in one evening."""


def test_an_evening_with_exactly_the_printed_access_works_and_tells_nobody_anything_secret(
    guarded: ApacheKafka, certificates: Authority, tmp_path: Path
) -> None:
    """One test, for the evening is long: two minutes, that each worker of a parallel run would spend again."""
    with evening(guarded, certificates, tmp_path) as seen:
        everything_works_with_exactly_the_printed_access(seen)
        nothing_was_asked_for_that_is_not_printed(seen)
        no_printed_operation_is_superfluous(seen)
        a_destination_whose_certificate_nobody_knows_gets_nothing_and_its_connector_stops(seen)
        requests_left_by_the_proxy(seen)
        alerts_and_pages_name_the_people_who_own_the_connector(seen)
        nothing_secret_and_nobody_is_told_anywhere(seen)


def everything_works_with_exactly_the_printed_access(seen: Evening) -> None:
    assert seen.failed == {}


def nothing_was_asked_for_that_is_not_printed(seen: Evening) -> None:
    denied = [one for one in seen.scene.guard.asked(*seen.scene.users.values()) if not one.is_allowed]
    assert denied == []


def no_printed_operation_is_superfluous(seen: Evening) -> None:
    superfluous = set()
    for role in set(seen.scene.users) - {f"sink {SEALED}"}:  # it never came so far
        asked = [one for one in seen.scene.guard.asked(seen.scene.users[role]) if one.is_allowed]
        for grant in seen.scene.access[role]:
            for operation in grant["operations"]:
                if SEALED not in grant["name"] and not any(one.is_covered_by(grant, operation) for one in asked):
                    name = grant["name"].replace(seen.scene.settings.kafka.topic_prefix, "")
                    superfluous.add((role, operation, grant["resource"], name))
    assert superfluous <= LATER


def a_destination_whose_certificate_nobody_knows_gets_nothing_and_its_connector_stops(seen: Evening) -> None:
    shown = seen.said[f"connectors show {SEALED}"]
    assert "SUSPENDED" in shown
    assert "certificate" in shown
    assert seen.sealed_bodies == []


def requests_left_by_the_proxy(seen: Evening) -> None:
    assert {target.split()[0] for target in seen.proxied} == {"POST", "CONNECT"}
    assert any(SECRETS["webhook"] in target for target in seen.proxied), "alerts went another way"


def alerts_and_pages_name_the_people_who_own_the_connector(seen: Evening) -> None:
    assert seen.alerts
    assert all(f"Contact: {CONTACT}".encode() in alert for alert in seen.alerts)
    assert CONTACT in seen.said[f"connectors show {CONNECTOR}"]


def nothing_secret_and_nobody_is_told_anywhere(seen: Evening) -> None:
    scene, topics = seen.scene, seen.scene.settings.topics
    places = {f"log {name}": text for name, text in seen.logs.items()}
    places |= {f"metrics {role}": text for role, text in seen.metrics.items()}
    places |= {f"command {name}": text for name, text in seen.said.items()}
    places["command lines"] = "\n".join(seen.command_lines)
    places["alerts"] = b"\n".join(seen.alerts).decode()
    for topic in (topics.audit, topics.state):
        places[topic] = "\n".join(f"{record.key!r} {record.value!r} {record.headers}" for record in scene.read(topic))
    letters = [topic for topic in scene.administration.topic_names() if topic.startswith(topics.dead_letters)]
    parked = [record for topic in letters for record in scene.read(topic)]
    places["headers"] = "\n".join(str(record.headers) for record in parked)
    assert any(PERSONAL["email"].encode() in (record.value or b"") for record in parked), "nothing was planted"
    assert places["headers"]
    assert places["alerts"]
    assert "streams_parked_records_total" in places[f"metrics sink {CONNECTOR}"]
    needles = {**SECRETS, **PERSONAL, **{user.name: user.password for user in scene.users.values()}}
    found = [(what, where) for where, text in places.items() for what, needle in needles.items() if needle in text]
    assert found == []
    assert any(CONNECTOR in text for text in seen.logs.values())

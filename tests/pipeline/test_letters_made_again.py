"""A dead-letter topic that is deleted and made again: new letters go back, the deleted ones are lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Read, Scene
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event
from tests.pipeline.test_dead_letters import Person

pytestmark = [pytest.mark.apache, pytest.mark.timeout(300)]

PURGED = 12
"""So many that each partition has settled letters at its beginning."""


def make_again(scene: Scene, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    partitions = len(scene.administration.partitions(topic))
    admin.delete_topics([topic])[topic].result(60)
    scene.wait_until(lambda: topic not in scene.administration.topic_names(), "the topic to be gone")
    scene.administration.create_topic(topic, partitions, 1, {})


def rewrite(scene: Scene, topic: str, letters: list[Read]) -> None:
    """Put letters onto a topic that was made again, as somebody does who has a copy."""
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers})
    for letter in letters:
        producer.produce(topic, letter.value, letter.key, partition=letter.partition, headers=list(letter.headers))
    assert producer.flush(60) == 0


@pytest.fixture
def person(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Person]:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        yield Person(line, mixpanel)


def topic_of(person: Person, letters: str = "rejected") -> str:
    return f"{person.scene.settings.topics.dead_letters}{ANALYTICS}.{letters}"


def listed(person: Person) -> int:
    return sum(cause["letters"] for cause in person.dlq("list", ANALYTICS)["causes"])


def purge_some(person: Person) -> None:
    person.park(PURGED)
    person.dlq("purge", ANALYTICS, "--execute", "--reason", "test data")
    settled = person.scene.accounts.state_views()[ANALYTICS]
    assert settled.settled or settled.cursors


def test_letters_of_a_topic_that_is_made_again_while_the_keeper_runs_are_seen_and_replayed(person: Person) -> None:
    purge_some(person)
    person.park(2)
    make_again(person.scene, topic_of(person))
    person.scene.wait_until(lambda: bool(person.audited("dead letters forgotten")), "the keeper to see the other topic")
    person.scene.wait_until(lambda: person.scene.account(ANALYTICS).lost == 2, "the letters to count as lost")
    ids = person.park(3)
    assert person.dlq("top", ANALYTICS)["letters"] == 3
    assert listed(person) == 3
    person.fix()
    assert person.dlq("replay", ANALYTICS, "--execute", "--reason", "the time came")["outcome"]["done"] == 3
    person.settle()
    assert person.delivered() == dict.fromkeys(ids, 1)
    assert person.scene.account(ANALYTICS).lost == 2
    assert person.adds_up()


def test_letters_of_a_topic_that_is_made_again_while_the_keeper_is_away_are_seen_and_replayed(
    person: Person,
) -> None:
    purge_some(person)
    ids = person.park(2)
    copies = [letter for letter in person.letters() if (letter.value or b"") in values_of(person, ids)]
    assert len(copies) == 2
    sink = person.line.processes[ANALYTICS]
    assert sink.terminate() == 0
    make_again(person.scene, topic_of(person))
    rewrite(person.scene, topic_of(person), copies)
    assert person.dlq("top", ANALYTICS)["letters"] == 2, "though they stand where others were settled"
    sink.start()
    person.scene.wait_until(lambda: bool(person.audited("dead letters forgotten")), "the keeper to see the other topic")
    person.fix()
    assert person.dlq("replay", ANALYTICS, "--execute", "--reason", "the time came")["outcome"]["done"] == 2
    person.settle()
    assert person.delivered() == dict.fromkeys(ids, 1)
    assert person.scene.account(ANALYTICS).lost == 0
    assert person.adds_up()


def values_of(person: Person, ids: set[str]) -> set[bytes]:
    topic = person.scene.source_prefix + OPEN
    return {one.value or b"" for one in person.scene.read(topic) if any(i.encode() in (one.value or b"") for i in ids)}


@pytest.mark.parametrize("is_away", [True, False], ids=["while the keeper is away", "while it runs"])
def test_credentials_letters_of_a_topic_that_is_made_again_go_back_by_themselves(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, is_away: bool
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel, grace="100s")}) as line:
        person = Person(line, mixpanel)
        parked(person, mixpanel, 0, PURGED)
        mixpanel.restore()
        person.scene.wait_until(lambda: len(mixpanel.unique()) == PURGED, "the first letters to go back")
        person.scene.wait_until(lambda: account(person) == (PURGED, 0, 0), "the first letters to be counted")
        sink = line.processes[ANALYTICS]
        if is_away:
            assert sink.terminate() == 0
        make_again(person.scene, topic_of(person, "credentials.default"))
        if is_away:
            sink.start()
        person.scene.wait_until(lambda: bool(person.audited("dead letters forgotten")), "the keeper to see it")
        parked(person, mixpanel, PURGED, PURGED + 5)
        mixpanel.restore()
        person.scene.wait_until(lambda: account(person) == (PURGED + 5, 0, 0), "the new letters to go back")
        assert person.scene.account(ANALYTICS).lost == 0
        assert person.adds_up()


def account(person: Person) -> tuple[int, int, int]:
    found = person.scene.account(ANALYTICS)
    return found.delivered, found.parked.get("credentials", 0), found.waiting


def parked(person: Person, mixpanel: MixpanelEmulator, first: int, end: int) -> None:
    mixpanel.revoke()
    for number in range(first, end):
        person.line.write(OPEN, event(f"event-{number}"), b"user-%d" % number)
    person.line.flush()
    person.scene.wait_until(
        lambda: person.scene.account(ANALYTICS).parked.get("credentials") == end - first, "everything to be parked"
    )

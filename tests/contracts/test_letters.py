"""Dead letters and their topics, as a keeper reads and deletes them: on Kafka, and on the fakes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Letters, LetterTopics
from streams.testing.ports import FakeKafka, FakeLetters, FakeLetterTopics
from tests.topics import claim, make_topics

PATIENCE_SECONDS = 120.0
LETTERS = 10
"""In each of the two partitions."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A topic with ten letters in each of two partitions, and one that is compacted: nothing can be deleted there."""

    topic: str
    compacted: str
    letters: Letters
    topics: LetterTopics
    write: Callable[[str, int], None]

    def read(self, ends: int) -> tuple[list[Message], dict[Partition, int]]:
        """Read until so many partitions told their end."""
        letters: list[Message] = []
        told: dict[Partition, int] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(told) < ends:
            assert time.monotonic() < deadline, f"read {len(letters)} letters, then no end was told"
            page = self.letters.read(500, 0.2)
            letters += page.letters
            told |= page.ends
        return letters, told


def on_kafka(request: pytest.FixtureRequest) -> Iterator[Scene]:
    options = {"bootstrap.servers": request.getfixturevalue("kafka").bootstrap_servers}
    topic, compacted = (f"contract-{uuid4().hex[:8]}" for _ in range(2))
    claim(options["bootstrap.servers"], topic, compacted)
    new = [NewTopic(topic, 2, 1), NewTopic(compacted, 1, 1, config={"cleanup.policy": "compact"})]
    administration = AdminClient(options)
    make_topics(administration, *new)
    producer = Producer(options)

    def write(name: str, partition: int) -> None:
        producer.produce(name, b"letter", b"key", partition=partition)
        assert producer.flush(PATIENCE_SECONDS) == 0

    letters = DeadLetterReader(options, "contract")
    yield filled(Scene(topic, compacted, letters, DeadLetterTopics(options), write))
    letters.close()


def on_fakes() -> Iterator[Scene]:
    kafka = FakeKafka()
    topics = FakeLetterTopics(kafka, 2)
    topics.refusals["compacted"] = "Broker: Policy violation"

    def write(name: str, partition: int) -> None:
        kafka.write(name, b"letter", b"key", partition=partition)

    topics.missing.add("missing")
    yield filled(Scene("letters", "compacted", FakeLetters(kafka), topics, write))


def filled(scene: Scene) -> Scene:
    for number in range(2 * LETTERS):
        scene.write(scene.topic, number % 2)
    scene.write(scene.compacted, 0)
    return scene


@pytest.fixture(params=["fakes", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.apache])])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    yield from on_fakes() if request.param == "fakes" else on_kafka(request)


def offsets(letters: list[Message]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = {}
    for letter in letters:
        found.setdefault(letter.partition(), []).append(letter.offset())
    return found


def test_letters_are_read_from_where_it_is_told_up_to_the_end_that_is_told(scene: Scene) -> None:
    scene.letters.open({(scene.topic, 0): 4, (scene.topic, 1): 0})
    letters, ends = scene.read(2)
    assert offsets(letters) == {0: list(range(4, LETTERS)), 1: list(range(LETTERS))}
    assert ends == {(scene.topic, 0): LETTERS, (scene.topic, 1): LETTERS}


def test_only_the_partitions_that_were_opened_last_are_read(scene: Scene) -> None:
    scene.letters.open({(scene.topic, 0): 0})
    scene.read(1)
    scene.letters.open({(scene.topic, 1): 8})
    letters, ends = scene.read(1)
    assert offsets(letters) == {1: [8, 9]}
    assert ends == {(scene.topic, 1): LETTERS}


def test_an_end_is_told_once_and_again_after_reading_beyond_it(scene: Scene) -> None:
    scene.letters.open({(scene.topic, 0): LETTERS})
    assert scene.read(1) == ([], {(scene.topic, 0): LETTERS})
    page = scene.letters.read(500, 0.2)
    assert (page.letters, page.ends) == ([], {})
    scene.write(scene.topic, 0)
    letters, ends = scene.read(1)
    assert offsets(letters) == {0: [LETTERS]}
    assert ends == {(scene.topic, 0): LETTERS + 1}


def test_deleted_letters_are_not_read_whether_they_were_deleted_before_or_meanwhile(scene: Scene) -> None:
    assert scene.topics.delete_before({(scene.topic, 0): 6}) == {}
    scene.letters.open({(scene.topic, 0): 0})
    letters, _ = scene.read(1)
    assert offsets(letters) == {0: [6, 7, 8, 9]}
    scene.letters.open({(scene.topic, 0): 3})
    letters, _ = scene.read(1)
    assert offsets(letters) == {0: [6, 7, 8, 9]}


def test_all_letters_can_be_deleted_and_the_end_stays(scene: Scene) -> None:
    assert scene.topics.delete_before({(scene.topic, 0): LETTERS}) == {}
    scene.letters.open({(scene.topic, 0): 0})
    assert scene.read(1) == ([], {(scene.topic, 0): LETTERS})


def test_a_deletion_that_fails_says_where_and_why_and_the_others_are_done(scene: Scene) -> None:
    places = {(scene.topic, 0): 5, (scene.topic, 1): LETTERS + 1, (scene.compacted, 0): 1}
    failed = scene.topics.delete_before(places)
    assert set(failed) == {(scene.topic, 1), (scene.compacted, 0)}
    assert all(failed.values())
    scene.letters.open({(scene.topic, 0): 0, (scene.topic, 1): 0})
    letters, _ = scene.read(2)
    assert offsets(letters) == {0: list(range(5, LETTERS)), 1: list(range(LETTERS))}


def test_what_is_deleted_already_may_be_deleted_again(scene: Scene) -> None:
    assert scene.topics.delete_before({(scene.topic, 0): 5}) == {}
    assert scene.topics.delete_before({(scene.topic, 0): 5}) == {}


def test_a_topic_has_its_partitions_and_a_missing_one_has_none(scene: Scene) -> None:
    assert scene.topics.partitions(scene.topic) == [(scene.topic, 0), (scene.topic, 1)]
    assert scene.topics.partitions("missing") == []


def test_a_missing_topic_has_nothing_to_delete_and_the_others_are_done(scene: Scene) -> None:
    assert scene.topics.delete_before({("missing", 0): 5, (scene.topic, 0): 5}) == {}
    assert scene.topics.delete_before({("missing", 0): 5}) == {}
    scene.letters.open({(scene.topic, 0): 0})
    letters, _ = scene.read(1)
    assert offsets(letters) == {0: list(range(5, LETTERS))}


@pytest.mark.kafka
@pytest.mark.apache
def test_a_topic_that_kafka_says_nothing_of_is_not_taken_for_one_that_is_missing(
    request: pytest.FixtureRequest,
) -> None:
    """Else its letters would count as deleted. Kafka answers so for a name that no topic can have."""
    strange = "no/name"
    for scene in on_kafka(request):
        with pytest.raises(KafkaUnreachable, match=strange):
            scene.topics.partitions(strange)
        assert scene.topics.delete_before({(strange, 0): 1, (scene.topic, 0): 6}).keys() == {(strange, 0)}
        scene.letters.open({(scene.topic, 0): 0})
        assert offsets(scene.read(1)[0]) == {0: [6, 7, 8, 9]}

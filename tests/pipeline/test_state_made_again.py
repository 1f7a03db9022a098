"""The state topic is deleted and made again: what keepers know stays, or it is told that it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.adapters.state.requests import KeeperRequests
from streams.config.names import SOURCE
from streams.ports.state import What
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_dead_letters import Person
from tests.pipeline.test_letters_made_again import make_again

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]

ANSWER_SECONDS_MAX = 90.0


@pytest.fixture
def person(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Person]:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        yield Person(line, mixpanel)


def order(person: Person, what: What) -> None:
    keepers = KeeperRequests(person.scene.settings)
    answer = keepers.ask(ANALYTICS, what, {}, who="test", reason="a test", wait_seconds=ANSWER_SECONDS_MAX)
    assert answer.outcome == "done"


def have_keepers(person: Person) -> bool:
    views = person.scene.accounts.state_views()
    return all(views[name].holder is not None for name in (ANALYTICS, SOURCE))


def deliver_until_commits_name_the_state(person: Person) -> set[str]:
    """They do once the sink has seen that a keeper wrote to it."""
    scene, ids = person.scene, set[str]()
    group, topic = scene.settings.groups.sink(ANALYTICS), scene.settings.topics.connector(ANALYTICS)

    def is_named() -> bool:
        ids.update(person.deliver(1))
        return any('"state"' in commit.metadata for commit in scene.administration.commits(group, [topic]).values())

    scene.wait_until(is_named, "a commit that names the state topic")
    return ids


def written_again_by(person: Person) -> set[str]:
    return {line["connector"] for line in person.audited("state written again")}


def test_keepers_that_run_write_what_they_know_onto_the_new_topic(person: Person) -> None:
    scene, sink = person.scene, person.line.processes[ANALYTICS]
    person.deliver(3)
    scene.wait_until(lambda: have_keepers(person), "both keepers")
    order(person, "suspend")
    make_again(scene, scene.settings.topics.state)
    scene.wait_until(lambda: written_again_by(person) == {ANALYTICS, SOURCE}, "both keepers to write what they know")
    assert sink.terminate() == 0
    sink.start()
    person.write(0)
    person.line.flush()
    scene.wait_until(sink.has_partitions, "the sink to start again")
    scene.wait_until(lambda: scene.account(ANALYTICS).waiting == 1, "the record to wait: it stays suspended")
    assert scene.accounts.state_views()[ANALYTICS].state.state == "SUSPENDED"
    order(person, "resume")
    person.settle()
    assert sorted(person.delivered().values()) == [1, 1, 1, 1]
    assert person.audited("state lost") == []


def test_a_state_topic_that_is_lost_while_nothing_runs_is_told_once_and_deliveries_go_on(person: Person) -> None:
    scene, processes = person.scene, person.line.processes
    ids = deliver_until_commits_name_the_state(person)
    person.park(2)
    for process in processes.values():
        assert process.terminate() == 0
    make_again(scene, scene.settings.topics.state)
    for process in processes.values():
        process.start()
    scene.wait_until(lambda: bool(person.audited("state lost")), "the keeper to tell it")
    ids |= person.deliver(2)
    assert person.delivered() == dict.fromkeys(ids, 1)
    verification = scene.verify(ANALYTICS)
    assert (verification.problems, verification.account.parked["rejected"]) == ((), 2)
    assert [line["connector"] for line in person.audited("state lost")] == [ANALYTICS]
    assert "Traceback" not in "".join(scene.logs_whole())

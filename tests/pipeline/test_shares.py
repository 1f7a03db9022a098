"""Who may take how much of an account's rate: live traffic keeps half of it, whatever goes back, and nobody guesses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from streams.testing.processes import Child
from tests.chaos.scene import Scene
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event
from tests.pipeline.test_dead_letters import COMMAND_SECONDS_MAX, Person

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

RATE = 20
"""Records per second. Letters that go back may take half of it."""
AHEAD_SECONDS = 2 * 86_400
"""Mixpanel refuses events of the future by name. Two days later it takes these, and also a probe of now."""
REPLAYED, REDRIVEN, LIVE = 150, 400, 10
BETWEEN = 1.5
"""Letters at half of the rate, and at all of it: what is measured must be nearer to half."""
BURST = 20
"""Letters that may go at once, of both."""
SILENT = """
import sys
from pathlib import Path
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from streams.cli.main import run

topic, asked, answers = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
list_topics = AdminClient.list_topics

def unanswered(client, name=None, **options):
    if name == topic and not answers.exists():
        with asked.open("a") as file:
            file.write("asked\\n")
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return list_topics(client, name, **options) if name else list_topics(client, **options)

AdminClient.list_topics = unanswered
sys.argv = ["streams", *sys.argv[4:]]
run()
"""
"""A sink whose questions for the partitions of one topic no broker answers, until there is a file `answers`."""
QUESTIONS = 3
"""After the first of them the sink has read what waits: between two it asks Kafka for records."""


def set_rate(scene: Scene) -> None:
    content = yaml.safe_load(scene.config.read_text())
    content["connectors"][ANALYTICS]["rate"] = RATE
    scene.config.write_text(yaml.safe_dump(content))


def is_good_again(scene: Scene) -> bool:
    """Have the credentials tried now: once they are good, what they parked goes back."""
    command = [sys.executable, "-m", "streams", "connectors", "probe", ANALYTICS, "--config", str(scene.config)]
    return subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_SECONDS_MAX).returncode == 0


def test_a_redrive_and_a_replay_together_leave_half_of_the_rate_and_live_events_do_not_wait_for_their_end(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        person, scene, sink = Person(line, mixpanel), line.scene, line.processes[ANALYTICS]
        replayed = {person.write(AHEAD_SECONDS) for _ in range(REPLAYED)}
        line.settle()
        assert person.parked() == REPLAYED
        mixpanel.revoke()
        redriven = {person.write(AHEAD_SECONDS) for _ in range(REDRIVEN)}
        line.settle()
        assert scene.account(ANALYTICS).parked["credentials"] == REDRIVEN
        assert sink.terminate() == 0
        mixpanel.shift_time(AHEAD_SECONDS * 1000)
        mixpanel.restore()
        set_rate(scene)
        sink.start()
        scene.wait_until(lambda: is_good_again(scene), "the credentials to be good again")
        replay = person.start("replay", ANALYTICS, "--execute")
        try:
            scene.wait_until(lambda: bool(replayed & person.delivered().keys()), "the replay to begin")
            live = {person.write(0) for _ in range(LIVE)}
            line.flush()
            scene.wait_until(lambda: live <= person.delivered().keys(), "live events to be delivered")
            arrived = person.delivered().keys()
            assert (redriven | replayed) - arrived, "live events waited until all letters were back"
            scene.wait_until(lambda: replayed <= person.delivered().keys(), "the replay to end")
        finally:
            replay.kill()
            replay.communicate()
    taken = [
        (request["received_at_ms"] / 1000, event_id)
        for request in mixpanel.requests()
        if request["status"] == 200
        for event_id in request["record_ids"]
    ]
    times = [at for at, event_id in taken if event_id in replayed]
    began, ended = min(times), max(times)
    back = sum(began <= at <= ended for at, event_id in taken if event_id in replayed | redriven)
    # A busy machine makes this slower, never faster.
    assert back - BURST <= BETWEEN * RATE / 2 * (ended - began)


def test_while_no_broker_says_how_many_partitions_there_are_nothing_of_a_rate_is_taken(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    asked, answers = tmp_path / "asked", tmp_path / "answers"
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        scene = line.scene
        line.write(OPEN, event("event-0"))
        line.settle()
        line.processes[ANALYTICS].kill()
        set_rate(scene)
        for number in range(1, 6):
            line.write(OPEN, event(f"event-{number}"))
        line.flush()
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 6, "everything to be routed")
        topic = scene.settings.topics.connector(ANALYTICS)
        begin = [sys.executable, "-c", SILENT, topic, str(asked), str(answers)]
        command = [*begin, "run", "sink", ANALYTICS, "--config", str(scene.config)]
        sink = Child(command, tmp_path / "silent.log", {**os.environ, "STREAMS_INSTANCE": f"sink-{ANALYTICS}"})
        try:
            scene.wait_until(lambda: questions(asked) >= QUESTIONS, "the sink to ask for the partitions")
            assert scene.account(ANALYTICS).delivered == 1
            assert len(mixpanel.unique()) == 1
            answers.touch()
            scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 6, "everything to be delivered")
        finally:
            sink.stop()
    assert len(mixpanel.unique()) == 6


def questions(asked: Path) -> int:
    return asked.read_text().count("\n") if asked.exists() else 0

"""What a destination answers, over real HTTP: who got what, how often, with which bytes, at which times."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.state.records import ConnectorState
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.pipeline.line import ANALYTICS, CDP, Line, mixpanel_connector, mparticle_connector, running

OPEN = "users.messages.email.Open"


def event(event_id: str, **fields: Any) -> bytes:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    record = sample_record(OPEN, Random(event_id), 1_790_000_000)
    return encode_single_object(schema, {**record, "id": event_id, "external_user_id": "someone", **fields})


def imports(mixpanel: MixpanelEmulator) -> list[dict[str, Any]]:
    return [request for request in mixpanel.requests() if request["path"].startswith("/import")]


@pytest.mark.kafka
@pytest.mark.timeout(360)
@pytest.mark.parametrize(
    ("fault", "seconds_least"),
    [
        ({"status": 503, "count": 2}, 2.0),
        ({"status": 429, "headers": {"Retry-After": "5"}}, 5.0),
        ({"status": 500, "body": "<html>oops</html>", "when": "after"}, 2.0),
        ({"truncate": 5, "when": "after"}, 2.0),
        ({"reset": True, "when": "after"}, 2.0),
    ],
    ids=["503", "429", "500 after it was taken", "cut off", "reset"],
)
def test_a_failing_mixpanel_gets_the_same_bytes_again_after_a_wait(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, fault: dict[str, Any], seconds_least: float
) -> None:
    mixpanel.fail(**fault)
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, event("one"))
        line.settle()
        assert line.scene.account(ANALYTICS).delivered == 1
    requests = imports(mixpanel)
    assert len(requests) == fault.get("count", 1) + 1
    assert len({request["sha256"] for request in requests}) == 1
    for earlier, later in pairwise(requests):
        assert (later["received_at_ms"] - earlier["received_at_ms"]) / 1000 >= seconds_least
    assert [row["properties"]["$insert_id"] for row in mixpanel.unique()] == ["one"]


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_refused_credentials_park_until_they_are_fixed_and_another_connector_goes_on(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    mixpanel.revoke()
    connectors = {
        ANALYTICS: mixpanel_connector(mixpanel, grace="100s"),  # so probes come every 10 s
        CDP: mparticle_connector(mparticle),
    }
    with running(kafka, tmp_path, connectors) as line:
        for number in range(20):
            line.write(OPEN, event(f"event-{number}"))
        settle_one(line, CDP, 20)
        scene = line.scene
        scene.wait_until(lambda: scene.account(ANALYTICS).parked.get("credentials") == 20, "everything to be parked")
        view = scene.accounts.state_views()[ANALYTICS]
        assert (view.scope("default").state, view.state.state) == ("INVALID", "RUNNING")
        assert (scene.account(ANALYTICS).delivered, scene.account(ANALYTICS).waiting) == (0, 0)
        assert scene.administration.members(scene.settings.groups.sink(ANALYTICS)) == 1
        mixpanel.restore()
        settle_one(line, ANALYTICS, 20)
        account = scene.account(ANALYTICS)
        assert (account.waiting, dict(account.parked)) == (0, {"credentials": 0})
        assert len(mixpanel.unique()) == 20
        assert scene.verify(ANALYTICS).problems == ()
        written = "".join(process.log.read_text(errors="replace") for process in line.processes.values())
        assert "credentials INVALID" in written
        secrets = [mixpanel.project_token, *(one.secret for one in mparticle.feeds.values())]
        for hidden in ["someone", "@example", *secrets]:
            assert hidden not in written


def settle_one(line: Line, connector: str, delivered: int) -> None:
    def is_there() -> bool:
        return line.scene.account(connector).delivered == delivered

    line.flush()
    line.scene.wait_until(is_there, f"{connector} to deliver {delivered}")


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_a_wrong_address_suspends_and_parks_nothing(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> None:
    connector = mixpanel_connector(mixpanel, base_url=f"{mixpanel.base_url}/nowhere")
    with running(kafka, tmp_path, {ANALYTICS: connector}) as line:
        line.write(OPEN, event("one"))
        line.flush()
        scene = line.scene

        def state() -> ConnectorState:
            return scene.accounts.state_views()[ANALYTICS].state

        scene.wait_until(lambda: state().state == "SUSPENDED", "the suspension to be shown")
        assert state().by == "configuration"
        assert scene.account(ANALYTICS).waiting == 1
        assert scene.read(scene.settings.topics.dead_letter_rejected(ANALYTICS)) == []


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_one_refused_record_is_parked_and_the_others_are_sent_once(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        for number in range(50):
            line.write(OPEN, event(f"event-{number}", **({"time": 2**31 - 1} if number == 17 else {})))
        line.settle()
        account = line.scene.account(ANALYTICS)
    assert (account.delivered, dict(account.parked)) == (49, {"rejected": 1})
    assert len(mixpanel.rows()) == 49
    assert mixpanel.retried_400() == []


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_sinks_that_are_stopped_and_started_under_load_send_nothing_twice(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        sink = line.processes[ANALYTICS]
        for number in range(6_000):
            line.write(OPEN, event(f"event-{number}"))
            if number % 2_000 == 1_000:
                line.flush()
                line.scene.wait_until(sink.has_partitions, "the sink to be there")
                line.scene.wait_until(lambda: line.scene.account(ANALYTICS).routed > 0, "something to deliver")
                assert sink.terminate() == 0, line.scene.logs()
                sink.start()
        line.settle()
    ids = [row["properties"]["$insert_id"] for row in mixpanel.rows()]
    assert len(ids) == len(set(ids)) == 6_000


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_a_connector_that_is_resumed_sends_at_once_whatever_an_older_answer_asked(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    """The destination asked for more than any test waits."""
    mixpanel.fail(status=429, headers={"Retry-After": "900"})
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, event("one"))
        line.flush()
        scene = line.scene
        scene.wait_until(lambda: len(imports(mixpanel)) == 1, "the request that is refused")
        scene.wait_until(lambda: bool(back_offs(line)), "the sink to wait")
        for order, said in (("suspend", "connector SUSPENDED"), ("resume", "connector RUNNING")):
            ordered(line, order)
            scene.wait_until(lambda said=said: said in line.processes[ANALYTICS].log.read_text(), order)  # type: ignore[misc]
        line.settle()
        assert scene.account(ANALYTICS).delivered == 1
    assert len(imports(mixpanel)) == 2


def back_offs(line: Line) -> dict[str, Any]:
    view = line.scene.accounts.state_views()[ANALYTICS]
    return dict(view.back_offs(int(time.time() * 1000)))


def ordered(line: Line, order: str) -> None:
    command = [sys.executable, "-m", "streams", "connectors", order, ANALYTICS, "--config", str(line.scene.config)]
    subprocess.run([*command, "--reason", "a test"], check=True, capture_output=True, timeout=120)

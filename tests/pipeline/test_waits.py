"""Whatever stands is seen: a router behind an open transaction, one that waits for a schema, a sink that backs off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]

OPEN_MS_MAX = 600_000


def asked(line: Line, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams", *arguments, "--output", "json", "--config", str(line.scene.config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
    return dict(json.loads(result.stdout))


def seen(line: Line, ask: Callable[[], Any], holds: Callable[[Any], bool] = bool) -> Any:
    """What the command answers, as soon as it tells what is waited for: the next answer may be another."""
    newest: list[Any] = []

    def is_told() -> bool:
        newest[:] = [ask()]
        return holds(newest[0])

    line.scene.wait_until(is_told, "it to be told")
    return newest[0]


@pytest.mark.apache
def test_a_router_behind_an_open_transaction_is_seen_and_so_is_its_end(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, event("first"))
        line.settle()
        topic = line.scene.source_prefix + OPEN
        # The broker ends a transaction that is open for longer; by default that is after a minute.
        options = {"transactional.id": f"somebody-{topic}", "transaction.timeout.ms": OPEN_MS_MAX}
        other = Producer({"bootstrap.servers": kafka.bootstrap_servers, **options})
        other.init_transactions(60)
        other.begin_transaction()
        other.produce(topic, event("not committed"))
        other.flush(60)
        for number in range(5):
            line.write(OPEN, event(f"behind-{number}"))
        line.flush()
        router = seen(line, lambda: asked(line, "connectors", "list")["router"], lambda found: found["members"] == 1)
        assert (router["state"], router["account"]["read"]) == ("RUNNING", 1)
        assert router["lag"]["records"] == 6
        assert router["lag"]["seconds"] is not None
        assert [one["held"] for one in router["lag"]["topics"] if one["topic"] == topic] == [1]
        assert router["next"].startswith("kafka-transactions.sh")
        other.abort_transaction(60)
        line.scene.wait_until(lambda: line.scene.router_counts().read == 6, "what stood behind it to be routed")
        router = seen(line, lambda: asked(line, "connectors", "show", "router"), lambda found: found["members"] == 1)
        assert (router["lag"]["records"], router["lag"]["seconds"]) == (0, None)
        seen(line, lambda: asked(line, "connectors", "show", "source"), lambda found: found == router)


def test_a_router_that_waits_for_a_schema_says_which_and_where(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    connectors = {ANALYTICS: mixpanel_connector(mixpanel)}
    with running(kafka, tmp_path, connectors, {"unknown_schema_wait": "5m"}) as line:
        line.write(OPEN, b"\xc3\x01" + bytes(8) + b"nobody knows it")
        line.flush()
        seen(line, lambda: asked(line, "connectors", "show", "router")["waits"])
        (wait,) = seen(line, lambda: asked(line, "connectors", "list")["router"]["waits"])
        assert (wait["partition"], wait["offset"], wait["why"]) == (f"{line.scene.source_prefix}{OPEN}/0", 0, "schema")
        assert "0000000000000000" in wait["detail"]
        what = f"partition {wait['partition']}"
        (finding,) = seen(line, lambda: [one for one in asked(line, "doctor")["findings"] if one["what"] == what])
        assert finding["fix"] == "streams schemas add FILE"


def test_a_sink_that_backs_off_says_since_when_and_what_was_answered(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        mixpanel.fail(status=503, count=1_000)
        line.write(OPEN, event("first"))
        line.flush()

        def back_off() -> Any:
            return asked(line, "connectors", "show", ANALYTICS)["scopes"]["default"]["back_off"]

        found = seen(line, back_off)
        assert (found["status"], found["since"][:2], found["next_try"] is None) == (503, "20", False)

        def steps() -> list[Any]:
            (record,) = asked(line, "explain", "first")["records"]
            found = record["connectors"].get(ANALYTICS, {"steps": []})["steps"]
            return [one for one in found if "backing off" in one["detail"]]

        (step,) = seen(line, steps)
        assert "scope default is backing off since" in step["detail"]
        assert "last answer 503" in step["detail"]
        mixpanel.clear_faults()
        line.settle()
        line.scene.wait_until(lambda: back_off() is None, "the back-off to be taken back")

"""Inlets of both kinds and no connectors: by `streams run all`, and as the compose file runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from confluent_kafka import Producer

from streams.adapters.kafka.admin import Administration
from streams.delivery.letter import INLET_HEADER, Reason, letter_headers
from streams.testing.brokers import Broker
from streams.testing.processes import Child, free_port
from tests.helm.chart import ROOT
from tests.helm.test_compose import FOLDER, SERVICES
from tests.topics import claim
from tests.waiting import wait_until

pytestmark = [pytest.mark.apache, pytest.mark.timeout(500)]

FEED_EVENTS = 20


class Installation:
    """The configuration of the compose file's inlets, with a broker, ports and names of this test's own."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        claim(broker.bootstrap_servers, self.prefix)
        self.bootstrap_servers = broker.bootstrap_servers
        content: dict[str, Any] = yaml.safe_load((FOLDER / "inlets.yaml").read_text())
        content["kafka"] |= {"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": f"{self.prefix}."}
        content["source"] = {"topics": [f"^{self.prefix}-currents"], "topic_prefix": f"{self.prefix}-currents."}
        content["receiver"] |= {"port": self.port, "public_url": f"http://127.0.0.1:{self.port}"}
        content["inlets"]["braze-folder"] |= {
            "url": f"file://{ROOT}/compose/exports",
            "scratch": str(folder / "scratch"),
        }
        self.config = folder / "streams.yaml"
        self.config.write_text(yaml.safe_dump(content))
        self.children: list[Child] = []

    def command(self, words: Sequence[str]) -> list[str]:
        """A command of the compose file, here."""
        own = [word.replace("receiver-inlets:8089", f"127.0.0.1:{self.port}") for word in words]
        return [sys.executable, "-m", "streams", *own]

    def environment(self, **more: str) -> dict[str, str]:
        return {"STREAMS_CONFIG": str(self.config), **more}

    def start(self, name: str, words: Sequence[str], **variables: str) -> Child:
        child = Child(self.command(words), self.folder / f"{name}.log", self.environment(**variables))
        self.children.append(child)
        return child

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        import os

        environment = {**os.environ, **self.environment()}
        return subprocess.run(
            self.command(words), env=environment, capture_output=True, text=True, timeout=200, check=False
        )

    def folder_inlet(self) -> dict[str, Any]:
        """As `streams inlets list` tells it."""
        told = self.run(["inlets", "list", "-o", "json"])
        assert told.returncode == 0, told.stderr
        (one,) = json.loads(told.stdout)["inlets"]
        return dict(one)

    def topics(self) -> set[str]:
        """Event types that have a topic."""
        prefix = f"{self.prefix}-currents."
        names = Administration({"bootstrap.servers": self.bootstrap_servers}).topic_names()
        return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}

    def last_lines(self) -> str:
        return "\n".join(child.last_lines(4) for child in self.children)


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka, tmp_path)
    yield installation
    for child in installation.children:
        child.kill()


def feed_words() -> list[str]:
    words = list(SERVICES["braze-feed"]["command"])
    words[words.index("--events") + 1] = str(FEED_EVENTS)
    return words


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def has_taken_the_file(port: int) -> bool:
    """Whether the process that serves its metrics here has taken the one file of the folder."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return b'streams_inlet_files_total{inlet="braze-folder"} 1.0' in answer.read()


def assert_everything_arrives(installation: Installation, ports: Sequence[int]) -> None:
    fed = installation.run(feed_words())
    assert (fed.returncode, f"delivered  {FEED_EVENTS}" in fed.stdout) == (0, True), fed.stdout + fed.stderr
    wait_until(lambda: any(map(has_taken_the_file, ports)), f"the folder's file: {installation.last_lines()}", 200)

    def is_told() -> bool:
        found = installation.folder_inlet()
        return (found["state"], found["taken"], found["parked"]) == ("active", 1, [])

    wait_until(is_told, "the list of inlets to tell of it, which reads what is marked as committed")
    assert "users.messages.email.Open" in installation.topics()


def park_over_http(installation: Installation, value: bytes) -> None:
    """A dead letter as the receiver writes it, which a program that reads more can read."""
    reason = Reason("undecodable", 0, "it cannot be read", "", "", 0, 1_790_000_000_000)
    producer = Producer({"bootstrap.servers": installation.bootstrap_servers})
    headers: list[tuple[str, str | bytes | None]] = [*letter_headers([(INLET_HEADER, b"braze-http")], None, reason)]
    producer.produce(f"{installation.prefix}.dead-letter.source", value, headers=headers)
    assert producer.flush(60) == 0


def test_run_all_runs_inlets_of_both_kinds_and_a_router_that_keeps_their_letters_without_any_connector(
    installation: Installation,
) -> None:
    everything = installation.start("all", ["run", "all", "--http-port", "0"])
    log = everything.log

    def ports() -> list[int]:
        """Of health and metrics."""
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return [line["port"] for line in lines if line["event"] == "listening" and line["port"] != installation.port]

    wait_until(lambda: len(ports()) == 3 and all(map(is_ready, ports())), "all three are ready", 200)
    assert_everything_arrives(installation, ports())
    park_over_http(installation, b'{"event_type": "users.messages.sms.Send", "id": "late", "time": 1}')
    park_over_http(installation, b"no json")
    replayed = installation.run(["dlq", "replay", "source", "--execute"])
    assert "1 of 2" in replayed.stdout + replayed.stderr, replayed.stdout + replayed.stderr
    assert "users.messages.sms.Send" in installation.topics(), "it is written to its Currents topic"
    purged = installation.run(["dlq", "purge", "source", "--execute", "--reason", "they are of a test"])
    assert purged.returncode == 0, purged.stdout + purged.stderr
    router = json.loads(installation.run(["connectors", "list", "-o", "json"]).stdout)["router"]
    assert (router["state"], router["letters"]) == ("RUNNING", 0)
    assert everything.is_running(), everything.last_lines()
    everything.stop()
    assert "Traceback" not in log.read_text()


def test_the_compose_files_commands_and_variables_are_what_the_program_takes(installation: Installation) -> None:
    assert installation.run(SERVICES["topics-inlets"]["command"]).returncode == 0
    ports = {name: free_port() for name in ("ingest", "receiver-inlets")}
    for name, port in ports.items():
        variables = {**SERVICES[name].get("environment", {}), "STREAMS_HTTP_PORT": str(port)}
        variables.pop("STREAMS_CONFIG")
        installation.start(name, SERVICES[name]["command"], **variables)
    wait_until(lambda: all(map(is_ready, ports.values())), f"both are ready: {installation.last_lines()}", 200)
    assert_everything_arrives(installation, list(ports.values()))

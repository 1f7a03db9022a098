"""Brokers to test on: one that is given, a container, Apache Kafka from its jars, or an embedded one.

    with choose() as broker:
        ...  # broker.bootstrap_servers, broker.is_apache, broker.why

    with embedded() as broker:
        ...  # starts in a second, needs neither Docker nor Java, and is not Apache Kafka

Claims about transactions, groups, offsets and deletion are proved on Apache Kafka only: the embedded broker accepts
some calls that Apache Kafka refuses.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streams.testing import paced_relay
from streams.testing.kafka import (
    SETTINGS,
    JarsUnavailable,
    Node,
    NodeOptions,
    Protocol,
    jars,
    java,
    kafka_version,
)
from streams.testing.lifetime import Startable
from streams.testing.processes import Child, free_port

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

Kind = Literal["given", "docker", "apache", "embedded"]

IMAGE = "apache/kafka"
START_SECONDS_MAX = 180.0
"""A busy machine starts a Java in a minute. A broker that ends by itself is noticed at once."""
DOCKER_ANSWER_SECONDS_MAX = 60.0
"""Only for a daemon that hangs: one that is away is told at once."""


class NoBroker(Exception):
    """None of the kinds that are allowed can be had here; the text says why for each."""


class BrokerFailed(Exception):
    """A broker did not start; the text ends with what it wrote last."""


class Broker(Startable):
    """A broker that runs, or that runs between `start` and `stop`. The class itself: one that others start and stop."""

    def __init__(self, kind: Kind, bootstrap_servers: str, *, is_apache: bool, why: str = "") -> None:
        self.kind: Kind = kind
        self.bootstrap_servers = bootstrap_servers
        """Where clients begin; empty until a broker of ours was started."""
        self.is_apache = is_apache
        self.why = why
        """A sentence: why this kind and no other."""

    def start(self) -> None:
        """Return when it answers. Raises `BrokerFailed`."""

    def stop(self) -> None:
        """End it, and remove its data."""

    def restart(self) -> None:
        """Stop and start it with the same data at the same address."""
        raise BrokerFailed(f"a broker of kind `{self.kind}` cannot be restarted from here")

    def __str__(self) -> str:
        return f"{self.kind} ({self.why})" if self.why else self.kind


class ApacheKafka(Broker):
    """One KRaft node of Apache Kafka, from jars, in a folder of its own. Plain text on the loopback is always there."""

    def __init__(self, libraries: Path, why: str = "", options: NodeOptions | None = None) -> None:
        super().__init__("apache", "", is_apache=True, why=why)
        self._libraries = libraries
        self._options = options
        self._folder: Path | None = None
        self._node: Node | None = None

    def start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="streams-kafka-"))
        try:
            self._node = Node(self._libraries, self._folder, self._options)
            self._node.format()
            self.bootstrap_servers = f"127.0.0.1:{self._node.port}"
            _wait_until_answers(self.bootstrap_servers, self._node.start())
        except JarsUnavailable as error:
            self.stop()
            raise BrokerFailed(str(error)) from error
        except BaseException:  # Ctrl-C, too: nothing may be left behind
            self.stop()
            raise

    def address(self, protocol: Protocol) -> str:
        """Where clients of this protocol begin, once it was started with a listener for it."""
        assert self._node is not None, "asked before it was started"
        return f"127.0.0.1:{self._node.ports[protocol]}"

    @property
    def log(self) -> Path:
        """What the node writes, once it was started."""
        assert self._node is not None, "asked before it was started"
        return self._node.log

    def restart(self) -> None:
        assert self._node is not None, "restarted before it was started"
        self._node.stop()
        _wait_until_answers(self.bootstrap_servers, self._node.start())

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nothing answers, until `thaw`."""
        assert self._node is not None, "frozen before it was started"
        self._node.freeze()

    def thaw(self) -> None:
        assert self._node is not None, "thawed before it was started"
        self._node.thaw()

    def stop(self) -> None:
        if self._node is not None:
            self._node.thaw()
            self._node.stop()
            self._node = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class EmbeddedBroker(Broker):
    """The broker that noida-db brings: no transactions' finer rules, no KIP-848, no Docker, no Java."""

    def __init__(self, why: str = "") -> None:
        super().__init__("embedded", "", is_apache=False, why=why)
        self._folder: Path | None = None
        self._child: Child | None = None
        self._relay: Child | None = None

    def start(self) -> None:
        program = _embedded_program()
        if program is None:
            raise BrokerFailed(
                f"the embedded Kafka is not installed: {sys.executable} -m pip install 'currents-streams[demo]'"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="streams-embedded-"))
        port, relay_port = free_port(), free_port()
        self.bootstrap_servers = f"127.0.0.1:{relay_port}"
        self._command = [str(program), "start", "--only", "kafka", "--kafka-port", str(port)]
        self._command += ["--data-dir", str(self._folder / "data")]
        relay = [sys.executable, "-I", paced_relay.__file__, str(relay_port), str(port)]
        try:
            self._relay = Child(relay, self._folder / "relay.log")
            self._begin()
        except BaseException:  # Ctrl-C, too: nothing may be left behind
            self.stop()
            raise

    def restart(self) -> None:
        assert self._child is not None, "restarted before it was started"
        self._child.stop()
        self._begin()

    def stop(self) -> None:
        for child in (self._relay, self._child):
            if child is not None:
                child.stop()
        self._relay = self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _begin(self) -> None:
        assert self._folder is not None
        self._child = Child(self._command, self._folder / "broker.log")
        _wait_until_answers(self.bootstrap_servers, self._child)


class DockerBroker(Broker):
    """Apache Kafka in a container, at a port that is chosen first: what it advertises must be known before it runs."""

    def __init__(self, why: str = "", settings: Mapping[str, str] | None = None) -> None:
        super().__init__("docker", "", is_apache=True, why=why)
        self._settings = settings or {}
        self._container: DockerContainer | None = None

    def start(self) -> None:
        from testcontainers.core.container import DockerContainer

        port = free_port()
        container = DockerContainer(f"{IMAGE}:{kafka_version()}").with_bind_ports(port, port)
        for name, value in _container_settings(port, self._settings).items():
            container = container.with_env(name, value)
        self._container = container.start()
        self.bootstrap_servers = f"127.0.0.1:{port}"
        try:
            _wait_until_answers(self.bootstrap_servers, None)
        except BrokerFailed:
            self.stop()
            raise

    def restart(self) -> None:
        assert self._container is not None, "restarted before it was started"
        self._container.get_wrapped_container().restart()
        _wait_until_answers(self.bootstrap_servers, None)

    def stop(self) -> None:
        if self._container is not None:
            self._container.stop()
            self._container = None


def choose(environment: Mapping[str, str] = os.environ, settings: Mapping[str, str] | None = None) -> Broker:
    """The best broker that can be had here, not started yet. Raises `NoBroker`.

    `KAFKA_BOOTSTRAP` names one that runs. `REQUIRE_BROKER=apache` allows Apache Kafka only; a given broker is taken
    for one. `settings` are for an Apache Kafka that we start, and win over those for tests.
    """
    required = environment.get("REQUIRE_BROKER", "")
    if required not in ("", "apache"):
        raise NoBroker(f"REQUIRE_BROKER={required} is not known: `apache` is what may be required")
    if given := environment.get("KAFKA_BOOTSTRAP"):
        return Broker("given", given, is_apache=True, why="KAFKA_BOOTSTRAP names it; taken to be Apache Kafka")
    problems = []
    if (problem := _docker_problem()) is None:
        return DockerBroker("a Docker daemon answers", settings)
    problems.append(problem)
    try:
        java()
        why = f"{problem}; Java runs Apache Kafka {kafka_version(environment)} from its jars"
        return ApacheKafka(jars(environment), why, NodeOptions(settings=settings or {}))
    except JarsUnavailable as error:
        problems.append(str(error))
    if required == "apache":
        raise NoBroker(f"REQUIRE_BROKER=apache, but {'; '.join(problems)}")
    if _embedded_program() is not None:
        return EmbeddedBroker("; ".join(problems))
    raise NoBroker("; ".join([*problems, "noida-db is not installed"]))


def embedded() -> EmbeddedBroker:
    """An embedded broker of one's own: for demos, and tests that claim nothing about Apache Kafka."""
    return EmbeddedBroker("asked for")


def _embedded_program() -> Path | None:
    found = importlib.util.find_spec("noida_db")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "noida-db"
    return program if os.access(program, os.X_OK) else None


def _docker_problem() -> str | None:
    if importlib.util.find_spec("testcontainers") is None:
        return "testcontainers is not installed"
    # By the command: the library leaves its socket open where no daemon listens.
    program = shutil.which("docker")
    if program is None:
        return "there is no Docker"
    try:
        answer = subprocess.run(  # noqa: S603 - the Docker that PATH names
            [program, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=DOCKER_ANSWER_SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "the Docker daemon does not answer"
    return None if answer.returncode == 0 else "no Docker daemon answers"


def _container_settings(port: int, wanted: Mapping[str, str]) -> dict[str, str]:
    settings = {
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    }
    named = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in {**SETTINGS, **wanted}.items()}
    return {**named, **settings}


def _wait_until_answers(bootstrap_servers: str, child: Child | None) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _answers(bootstrap_servers):
        if child is not None and not child.is_running():
            raise BrokerFailed(f"the broker ended before it answered:\n{child.last_lines()}")
        if time.monotonic() >= deadline:
            wrote = "" if child is None else f":\n{child.last_lines()}"
            raise BrokerFailed(f"the broker did not answer within {START_SECONDS_MAX:.0f} s{wrote}")
        time.sleep(0.1)


def _answers(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    try:
        return bool(AdminClient(quiet).list_topics(timeout=2).brokers)
    except KafkaException:
        return False

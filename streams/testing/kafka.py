"""Apache Kafka without Docker: its jars from Maven Central, KRaft nodes on the loopback.

The jars are downloaded once, to `$STREAMS_CACHE` (else `~/.cache/currents-streams`). Java 17 or later runs them;
Maven is needed for the download only. `KAFKA_VERSION` names another version than ours.
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

from streams.testing.processes import Child, free_port

KAFKA_VERSION = "4.1.1"
"""Where `$KAFKA_VERSION` names no other."""
VERSION = re.compile(r"\d+\.\d+\.\d+")
SLF4J_VERSION = "1.7.36"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
JAVA_VERSION_MIN = 17
"""Kafka 4's brokers need it."""
DOWNLOAD_SECONDS_MAX = 900.0
ANSWER_SECONDS_MAX = FORMAT_SECONDS_MAX = 180.0
"""A busy machine starts a Java in a minute."""
HEAP_MEGABYTES_MAX = 1024

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streams</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>SLF4J_VERSION</version>
    </dependency>
  </dependencies>
</project>
"""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # One node: every internal topic has one replica, and few partitions, so that it starts quickly.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A topic that was never created is a mistake that a test should see.
    "auto.create.topics.enable": "false",
    # Tests wait for rebalances, killed members and retention: short, not instant.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "0",
}

CLUSTER_NODES_MIN = 3
"""With fewer nodes, no majority is left when one is away."""
CLUSTER_REPLICAS, CLUSTER_REPLICAS_IN_SYNC_MIN = 3, 2
CLUSTER_SETTINGS = {
    # As production has it: every record has three replicas, and writes go on while one broker is away.
    "default.replication.factor": str(CLUSTER_REPLICAS),
    "min.insync.replicas": str(CLUSTER_REPLICAS_IN_SYNC_MIN),
    "offsets.topic.replication.factor": str(CLUSTER_REPLICAS),
    "transaction.state.log.replication.factor": str(CLUSTER_REPLICAS),
    "transaction.state.log.min.isr": str(CLUSTER_REPLICAS_IN_SYNC_MIN),
    "share.coordinator.state.topic.replication.factor": str(CLUSTER_REPLICAS),
    "share.coordinator.state.topic.min.isr": str(CLUSTER_REPLICAS_IN_SYNC_MIN),
    # A broker that is away is noticed within seconds: tests wait for it. Kafka's default is 9 s, and 30 s for replicas.
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "5000",
}

Protocol = Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
"""How clients may reach a node, other than by plain text."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a node has in addition: a listener for each protocol, settings that win over ours, options of Java."""

    protocols: Sequence[Protocol] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    java_options: Sequence[str] = ()
    heap_megabytes_max: int = HEAP_MEGABYTES_MAX


def new_cluster_id() -> str:
    """A random name for a cluster, which all of its nodes are formatted with."""
    # The zero byte in front becomes a letter: the tool takes a text that begins with a dash for an option.
    return base64.urlsafe_b64encode(b"\0" + uuid4().bytes[1:]).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Membership:
    """Which node of which cluster one is. `controllers` has the port of each node's controller, by node id."""

    cluster_id: str
    node_id: int
    controllers: Mapping[int, int]

    @property
    def settings(self) -> dict[str, str]:
        """What the node's configuration says about the cluster. Of three nodes or more, one may be away."""
        voters = ",".join(f"{node_id}@127.0.0.1:{port}" for node_id, port in self.controllers.items())
        own = {"node.id": str(self.node_id), "controller.quorum.voters": voters}
        return own if len(self.controllers) < CLUSTER_NODES_MIN else {**own, **CLUSTER_SETTINGS}


def alone() -> Membership:
    """The only node of a new cluster."""
    return Membership(new_cluster_id(), 1, {1: free_port()})


class JarsUnavailable(Exception):
    """Apache Kafka cannot be had here; the text is why."""


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where downloads are kept: `$STREAMS_CACHE`, else `~/.cache/currents-streams`."""
    named = environment.get("STREAMS_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "currents-streams"


def kafka_version(environment: Mapping[str, str] = os.environ) -> str:
    """The version of Apache Kafka that is run: `$KAFKA_VERSION`, else ours. Raises `JarsUnavailable`."""
    version = environment.get("KAFKA_VERSION", "") or KAFKA_VERSION
    if VERSION.fullmatch(version) is None:
        raise JarsUnavailable(f"KAFKA_VERSION={version} is not a version of Apache Kafka: write it as {KAFKA_VERSION}")
    return version


def _run(command: Sequence[str], seconds_max: float) -> subprocess.CompletedProcess[str]:
    """What a command of this machine says. Raises `TimeoutExpired`."""
    return subprocess.run(  # noqa: S603 - the Java or Maven that PATH names
        command, capture_output=True, text=True, timeout=seconds_max, check=False, stdin=subprocess.DEVNULL
    )


def java() -> str:
    """The path of a Java that runs Kafka. Raises `JarsUnavailable`."""
    found = shutil.which("java")
    if found is None:
        raise JarsUnavailable("there is no Java")
    try:
        answer = _run([found, "-version"], ANSWER_SECONDS_MAX)
    except subprocess.TimeoutExpired as error:
        raise JarsUnavailable("`java -version` does not answer") from error
    version = re.search(r'version "(\d+)', answer.stderr)
    if answer.returncode != 0 or version is None or int(version[1]) < JAVA_VERSION_MIN:
        raise JarsUnavailable(f"Java {JAVA_VERSION_MIN} or later is needed, `java -version` names none")
    return found


def jars(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of Kafka's jars, downloaded at the first call on a machine. Raises `JarsUnavailable`."""
    version = kafka_version(environment)
    folder = cache_folder(environment) / f"kafka-{version}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsUnavailable(f"there is no Maven to fetch Kafka's jars, and they are not in {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _download(maven, version, folder)
    return folder


def _download(maven: str, version: str, folder: Path) -> None:
    # Into a folder next to it and then renamed, so that a download cut short is never taken for a whole one.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="download-") as name:
        work = Path(name)
        pom = POM.replace("KAFKA_VERSION", version).replace("SLF4J_VERSION", SLF4J_VERSION)
        (work / "pom.xml").write_text(pom)
        command = [maven, "-q", "-B", "-f", str(work / "pom.xml"), COPY_DEPENDENCIES]
        try:
            result = _run(
                [*command, f"-DoutputDirectory={work / 'jars'}", "-DincludeScope=runtime"], DOWNLOAD_SECONDS_MAX
            )
        except subprocess.TimeoutExpired as error:
            raise JarsUnavailable(f"Maven did not finish within {DOWNLOAD_SECONDS_MAX:.0f} s") from error
        if result.returncode != 0:
            lines = (result.stdout + result.stderr).strip().splitlines()
            raise JarsUnavailable(f"Maven could not fetch Kafka's jars: {lines[0] if lines else 'it does not say why'}")
        (work / "jars").rename(folder)


class Node:
    """One broker and controller in one process, its data in a folder of its own. `ports` has those of its listeners."""

    def __init__(
        self,
        libraries: Path,
        folder: Path,
        options: NodeOptions | None = None,
        membership: Membership | None = None,
    ) -> None:
        """`folder` is there. With no `membership` it is a cluster of its own."""
        options, self._membership = options or NodeOptions(), membership or alone()
        self.port = free_port()
        self.ports: dict[str, int] = {protocol: free_port() for protocol in options.protocols}
        self._java = [java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Xmx{options.heap_megabytes_max}m"]
        self._java += [*options.java_options, "-cp", f"{libraries}/*"]
        self._folder = folder
        self._child: Child | None = None
        controller = self._membership.controllers[self._membership.node_id]
        addresses = {"PLAINTEXT": self.port, **self.ports}
        clients = ",".join(f"{protocol}://127.0.0.1:{port}" for protocol, port in addresses.items())
        protocol_map = SETTINGS["listener.security.protocol.map"]
        settings = {
            **SETTINGS,
            **self._membership.settings,
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": ",".join([protocol_map, *(f"{name}:{name}" for name in self.ports)]),
            "log.dirs": str(folder / "data"),
            **options.settings,
        }
        self._properties = folder / "server.properties"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @property
    def log(self) -> Path:
        """What the node writes."""
        return self._folder / "kafka.log"

    def format(self) -> None:
        """Lay out the data folder. Raises `JarsUnavailable` with what the tool says."""
        storage = ["kafka.tools.StorageTool", "format", "-t", self._membership.cluster_id]
        command = [*self._java, *storage, "-c", str(self._properties)]
        result = subprocess.run(  # noqa: S603 - our own command
            command,
            capture_output=True,
            text=True,
            timeout=FORMAT_SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if result.returncode != 0:
            raise JarsUnavailable(f"Kafka's storage tool failed: {(result.stdout + result.stderr).strip()[-500:]}")

    def start(self) -> Child:
        """Start it; the caller waits until it answers."""
        self._child = Child([*self._java, "kafka.Kafka", str(self._properties)], self.log)
        return self._child

    def stop(self) -> None:
        """SIGTERM: partitions go to other brokers first, where there are some."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """SIGKILL; what it wrote stays in its folder."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nothing answers. To the others it is cut off from the network."""
        if self._child is not None:
            self._child.freeze()

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        if self._child is not None:
            self._child.thaw()

    @property
    def child(self) -> Child | None:
        """The process, while it runs or is frozen."""
        return self._child

"""A stage for chaos: topics and a configuration of their own, processes to kill, and topics read to their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streams.adapters.kafka.admin import Administration
from streams.cli.assembly.installation import connect, connected
from streams.config import Settings, load, topology
from streams.delivery.account import Account, RouterCounts
from streams.operations.accounts import Accounts
from streams.operations.verification import Verification, verify
from streams.ports.errors import KafkaUnreachable
from tests.topics import remove_topics

PATIENCE_SECONDS = 120.0
ISOLATIONS = ("read_committed", "read_uncommitted")
CLASSIC_OPTIONS = {"session.timeout.ms": 5_000, "heartbeat.interval.ms": 500}
"""A killed member's partitions come back after 5 s: the default of 10 s would only make the run longer, and on a busy
machine a broker may take more than 2 s for an answer.

With `group_protocol: consumer` the broker decides: after 45 s.
"""


@dataclass(frozen=True, slots=True)
class Read:
    """One record as a read_committed reader sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> bytes | None:
        return dict(self.headers).get(name)


class WorkerProcess:
    """`streams run …` in a process of its own, which a test may kill and start again."""

    def __init__(self, command: list[str], config: Path, instance: str, log: Path, log_level: str = "info") -> None:
        common = ["--config", str(config), "--with-parent", str(os.getpid())]
        self._command = [sys.executable, "-m", "streams", "run", *command, *common]
        self._environment = {**os.environ, "STREAMS_INSTANCE": instance, "STREAMS_LOG_LEVEL": log_level}
        self.log = log
        self.instance = instance
        self._process: subprocess.Popen[bytes] | None = None
        self._zombies: list[subprocess.Popen[bytes]] = []
        self._started_at = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._started_at = log.tell()
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL: no goodbye, no last commit."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(120)

    def freeze(self) -> None:
        """SIGSTOP: Kafka takes it for dead, and it does not know."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def replace(self) -> None:
        """Freeze it, and start another with the same name: what was frozen is a zombie from then on."""
        assert self._process is not None
        self.freeze()
        self._zombies.append(self._process)
        self.start()

    def wake_zombies(self) -> None:
        """Let those that were replaced go on."""
        for zombie in self._zombies:
            zombie.send_signal(signal.SIGCONT)

    def end_zombies(self) -> list[int]:
        """Kill the zombies that are left; the exit codes of those that had ended by themselves."""
        codes = [code for zombie in self._zombies if (code := zombie.poll()) is not None]
        for zombie in self._zombies:
            zombie.kill()
            zombie.wait()
        self._zombies.clear()
        return codes

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """The last lines of its log, without the client's chatter."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if "|FAIL|" not in line and "|CONFWARN|" not in line][-4:])

    def has_partitions(self) -> bool:
        """Whether it was assigned partitions since it was started last."""
        return any("partitions assigned" in line for line in self.whole_lines())

    def whole_lines(self) -> list[str]:
        """What it logged since it was started last, without a line that is just being written."""
        with self.log.open("rb") as log:
            log.seek(self._started_at)
            return log.read().decode(errors="replace").rpartition("\n")[0].splitlines()

    def partitions(self) -> set[str]:
        """What it has by its last word on each, since it was started last."""
        held = set[str]()
        for line in self.whole_lines():
            said = json.loads(line) if line.startswith("{") else {}
            places = {str(place) for place in said.get("partitions", ())}
            if said.get("event") == "partitions assigned":
                held |= places
            elif said.get("event") in ("partitions revoked", "partitions lost"):
                held -= places
        return held

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        if self.is_running():
            self.kill()
        self.end_zombies()


class Scene:
    """One configuration on one broker, with topics that no other test shares."""

    PREFIX = "streams"
    """What the names of its topics begin with."""
    CLASSIC_OPTIONS: Mapping[str, Any] = CLASSIC_OPTIONS

    def __init__(
        self,
        bootstrap_servers: str,
        folder: Path,
        connectors: Mapping[str, Any],
        source: Mapping[str, Any],
        group_protocol: str,
        brokers: int = 1,
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        """Of several `brokers`, topics have the replicas that `streams` asks for. `sections` are more of the
        configuration: `receiver`, `inlets`."""
        tag = uuid4().hex[:8]
        self.folder = folder
        self.source_prefix = f"currents-{tag}."
        self.config = folder / f"{tag}.yaml"
        self.bootstrap_servers = bootstrap_servers
        content = {
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "topic_prefix": f"{self.PREFIX}-{tag}.",
                "topics": {"partitions": 4},
                "group_protocol": group_protocol,
                "options": {} if group_protocol == "consumer" else dict(self.CLASSIC_OPTIONS),
            },
            "source": {"topics": [f"^{self.source_prefix}.+"], "topic_prefix": self.source_prefix, **source},
            "connectors": dict(connectors),
            **(sections or {}),
        }
        self.config.write_text(yaml.safe_dump(content))
        self.settings: Settings = load(self.config)
        self.administration = Administration(self.settings.kafka.client_config("chaos"))
        kafka = self.settings.kafka
        quiet = kafka.model_copy(update={"options": {**kafka.options, "log_level": 0}})
        self.accounts = Accounts(connect(replace(self.settings, kafka=quiet), "streams-chaos"))
        self.replication = self.settings.kafka.topics.replication if brokers > 1 else 1
        for topic in topology.wanted_topics(self.settings, brokers):
            self.administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)
        self._processes: list[WorkerProcess] = []

    def process(self, *command: str, instance: str, log: str = "") -> WorkerProcess:
        """Started. Its log is called as the instance is, if it has no name of its own."""
        process = WorkerProcess(list(command), self.config, instance, self.folder / f"{log or instance}.log")
        self._processes.append(process)
        process.start()
        return process

    def router_counts(self) -> RouterCounts:
        return self.accounts.router()

    def account(self, connector: str) -> Account:
        return self.accounts.of([connector])[connector]

    def verify(self, connector: str) -> Verification:
        """The account, compared with the topics."""
        with connected(self.settings, "streams-verify") as installation:
            return verify(installation, connector)

    def read(self, topic: str) -> list[Read]:
        """Every record that a read_committed reader sees, per partition in offset order."""
        return read_to_end(self.bootstrap_servers, topic)

    def places(self, connector: str) -> str:
        """Per partition of a connector's topic: committed by its sinks, readable up to, written up to."""
        topic = self.settings.topics.connector(connector)
        commits = self.administration.commits(self.settings.groups.sink(connector), [topic])
        ends = {isolation: ends_of(self.bootstrap_servers, topic, isolation) for isolation in ISOLATIONS}
        return "\n".join(
            f"{topic}/{number}: committed {commits[topic, number].offset if (topic, number) in commits else 'never'}, "
            f"readable up to {readable}, written up to {ends['read_uncommitted'][number]}"
            for number, readable in ends["read_committed"].items()
        )

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """A broker that answers no question in time is busy: it is asked again."""
        deadline, silence = time.monotonic() + PATIENCE_SECONDS, ""
        while True:
            try:
                if condition():
                    return
            except KafkaUnreachable as error:
                silence = f" ({error})"
            if time.monotonic() >= deadline:
                raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what}{silence}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        return "\n".join(
            f"--- {process.log.name}\n" + "\n".join(process.log.read_text(errors="replace").splitlines()[-15:])
            for process in self._processes
        )

    def logs_whole(self) -> list[str]:
        """Everything that each process wrote."""
        return [process.log.read_text(errors="replace") for process in self._processes]

    def end(self) -> None:
        for process in self._processes:
            process.end()
        remove_topics(self.bootstrap_servers, self.settings.kafka.topic_prefix, self.source_prefix)


@contextmanager
def staged(
    bootstrap_servers: str,
    folder: Path,
    connectors: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
    group_protocol: str = "classic",
    brokers: int = 1,
) -> Iterator[Scene]:
    """A scene that leaves no process behind."""
    scene = Scene(bootstrap_servers, folder, connectors, source or {}, group_protocol, brokers)
    try:
        yield scene
    finally:
        scene.end()


def ends_of(bootstrap_servers: str, topic: str, isolation: str) -> dict[int, int]:
    """Per partition the offset after the last record that a reader of this isolation level may see."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"reader-{uuid4().hex}",
            "isolation.level": isolation,
            "log_level": 0,
        }
    )
    try:
        numbers = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        return {number: consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in numbers}
    finally:
        consumer.close()


def read_to_end(bootstrap_servers: str, topic: str) -> list[Read]:
    """Read all partitions of a topic to their ends, by partition-EOF events: offsets never count records.

    To the ends that writers see: markers of a transaction are written after its commit was answered, and until then a
    read_committed reader is told an end before it.
    """
    written = ends_as_written(bootstrap_servers, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"reader-{uuid4().hex}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        open_partitions, records = set(partitions), list[Read]()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic} was not read to its end"
            for message in consumer.consume(1000, 0.5):
                error = message.error()
                if error is None:
                    headers = tuple(message.headers() or ())
                    records.append(
                        Read(message.partition(), message.offset(), message.key(), message.value(), headers)  # type: ignore[arg-type]
                    )
                elif error.code() == KafkaError._PARTITION_EOF:
                    if (message.offset() or 0) >= written[message.partition() or 0]:
                        open_partitions.discard(message.partition() or 0)
                else:
                    raise AssertionError(str(error))
        return records
    finally:
        consumer.close()


def ends_as_written(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """Where each partition ends for its writers, open transactions and all."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"reader-{uuid4().hex}",
            "isolation.level": "read_uncommitted",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60)[1]
            for number in partitions
        }
    finally:
        consumer.close()

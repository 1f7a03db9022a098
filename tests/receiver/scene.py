"""A receiver as a process of its own on a broker, vendors that send to it, and what it wrote."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import yaml

from streams.adapters.kafka.admin import Administration
from streams.config import Settings, load, topology
from streams.delivery.received import ReceivedCounts, received_by
from streams.events.schemas import shipped
from streams.wayback import records
from tests.chaos.scene import Read, WorkerProcess, read_to_end
from tests.topics import remove_topics
from tests.waiting import wait_until

PATIENCE_SECONDS = 120.0
ANSWER_SECONDS_MAX = 60.0
CONNECTOR = "back-to-braze"
COHORTS, AUDIENCES, DATA, FIREHOSE, KEYED = "cohorts", "audiences", "data", "firehose", "keyed"
PASSWORD = "password-of-cohorts"
KEY = "key-of-sixteen-characters"
PARTITIONS = 4
JSON = {"Content-Type": "application/json"}


def entries(**files: str) -> dict[str, Any]:
    """One entry of each kind. `files` are references that stand for the keys of an entry."""
    return {
        COHORTS: {"kind": "mixpanel_cohorts", "auth": {"passwords": [files.get(COHORTS, PASSWORD)]}},
        AUDIENCES: {"kind": "mparticle_audiences", "keys": [files.get(AUDIENCES, KEY)]},
        DATA: {"kind": "mparticle_events", "keys": [files.get(DATA, KEY)]},
        FIREHOSE: {"kind": "firehose", "keys": [files.get(FIREHOSE, KEY)]},
        KEYED: {"kind": "firehose", "keys": [files.get(KEYED, KEY)], "key_setting": "streams_key"},
    }


@dataclass(frozen=True, slots=True)
class Given:
    """An answer of the receiver."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def authorization(entry: str) -> dict[str, str]:
    if entry == COHORTS:
        return {"Authorization": "Basic " + base64.b64encode(f"mixpanel:{PASSWORD}".encode()).decode()}
    return {} if entry == KEYED else {"Authorization": f"Bearer {KEY}"}


def cohort(
    action: str = "add_members", users: list[str] | None = None, session: str = "s-1", page: int = 1, pages: int = 1
) -> dict[str, Any]:
    """A body of Mixpanel's webhook."""
    return {
        "action": action,
        "parameters": {
            "mixpanel_project_id": "7",
            "mixpanel_cohort_id": "c-1",
            "mixpanel_cohort_name": "Buyers",
            "mixpanel_session_id": session,
            "page_info": {"total_pages": pages, "page_count": page},
            "members": [{"$braze_external_id": user} for user in users or []],
        },
    }


@dataclass(slots=True)
class Receiving:
    """One configuration on one broker, with topics that no other test shares."""

    bootstrap_servers: str
    folder: Path
    settings: Settings
    config: Path
    administration: Administration
    _processes: list[WorkerProcess] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return self.settings.topics.connector(CONNECTOR)

    def start(
        self,
        instance: str = "receiver-0",
        environment: Mapping[str, str] | None = None,
        module: str = "streams",
    ) -> ReceiverProcess:
        """A receiver that listens."""
        worker = WorkerProcess(
            ["receiver", "--http-port", "0"], self.config, instance, self.folder / f"{instance}-{uuid4().hex[:4]}.log"
        )
        worker._command[2] = module
        worker._environment |= {"STREAMS_HTTP_HOST": "127.0.0.1", **(environment or {})}
        self._processes.append(worker)
        worker.start()
        return ReceiverProcess(worker)

    def start_sink(self, instance: str = "sink-0") -> WorkerProcess:
        """The connector's sink."""
        worker = WorkerProcess(["sink", CONNECTOR], self.config, instance, self.folder / f"{instance}.log")
        self._processes.append(worker)
        worker.start()
        return worker

    def process(self, *command: str) -> WorkerProcess:
        """`streams run …`, started."""
        worker = WorkerProcess(list(command), self.config, "", self.folder / f"{command[0]}.log")
        worker._environment |= {"STREAMS_HTTP_HOST": "127.0.0.1", "STREAMS_LOCKS": str(self.folder / "locks")}
        self._processes.append(worker)
        worker.start()
        return worker

    def records(self) -> list[records.Record]:
        """What a read_committed reader of the connector's topic sees."""
        return [decoded(one) for one in self.read()]

    def read(self) -> list[Read]:
        return read_to_end(self.bootstrap_servers, self.topic)

    def counts(self) -> ReceivedCounts:
        """The sum of all receivers' rows."""
        return received_by(self.rows(), [CONNECTOR])[CONNECTOR]

    def rows(self) -> dict[bytes, bytes]:
        """All receivers' rows, up to the end that writers see: who was answered finds what was counted."""
        read = read_to_end(self.bootstrap_servers, self.settings.topics.received)
        return {one.key or b"": one.value for one in read if one.value is not None}

    def logs(self) -> str:
        return "\n".join(process.log.read_text(errors="replace") for process in self._processes)

    def end(self) -> None:
        for process in self._processes:
            process.end()
        self.administration.close()
        kafka = self.settings.kafka
        remove_topics(self.bootstrap_servers, kafka.topic_prefix, self.settings.source.topic_prefix)


def port_of(worker: WorkerProcess, event: str) -> int | None:
    """Where it listens since it was started last; `event` is its word for that: `receiving` or `listening`."""
    for line in worker.whole_lines():
        if line.startswith("{") and (said := json.loads(line)).get("event") == event:
            return int(said["port"])
    return None


class Door:
    """Where a receiver listens, and vendors that send there."""

    def __init__(self, port: int, answer_seconds_max: float = ANSWER_SECONDS_MAX) -> None:
        self.port = port
        self._answer_seconds_max = answer_seconds_max

    def send(
        self,
        entry: str,
        content: Any,
        headers: Mapping[str, str] | None = None,
        *,
        connector: str = CONNECTOR,
        is_gzip: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "localhost",
    ) -> Given:
        """A vendor's request with its key. `content` is JSON, or bytes as they are."""
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        encoding = {"Content-Encoding": "gzip"} if is_gzip else {}
        return self.request(
            "POST",
            f"/receive/{connector}/{entry}",
            gzip.compress(body) if is_gzip else body,
            {**JSON, **authorization(entry), **encoding, **(headers or {})},
            tls=tls,
            host=host,
        )

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "localhost",
    ) -> Given:
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._answer_seconds_max)
            if tls is None
            else http.client.HTTPSConnection(host, self.port, timeout=self._answer_seconds_max, context=tls)
        )
        try:
            connection.connect()
            # A body that is refused while it is on its way is read for a few seconds, and then the connection is
            # closed. The answer came before.
            with suppress(ConnectionError):
                connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Given(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())
        finally:
            connection.close()


class ReceiverProcess(Door):
    """One receiver that listens, and what it says of itself."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        super().__init__(self._logged("receiving"))
        self.health_port = self._logged("listening")

    def _logged(self, event: str) -> int:
        found: list[int] = []

        def look() -> bool:
            if not self.worker.is_running():
                raise AssertionError(f"the receiver ended: {self.worker.last_words()}")
            if (port := port_of(self.worker, event)) is not None:
                found.append(port)
            return bool(found)

        wait_until(look, f"the receiver to say {event!r}")
        return found[-1]

    def health(self, path: str) -> Given:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=60)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Given(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels."""
        found = 0.0
        for line in self.health("/metrics").body.decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                found += float(value)
        return found

    def rss_bytes(self) -> int:
        """Resident memory of the process now."""
        assert self.worker._process is not None
        status = Path(f"/proc/{self.worker._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024

    def rss_bytes_most(self) -> int:
        """The most that it ever was."""
        assert self.worker._process is not None
        status = Path(f"/proc/{self.worker._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def decoded(read: Read) -> records.Record:
    value = read.value or b""
    for name in records.RECORDS:
        schema = shipped().by_event_type(name)
        assert schema is not None
        if value[2:10] == schema.fingerprint:
            read_record = records.reader(schema)
            assert read_record is not None
            return read_record(value, 10)
    raise AssertionError("a record that is none of the way back")


def kinds(found: list[records.Record]) -> Counter[str]:
    return Counter(type(record).__name__ for record in found)


@contextmanager
def receiving(
    bootstrap_servers: str,
    folder: Path,
    receive: Mapping[str, Any] | None = None,
    receiver: Mapping[str, Any] | None = None,
    topic: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    connector: Mapping[str, Any] | None = None,
    inlets: Mapping[str, Any] | None = None,
    kafka: Mapping[str, Any] | None = None,
) -> Iterator[Receiving]:
    """A scene that leaves no process behind. `topic` are settings of the connector's topic, `options` of the client,
    `connector` keys of the connector that say where Braze is, `inlets` HTTP inlets, `kafka` more of that section."""
    tag = uuid4().hex[:8]
    config = folder / f"{tag}.yaml"
    content: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap_servers,
            "topic_prefix": f"streams-{tag}.",
            "topics": {"partitions": PARTITIONS},
            "options": dict(options or {}),
            **(kafka or {}),
        },
        "source": {"topic_prefix": f"currents-{tag}.", "topics": [f"^currents-{tag}\\..+"]},
        # A busy machine may be slow to write: then a sender is told to try again.
        "receiver": {"port": 0, "answer_within": "30s", **(receiver or {})},
        "connectors": {
            CONNECTOR: {
                "destination": "braze",
                **(connector or {"instance": "US-01", "rest_key": "a-rest-key"}),
                "receive": dict(receive or entries()),
            }
        },
    }
    if inlets is not None:
        content["inlets"] = dict(inlets)
    config.write_text(yaml.safe_dump(content))
    settings = load(config)
    quiet = settings.kafka.model_copy(update={"options": {"log_level": 0}})
    administration = Administration(quiet.client_config("streams-test"))
    for wanted in topology.wanted_topics(settings, 1):
        own = dict(topic or {}) if wanted.name == settings.topics.connector(CONNECTOR) else {}
        administration.create_topic(wanted.name, wanted.partitions, 1, {**wanted.configuration, **own})
    scene = Receiving(bootstrap_servers, folder, settings, config, administration)
    try:
        yield scene
    finally:
        scene.end()

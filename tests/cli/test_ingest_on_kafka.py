"""`streams ingest` on a broker: killed at random and started again, each record is on its topic once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.admin import AdminClient

from streams.cli.assembly.installation import connect
from streams.cli.errors import ExitCode
from streams.config import load
from streams.operations.accounts import Accounts
from streams.testing.brokers import Broker
from tests.chaos.scene import WorkerProcess, read_to_end
from tests.cli.files import OPEN_SCHEMA, opens, write_avro
from tests.topics import claim
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka

RECORDS = 30_000
KILLS = 5
RUN_SECONDS_MAX = 240.0


# However late Ctrl-C comes, most of the file is still to be done.
STOPPED_AFTER_A_TRANSACTION = """
import os, signal
from streams.cli.main import run
from streams.workers.ingest import Ingest

commit = Ingest._commit

def commit_and_stand_still(self):
    commit(self)
    Ingest._commit = commit
    os.kill(os.getpid(), signal.SIGSTOP)

Ingest._commit = commit_and_stand_still
run()
"""


def is_stopped(pid: int) -> bool:
    """Whether a process stands still by SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Cluster:
    """A broker with names of this test's own."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        claim(bootstrap_servers, self.prefix[:-1])
        self.config = folder / "streams.yaml"
        self.config.write_text(
            f"""
kafka: {{bootstrap_servers: "{bootstrap_servers}", topic_prefix: {self.prefix}, topics: {{partitions: 3}}}}
source: {{topics: ["^{self.prefix[:-1]}-source"], topic_prefix: {self.prefix[:-1]}-source.}}
connectors:
  one: {{destination: mixpanel, project_token: "{"0" * 32}"}}
"""
        )

    @property
    def topic(self) -> str:
        return f"{self.prefix[:-1]}-source.users.messages.email.Open"

    def start(self, *paths: Path, program: Sequence[str] = ("-m", "streams")) -> subprocess.Popen[str]:
        command = [sys.executable, *program, "ingest", *map(str, paths), "--config", str(self.config)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def topics(self) -> set[str]:
        return set(AdminClient({"bootstrap.servers": self.bootstrap_servers}).list_topics(timeout=60).topics)

    def records(self) -> list[dict[str, Any]]:
        """What a read_committed reader sees, per partition in order."""
        return [_decoded(record.value) for record in read_to_end(self.bootstrap_servers, self.topic)]


def _decoded(value: Any) -> dict[str, Any]:
    import io

    record: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), OPEN_SCHEMA, None)
    return dict(record)


@pytest.fixture
def cluster(kafka: Broker, tmp_path: Path) -> Cluster:
    return Cluster(kafka.bootstrap_servers, tmp_path)


def test_killed_at_random_and_started_again_each_record_arrives_once(cluster: Cluster, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    first = write_avro(tmp_path / "a.avro", opens(RECORDS, "a"))
    second = write_avro(tmp_path / "b.avro", opens(100, "b"))
    for _ in range(KILLS):
        process = cluster.start(first, second)
        try:
            process.communicate(timeout=chance.uniform(0.8, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    process = cluster.start(first, second)
    _, complaint = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == 0, complaint
    records = cluster.records()
    assert sorted(record["id"] for record in records) == sorted(
        record["id"] for record in opens(RECORDS, "a") + opens(100, "b")
    )
    for person in {record["external_user_id"] for record in records}:
        numbers = [int(record["id"][2:]) for record in records if _is_of(record, person)]
        assert numbers == sorted(numbers)


def _is_of(record: dict[str, Any], person: str) -> bool:
    return str(record["id"]).startswith("a-") and record["external_user_id"] == person


def test_two_at_once_take_turns_and_each_record_arrives_once(cluster: Cluster, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(RECORDS))
    processes = [cluster.start(path), cluster.start(path)]
    complaints = [process.communicate(timeout=RUN_SECONDS_MAX)[1] for process in processes]
    assert {process.returncode for process in processes} <= {0, 1}, complaints
    last = cluster.start(path)
    _, complaint = last.communicate(timeout=RUN_SECONDS_MAX)
    assert last.returncode == 0, complaint
    ids = [record["id"] for record in cluster.records()]
    assert len(ids) == len(set(ids)) == RECORDS


def test_what_would_be_created_is_said_before_and_a_dry_run_creates_nothing(cluster: Cluster, tmp_path: Path) -> None:
    write_avro(tmp_path / "in" / "a.avro", opens(3))
    (tmp_path / "in" / "notes.txt").write_text("no events")
    command = [sys.executable, "-m", "streams", "ingest", str(tmp_path / "in"), "--config", str(cluster.config)]
    dry = subprocess.run(
        [*command, "--dry-run", "-o", "json"], capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    assert dry.returncode == 0, dry.stderr
    plan = json.loads(dry.stdout)
    assert plan["topics"] == [{"topic": cluster.topic, "files": 1, "missing": True}]
    assert plan["partitions_created"] == 3
    assert f"passed over, no events in them: {tmp_path}/in/notes.txt" in dry.stderr
    assert not [name for name in cluster.topics() if name.startswith(cluster.prefix[:-1])]
    process = cluster.start(tmp_path / "in")
    _, said = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == 0, said
    assert "1 topics are missing and are created with 3 partitions each, 3 in all (--partitions N chooses" in said
    assert len(cluster.records()) == 3


def test_strange_files_are_taken_or_named_and_the_router_routes_all_that_was_taken(
    cluster: Cluster, tmp_path: Path
) -> None:
    folder, away = tmp_path / "in", tmp_path / "elsewhere"
    rewritten = {**OPEN_SCHEMA, "name": "topLevelRecord"}
    write_avro(folder / "event_type=users.messages.email.Open" / "part-0.avro", opens(3, "spark"), rewritten)
    write_avro(folder / "unnamed.avro", opens(3, "unnamed"), rewritten)
    for codec in ("null", "bzip2", "snappy", "zstandard", "xz"):
        write_avro(folder / f"{codec}.avro", opens(3, codec), codec=codec)
    no_text = write_avro(folder / "bytes.avro", opens(4, "bytes"), codec="null")
    no_text.write_bytes(no_text.read_bytes().replace(b"person-3", b"person\xff3"))
    write_avro(away / "linked.avro", opens(3, "linked"))
    (folder / "link").symlink_to(away)
    (folder / "nowhere.avro").symlink_to(away / "gone.avro")
    (folder / "damaged.avro").write_bytes(b"Obj\x01 and no more")
    with zipfile.ZipFile(folder / "from-a-mac.zip", "w") as archive:
        archive.write(write_avro(away / "zipped.avro", opens(3, "zipped")), "export/zipped.avro")
        archive.writestr("__MACOSX/export/._zipped.avro", b"\x00\x05\x16\x07")
    taken = 3 + 5 * 3 + 4 + 3 + 3
    process = cluster.start(folder)
    _, said = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == ExitCode.PARTLY_DONE, said
    for name in ("unnamed.avro", "nowhere.avro", "damaged.avro"):
        assert f"{folder}/{name}" in said
    assert "_zipped" not in said
    records = read_to_end(cluster.bootstrap_servers, cluster.topic)
    assert len(records) == taken
    assert sum(b"person\xff3" in (record.value or b"") for record in records) == 1, "bytes go as they stand"
    router = WorkerProcess(["router"], cluster.config, "one", tmp_path / "router.log")
    router.start()
    try:
        with Accounts(connect(load(cluster.config), "test")) as accounts:
            wait_until(lambda: accounts.router().read == taken, "the router to read them")
            counts = accounts.router()
        assert (counts.routed, dict(counts.skipped), counts.undecodable) == ({"one": taken}, {}, 0)
    finally:
        router.end()


def test_ctrl_c_ends_it_after_a_transaction_and_the_next_run_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(RECORDS))
    process = cluster.start(path, program=["-c", STOPPED_AFTER_A_TRANSACTION])
    wait_until(lambda: is_stopped(process.pid), "it to stand still after its first transaction")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    _, complaint = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == 130, complaint
    assert "stopped; run it again, and it continues where it stopped" in complaint
    last = cluster.start(path)
    _, complaint = last.communicate(timeout=RUN_SECONDS_MAX)
    assert last.returncode == 0, complaint
    ids = [record["id"] for record in cluster.records()]
    assert len(ids) == len(set(ids)) == RECORDS

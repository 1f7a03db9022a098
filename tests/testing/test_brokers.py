"""Brokers: which is chosen where, and that each starts, keeps its data over a restart, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.testing.brokers import Broker, BrokerFailed, NoBroker, choose, embedded
from tests.chaos.scene import read_to_end
from tests.topics import make_topics
from tests.waiting import wait_until

PATIENCE_SECONDS = 120.0


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH: empty, so that neither Docker nor Java nor Maven is there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


JAVA_21 = """echo 'openjdk version "21.0.2"' >&2"""
MAVEN = """for argument; do case "$argument" in -DoutputDirectory=*) /bin/mkdir "${argument#*=}";; esac; done"""


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {"STREAMS_CACHE": str(cache), **more}


def test_a_given_broker_is_taken_before_all_others(programs: Path, tmp_path: Path) -> None:
    install(programs, "docker", "exit 0")
    broker = choose(environment(tmp_path, KAFKA_BOOTSTRAP="kafka.internal:9092"))
    assert (broker.kind, broker.bootstrap_servers, broker.is_apache) == ("given", "kafka.internal:9092", True)


def test_a_docker_daemon_that_answers_is_taken(programs: Path, tmp_path: Path) -> None:
    install(programs, "docker", "exit 0")
    broker = choose(environment(tmp_path))
    assert (broker.kind, broker.is_apache) == ("docker", True)


def test_java_and_maven_run_apache_kafka_where_no_docker_daemon_answers(programs: Path, tmp_path: Path) -> None:
    install(programs, "docker", "exit 1")
    install(programs, "java", JAVA_21)
    install(programs, "mvn", MAVEN)
    broker = choose(environment(tmp_path))
    assert (broker.kind, broker.is_apache) == ("apache", True)
    assert "no Docker daemon answers" in broker.why


def test_jars_that_are_there_need_no_maven(programs: Path, tmp_path: Path) -> None:
    install(programs, "java", JAVA_21)
    install(programs, "mvn", MAVEN)
    choose(environment(tmp_path))
    (programs / "mvn").unlink()
    assert choose(environment(tmp_path)).kind == "apache"


def test_a_download_that_failed_leaves_nothing_that_looks_whole(programs: Path, tmp_path: Path) -> None:
    install(programs, "java", JAVA_21)
    install(programs, "mvn", f"{MAVEN}; echo 'Could not transfer artifact'; exit 1")
    for _ in range(2):
        broker = choose(environment(tmp_path / "cache"))
        assert broker.kind == "embedded"
        assert "Could not transfer artifact" in broker.why
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    "answer", ["""echo 'openjdk version "11.0.2"' >&2""", """echo 'java version "1.8.0_402"' >&2""", "exit 1"]
)
def test_a_java_that_cannot_run_kafka_is_no_java(programs: Path, tmp_path: Path, answer: str) -> None:
    install(programs, "java", answer)
    install(programs, "mvn", MAVEN)
    broker = choose(environment(tmp_path))
    assert (broker.kind, broker.is_apache) == ("embedded", False)
    assert "Java 17" in broker.why


@pytest.mark.usefixtures("programs")
def test_without_docker_and_java_the_embedded_broker_is_left_and_says_why(tmp_path: Path) -> None:
    broker = choose(environment(tmp_path))
    assert broker.kind == "embedded"
    assert broker.why == "there is no Docker; there is no Java"


@pytest.mark.usefixtures("programs")
def test_where_apache_is_required_the_embedded_broker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoBroker, match="there is no Docker; there is no Java"):
        choose(environment(tmp_path, REQUIRE_BROKER="apache"))


def test_a_requirement_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoBroker, match="REQUIRE_BROKER=apachee"):
        choose(environment(tmp_path, REQUIRE_BROKER="apachee"))


def test_a_broker_that_somebody_else_runs_cannot_be_restarted() -> None:
    with pytest.raises(BrokerFailed, match="given"):
        Broker("given", "127.0.0.1:9092", is_apache=True).restart()


def create(broker: Broker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    make_topics(admin, NewTopic(topic, 1, 1))


def write(broker: Broker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    producer.produce(topic, value)
    assert producer.flush(PATIENCE_SECONDS) == 0


def is_listening(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def keeps_its_data_over_a_restart(broker: Broker) -> None:
    topic = f"restart-{uuid4().hex}"
    with broker:
        address = broker.bootstrap_servers
        create(broker, topic)
        write(broker, topic, b"before")
        broker.restart()
        assert broker.bootstrap_servers == address
        write(broker, topic, b"after")
        assert [record.value for record in read_to_end(address, topic)] == [b"before", b"after"]
    assert not is_listening(address)


def test_the_embedded_broker_keeps_its_data_over_a_restart_and_then_is_gone() -> None:
    keeps_its_data_over_a_restart(embedded())


@pytest.mark.apache
def test_apache_kafka_keeps_its_data_over_a_restart_and_then_is_gone() -> None:
    broker = choose()
    if broker.kind == "given":
        pytest.skip("the broker is not ours to restart")
    keeps_its_data_over_a_restart(broker)


def test_two_embedded_brokers_know_nothing_of_each_other() -> None:
    with embedded() as one, embedded() as other:
        create(one, "mine")
        assert "mine" not in AdminClient({"bootstrap.servers": other.bootstrap_servers}).list_topics().topics


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with a parent that was killed")
def test_a_broker_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from streams.testing.brokers import embedded\n"
        "with embedded() as broker:\n"
        "    print(broker.bootstrap_servers, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    # Nobody is left to remove the broker's folder: it lies where pytest will.
    owner = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    with owner:
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        assert is_listening(address)
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not is_listening(address), "the broker to end")

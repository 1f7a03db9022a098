"""Clients end when they are closed or replaced, with their threads and connections.

An error that was raised from a client's call can refer to it in a circle. Only the garbage collector frees that, and in
a process where little happens it comes late. So it stands still in these tests.
"""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from structlog.testing import capture_logs

from streams.adapters.kafka import clients, transactions
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.sent import SentTopic
from streams.adapters.kafka.time_limits import within
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.state import requests
from streams.adapters.state.requests import KeeperRequests
from streams.cli.assembly.keeper import lease_opener
from streams.cli.assembly.receiver import kafka_connection
from streams.config import loads
from streams.config.kafka import ClientConfig
from streams.config.names import SOURCE
from streams.ports.errors import Fenced, KafkaUnreachable
from streams.testing.brokers import Broker
from streams.workers.keeper.lease import LeaseTopics
from tests.topics import claim, make_topics
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka

THREADS = Path("/proc/self/task")
MAIN_THREAD = "rdk:main"
"""Each client of librdkafka has one thread of this name."""


CONFIG = """
kafka: {{bootstrap_servers: "{servers}"}}
connectors:
  analytics: {{destination: mixpanel, project_token: 0123456789abcdef0123456789abcdef, events: [all]}}
"""


def clients_open() -> int:
    found = 0
    for thread in THREADS.iterdir():
        with suppress(OSError):  # it ended meanwhile
            found += (thread / "comm").read_text().strip() == MAIN_THREAD
    return found


@pytest.fixture
def _no_client_stays() -> Iterator[None]:
    """As many clients are open after the test as before, though no garbage is collected."""
    if not THREADS.is_dir():
        pytest.skip("this system does not name the threads of a process under /proc")
    gc.collect()
    gc.disable()
    before = clients_open()
    try:
        yield
        wait_until(lambda: clients_open() <= before, f"{before} open clients: there were so many before")
    finally:
        gc.enable()


@pytest.fixture
def topic(kafka: Broker) -> str:
    name = f"ends-{uuid4().hex[:8]}"
    claim(kafka.bootstrap_servers, name)
    make_topics(AdminClient({"bootstrap.servers": kafka.bootstrap_servers}), NewTopic(name, 1, 1))
    return name


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens, for as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def options(servers: str) -> ClientConfig:
    return {"bootstrap.servers": servers, "client.id": "ends", "log_level": 0}


@pytest.mark.apache
@pytest.mark.usefixtures("_no_client_stays")
def test_a_producer_that_was_fenced_and_its_journal_end_when_they_are_closed(kafka: Broker, topic: str) -> None:
    first, second = (TransactionalProducer(options(kafka.bootstrap_servers), topic, "ends") for _ in range(2))
    journal = StateJournal(options(kafka.bootstrap_servers), topic, "ends")
    journal.read_to_end()
    first.start()
    first.begin()
    first.write(topic, b"value")
    second.start()
    with pytest.raises(Fenced) as fenced:
        first.commit((), None)
    for one in (first, second, journal):
        one.close()
    assert str(fenced.value)  # it lives to here, with the frames that it passed


@pytest.mark.parametrize("make", [clients.producer, clients.consumer, clients.administration_client])
def test_a_client_may_be_let_go_twice(kafka: Broker, make: Callable[[ClientConfig], Any]) -> None:
    client = make({**options(kafka.bootstrap_servers), "group.id": "ends"})
    clients.let_go(client)
    clients.let_go(client)


def test_a_producer_that_is_closed_twice_complains_of_nothing(kafka: Broker, topic: str) -> None:
    """A worker closes its own, and so does who built it."""
    producer = TransactionalProducer(options(kafka.bootstrap_servers), topic, "ends")
    producer.start()
    with capture_logs() as logs:
        producer.close()
        producer.close()
    assert logs == []


@pytest.mark.usefixtures("_no_client_stays")
def test_what_asks_for_groups_topics_and_rows_ends_when_it_is_closed(kafka: Broker, topic: str) -> None:
    administration = Administration(options(kafka.bootstrap_servers))
    administration.commits(topic, [topic])
    sent = SentTopic(options(kafka.bootstrap_servers), topic, "ends")
    assert list(sent.rows(0)) == []
    administration.close()


@pytest.mark.usefixtures("_no_client_stays")
@pytest.mark.parametrize("role", ["keeper", "receiver", "order"])
def test_who_cannot_reach_kafka_leaves_no_client_behind(
    nowhere: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these is tried again and again for as long as Kafka is away."""
    monkeypatch.setattr(transactions, "CONTACT_SECONDS_MAX", 0.2)
    monkeypatch.setattr(transactions, "CALL_SECONDS_MAX", 0.2)
    monkeypatch.setattr(requests, "WRITE_SECONDS_MAX", 0.2)
    settings = loads(CONFIG.format(servers=nowhere), {})
    tries: dict[str, Any] = {
        "keeper": lease_opener(settings, SOURCE, LeaseTopics("state", "audit", "", "rejected", ""), "ends"),
        "receiver": lambda: kafka_connection(settings, "ends", "ends"),
        "order": lambda: KeeperRequests(settings).ask("x", "suspend", {}, who="w", reason="r", wait_seconds=0.1),
    }
    with pytest.raises(KafkaUnreachable) as away:
        tries[role]()
    assert str(away.value)  # it lives to here, with the frames that it passed


def test_an_answer_that_failed_does_not_keep_who_asked() -> None:
    """The future's own error would refer to the frames that asked, and these to the future."""
    gc.disable()
    try:
        asked: Future[Any] = Future()
        asked.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        watched = weakref.ref(asked)
        with suppress(KafkaException):
            _ask(asked)
        del asked
        assert watched() is None
    finally:
        gc.enable()


def _ask(asked: Future[Any]) -> Any:
    return answer_of(asked)


class Failing:
    def __call__(self) -> None:
        raise ValueError


def test_a_call_aside_that_failed_does_not_keep_what_it_held() -> None:
    gc.disable()
    try:
        call = Failing()
        watched = weakref.ref(call)
        with suppress(ValueError):
            within(5, call)
        del call
        wait_until(lambda: watched() is None, "the end of the call")
    finally:
        gc.enable()

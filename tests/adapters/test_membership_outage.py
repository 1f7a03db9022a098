"""A broker that answers nothing for a while: members of a group live on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.testing.brokers import ApacheKafka
from streams.testing.processes import Child
from tests.own_broker import own_broker
from tests.topics import make_topics
from tests.waiting import wait_until

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 180.0
UNANSWERED = 6
"""Each takes about 12 s. librdkafka gives up a request after 60 s, and only then its fault shows."""


@pytest.fixture
def broker() -> Iterator[ApacheKafka]:
    broker = own_broker()
    if not isinstance(broker, ApacheKafka):
        pytest.skip(f"a broker of kind {broker.kind} is not ours to freeze")
    with broker:
        yield broker


def test_a_member_that_asked_while_no_broker_answered_lives_on(broker: ApacheKafka, tmp_path: Path) -> None:
    make_topics(AdminClient({"bootstrap.servers": broker.bootstrap_servers}), NewTopic("read", 1, 1))
    log = tmp_path / "member.log"
    command = [sys.executable, "-m", "tests.adapters.member_process", broker.bootstrap_servers, "group", "read"]
    member = Child(command, log)

    def told() -> list[str]:
        return [line for line in log.read_text().splitlines() if line in ("True", "False", "None")]

    def is_told(answer: str, after: int) -> bool:
        assert member.is_running(), member.last_lines()
        return answer in told()[after:]

    try:
        wait_until(lambda: is_told("True", 0), "the group to know the member", PATIENCE_SECONDS)
        broker.freeze()
        frozen_at = len(told())
        wait_until(
            lambda: told()[frozen_at:].count("None") >= UNANSWERED, "questions without an answer", PATIENCE_SECONDS
        )
        broker.thaw()
        thawed_at = len(told())
        wait_until(lambda: is_told("True", thawed_at), "the group to know the member again", PATIENCE_SECONDS)
    finally:
        member.kill()

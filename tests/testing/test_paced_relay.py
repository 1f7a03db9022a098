"""An idle consumer of the embedded broker asks it a few times a second, and still gets each record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.testing.brokers import embedded
from tests.topics import make_topics
from tests.waiting import wait_until

FETCHES_A_SECOND_MAX = 100


def test_an_idle_consumer_asks_seldom_and_still_gets_each_record() -> None:
    reports: list[dict[str, Any]] = []
    read: list[bytes | None] = []
    with embedded() as broker:
        servers: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}
        admin = AdminClient(servers)
        make_topics(admin, NewTopic("idle", 24, 1))
        consumer = Consumer(
            {
                **servers,
                "group.id": "idle",
                "auto.offset.reset": "earliest",
                "statistics.interval.ms": 500,
                "stats_cb": lambda text: reports.append(json.loads(text)),
            }
        )
        consumer.subscribe(["idle"])

        def read_until(condition: Callable[[], bool], what: str) -> None:
            def holds() -> bool:
                if (message := consumer.poll(0.1)) is not None:
                    assert message.error() is None
                    read.append(message.value())
                return condition()

            wait_until(holds, what)

        producer = Producer(servers)
        for number in range(50):
            producer.produce("idle", str(number), partition=number % 24)
        assert producer.flush(60) == 0
        read_until(lambda: len(read) == 50, "every record")
        quiet = len(reports)
        read_until(lambda: len(reports) >= quiet + 8, "reports of an idle consumer")
        first, last = reports[quiet + 3], reports[-1]
        seconds = (last["ts"] - first["ts"]) / 1e6
        assert (_fetches(last) - _fetches(first)) / seconds < FETCHES_A_SECOND_MAX
        producer.produce("idle", "late", partition=7)
        assert producer.flush(60) == 0
        read_until(lambda: len(read) == 51, "the record that came late")
        consumer.close()


def _fetches(report: dict[str, Any]) -> int:
    return sum(int(broker["req"].get("Fetch", 0)) for broker in report["brokers"].values())

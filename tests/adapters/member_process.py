"""A member of a group in a process of its own: each line that it prints is what it was told of its membership."""

from __future__ import annotations

import sys

from streams.adapters.kafka.consumer import GroupConsumer
from tests.adapters.test_membership import Ignoring


def run(bootstrap_servers: str, group: str, *topics: str) -> None:
    consumer = GroupConsumer(
        {"bootstrap.servers": bootstrap_servers}, group, "classic", "test", lambda told: print(told, flush=True)
    )
    consumer.subscribe(topics, Ignoring())
    while True:
        consumer.poll(10, 0.05)


if __name__ == "__main__":
    run(*sys.argv[1:])

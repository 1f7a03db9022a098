"""The bare loop that the router is measured against: a transactional copy with as many headers. It decides nothing."""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer, TopicPartition

from tests.bench.bare_consumer import bare_consumer
from tests.bench.measurement import report

RECORDS_PER_TRANSACTION = 5_000
SECONDS_PER_TRANSACTION = 0.1


def run(bootstrap: str, topic: str, group: str, records: int, output: str) -> None:
    """Copy `records` records and report the CPU seconds that it took."""
    consumer = bare_consumer(bootstrap, group)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": group,
            "linger.ms": 100,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    consumer.subscribe([topic])
    seen, started = 0, None
    while seen < records:
        messages = consumer.consume(RECORDS_PER_TRANSACTION, SECONDS_PER_TRANSACTION)
        if not messages:
            continue
        if started is None:
            started = (time.process_time(), time.monotonic())
        producer.begin_transaction()
        ends: dict[int, int] = {}
        for message in messages:
            headers = [*(message.headers() or []), ("streams-origin", b"currents.users.messages.email.Open/1/123456")]
            producer.produce(output, message.value(), message.key(), headers=headers)
            ends[message.partition() or 0] = (message.offset() or 0) + 1
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
        seen += len(messages)
    assert started is not None
    report(started)
    consumer.close()


if __name__ == "__main__":
    bootstrap, topic, group, records, output = sys.argv[1:]
    run(bootstrap, topic, group, int(records), output)

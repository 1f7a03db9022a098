"""The bare loop that a sink is measured against: consume, fastavro, orjson, compress, POST, commit. No mapping.

What anybody would write first, with the same client, the same compression and as many requests in flight; it maps
nothing, checks nothing, counts nothing and parks nothing. It commits offsets after each batch and waits for no answer
to that. Of Braze: as many events a request and the same fields, not gzip, as ours; no event is looked up, remembered
or written down before it goes.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import fastavro
import orjson
from confluent_kafka import Message, TopicPartition
from isal import igzip

from streams.events.schemas import shipped
from tests.bench.bare_consumer import bare_consumer
from tests.bench.measurement import report

IN_FLIGHT = 4
SHAPES = {"mixpanel": (2000, "/import?strict=1"), "mparticle": (100, "/v2/bulkevents"), "braze": (75, "/users/track")}


async def run(shape: str, bootstrap: str, topic: str, group: str, records: int, url: str, authorization: str) -> None:
    """Deliver `records` records in batches of the shape's size and report the CPU seconds that it took."""
    batch_records, path = SHAPES[shape]
    consumer = bare_consumer(bootstrap, group)
    consumer.subscribe([topic])
    schemas = {schema.fingerprint: schema.parsed for schema in shipped()}
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    if shape == "mixpanel":
        headers["Content-Encoding"] = "gzip"
    loop = asyncio.get_running_loop()
    seen, pending, started = 0, set[asyncio.Task[None]](), None
    async with aiohttp.ClientSession() as session:

        async def post(body: bytes) -> None:
            async with session.post(url + path, data=body, headers=headers) as answer:
                await answer.read()
                assert answer.status in (200, 201, 202), answer.status

        while seen < records:
            messages: list[Message] = []
            while len(messages) < batch_records and seen + len(messages) < records:
                messages += await loop.run_in_executor(None, consumer.consume, min(500, batch_records), 0.1)
            if started is None:
                started = (time.process_time(), time.monotonic())
            seen += len(messages)
            bodies = [orjson.dumps(_event(shape, schemas, message.value() or b"")) for message in messages]
            body = b"[" + b",".join(bodies) + b"]"
            if shape == "braze":
                body = b'{"events":' + body + b"}"
            if shape == "mixpanel":
                body = igzip.compress(body, 1)
            while len(pending) >= IN_FLIGHT:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            pending.add(asyncio.create_task(post(body)))
            await asyncio.sleep(0)
            consumer.commit(offsets=_offsets(messages), asynchronous=True)
        await asyncio.gather(*pending)
    assert started is not None
    report(started)
    consumer.close()


def _event(shape: str, schemas: dict[bytes, dict[str, Any]], value: bytes) -> Any:
    stream = io.BytesIO(value)
    stream.seek(10)
    record: Any = fastavro.schemaless_reader(stream, schemas[value[2:10]], None)
    if shape == "braze":
        return {
            "external_id": record["external_user_id"],
            "name": record["name"],
            "time": datetime.fromtimestamp(record["time_ms"] / 1000, UTC).isoformat(timespec="milliseconds"),
            "properties": orjson.loads(record["properties"]),
        }
    if shape == "mixpanel":
        return {
            "event": "event",
            "properties": {
                **record,
                "time": record["time"],
                "distinct_id": record["external_user_id"],
                "$insert_id": record["id"],
            },
        }
    return {
        "source_request_id": record["id"],
        "user_identities": {"customer_id": record["external_user_id"]},
        "events": [
            {
                "event_type": "custom_event",
                "data": {"event_name": "event", "custom_event_type": "other", "custom_attributes": record},
            }
        ],
    }


def _offsets(messages: list[Message]) -> list[TopicPartition]:
    ends: dict[int, int] = {}
    for message in messages:
        ends[message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(messages[0].topic() or "", partition, offset) for partition, offset in ends.items()]


if __name__ == "__main__":
    shape, bootstrap, topic, group, records, url, authorization = sys.argv[1:]
    asyncio.run(run(shape, bootstrap, topic, group, int(records), url, authorization))

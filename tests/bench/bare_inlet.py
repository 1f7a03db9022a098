"""The bare loop that an HTTP inlet is measured against: aiohttp, orjson, a producer, an answer when all is written.

What anybody would write first: each event goes to one topic as the JSON that it came as. There is no schema, no topic
by type, no count, no limit, and no transaction.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time

import orjson
from aiohttp import web
from confluent_kafka import Producer

from tests.bench.measurement import report


async def serve(bootstrap: str, topic: str, port: int) -> None:
    """Until SIGTERM; then report what it cost since the first request."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
        }
    )
    loop = asyncio.get_running_loop()
    stop, done = asyncio.Event(), threading.Event()
    started: list[tuple[float, float]] = []
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def poll() -> None:
        while not done.is_set():
            producer.poll(0.1)

    async def take(request: web.BaseRequest) -> web.Response:
        if not started:
            started.append((time.process_time(), time.monotonic()))
        events = orjson.loads(await request.read())["events"]
        left = len(events)
        written = loop.create_future()

        def delivered(error: object, _message: object) -> None:
            nonlocal left
            left -= 1
            if error is not None or not left:
                loop.call_soon_threadsafe(written.set_result, error)

        for event in events:
            user = event["user"]
            key = user.get("external_user_id") or user.get("user_id")
            producer.produce(topic, orjson.dumps(event), key, on_delivery=delivered)
        return web.Response(status=200 if await written is None else 503)

    threading.Thread(target=poll, daemon=True).start()
    runner = web.ServerRunner(web.Server(take, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await stop.wait()
    done.set()
    await runner.cleanup()
    report(started[0])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))

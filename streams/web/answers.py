"""What a request to the receiver is answered, and how a request waits until it is in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import hdrs, web

from streams.wayback.reception import Reception
from streams.workers.receiver.requests import CurrentsRequest, ReceivedRequest

BODY_SECONDS_MAX = 30.0
"""From the end of the header to the end of the body."""
RETRY_AFTER_SECONDS = 5
TOO_SLOW = "it took too long to write"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered; a refusal before the body was read ends the connection."""

    status: int
    content: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def refused(status: int, why: str, **headers: str) -> Answer:
    return Answer(status, {"error": why}, headers)


def not_now(why: str, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> Answer:
    return Answer(503, {"error": why}, {hdrs.RETRY_AFTER: str(retry_after_seconds)})


@dataclass(frozen=True, slots=True)
class Backend:
    """What is behind the server: where requests go, and whether one may come now."""

    submit: Callable[[ReceivedRequest | CurrentsRequest], None]
    is_stopping: Callable[[], bool]
    is_away: Callable[[], bool]


async def reception_of(backend: Backend, request: ReceivedRequest | CurrentsRequest, seconds_max: float) -> Reception:
    """What became of the request, once it is in Kafka. Raises `NotWritten`, `KeysUnreadable` and `TimeoutError`.

    A sender that goes away, or a time-out, takes the request back, unless its transaction began.
    """
    backend.submit(request)
    try:
        async with asyncio.timeout(seconds_max):
            return await asyncio.wrap_future(request.answer)
    finally:
        if request.answer.cancelled():
            request.body = b""  # it is in the writer's queue still


async def chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The body, as it comes."""
    async for chunk in request.content.iter_any():
        yield chunk


async def go_on(request: web.BaseRequest) -> None:
    """Tell a sender to send its body, if it waits for that."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def response_of(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "Server": "streams", **answer.headers}
    response = web.Response(status=answer.status, body=orjson.dumps(answer.content), headers=headers)
    if answer.status >= 400:
        response.force_close()
    return response

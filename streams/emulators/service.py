"""The HTTP server around a vendor: reads the call, plays the fault script, keeps the ledger, answers control calls."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from collections.abc import Iterable
from typing import Literal

from aiohttp import web

from streams.emulators.call import Answer, Call, Vendor, basic_credentials
from streams.emulators.clock import Clock
from streams.emulators.control import PREFIX, Control
from streams.emulators.courier import Courier
from streams.emulators.faults import Fault, FaultScript
from streams.emulators.ledger import HEADERS_SHOWN, Exchange, Ledger

RECEIVED_BYTES_MAX = 64_000_000
"""The size of a body on the wire. It is larger than every vendor's limit, so that the vendor's own limit answers."""

Keep = Literal["full", "counts", "discard"]


class Service:
    """One emulated vendor behind HTTP. `handle` is an aiohttp low-level handler."""

    def __init__(self, vendor: Vendor, faults: Iterable[Fault], keep: Keep) -> None:
        self._vendor = vendor
        self._keep = keep
        self._clock = Clock()
        self._faults = FaultScript(faults)
        self._ledger = Ledger()
        self._courier = None if vendor.outbox is None else Courier(vendor.outbox, self._clock)
        self._control = Control(vendor, self._clock, self._faults, self._ledger, self._courier)

    async def run(self) -> None:
        """Send what the vendor sends by itself, for ever."""
        if self._courier is not None:
            await self._courier.run()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(PREFIX):
            told = self._control.answer(request.method, path.removeprefix(PREFIX), await _body(request) or b"")
            if self._courier is not None and request.method != "GET":
                # A test that moved the clock or asked for a sync finds it sent.
                await self._courier.deliver()
            return told
        credentials = basic_credentials(request.headers.get("Authorization", ""))
        user, password = credentials or ("", None)
        fault, resets = self._faults.take(path, user), self._ledger.resets
        if fault is not None and fault.reset and fault.when == "before":
            await asyncio.sleep(fault.delay)
            if self._ledger.resets == resets:
                self._note(request, Call(request.method, path, {}, {}, b"", user, None), None, None, fault)
            return _reset(request)
        body = await _body(request)
        if self._ledger.resets != resets:
            return _reset(request)
        if body is None:
            self._ledger.count(RECEIVED_BYTES_MAX, 413)
            return _response(Answer(413, headers={"Connection": "close"}))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, path, request.query, headers, body, user, password)
        if fault is None:
            answer = self._vendor.receive(call, self._clock.now_ms())
            self._vendor.told(answer)
            self._note(request, call, answer, answer.status, None)
            return _response(answer)
        return await self._fail(request, call, fault)

    async def _fail(self, request: web.BaseRequest, call: Call, fault: Fault) -> web.StreamResponse:
        answer: Answer | None = None
        resets = self._ledger.resets
        if fault.when == "before":
            await asyncio.sleep(fault.delay)
        if self._ledger.resets != resets:  # a test that ended long ago sent it
            return _reset(request)
        if fault.when == "after" or fault.status is None:
            answer = self._vendor.receive(call, self._clock.now_ms())
        status = fault.status if fault.status is not None or answer is None else answer.status
        self._note(request, call, answer, None if fault.reset else status, fault)
        if fault.when == "after":
            await asyncio.sleep(fault.delay)
        if fault.reset or self._ledger.resets != resets:
            return _reset(request)
        shown = _shown(fault, answer)
        if fault.truncate is not None:
            return await _truncated(request, shown, fault.truncate)
        is_heard = request.transport is not None
        if is_heard and answer is not None and fault.status is None and fault.body is None:
            self._vendor.told(answer)
        return await _slow(request, shown, fault.byte_seconds) if fault.byte_seconds else _response(shown)

    def _note(
        self, request: web.BaseRequest, call: Call, answer: Answer | None, status: int | None, fault: Fault | None
    ) -> None:
        number = self._ledger.count(len(call.body), status)
        if self._keep != "full":
            return
        self._ledger.add(
            Exchange(
                number=number,
                received_at_ms=self._clock.now_ms(),
                method=call.method,
                path=call.path,
                query=dict(call.query),
                headers={name: value for name in HEADERS_SHOWN if (value := request.headers.get(name)) is not None},
                credential="" if answer is None else answer.credential,
                bytes=len(call.body),
                bytes_decompressed=0 if answer is None else answer.bytes_decompressed,
                sha256=hashlib.sha256(call.body).hexdigest(),
                record_ids=() if answer is None else tuple(answer.record_ids),
                status=status,
                fault=None if fault is None else fault.when,
            )
        )


async def _body(request: web.BaseRequest) -> bytes | None:
    """The body as on the wire; None if it is too large for every vendor."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > RECEIVED_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _shown(fault: Fault, answer: Answer | None) -> Answer:
    """What the client sees: the fault's status and body if it has them, else the vendor's."""
    body = fault.content()
    if answer is None or fault.status is not None:
        return Answer(fault.status or 500, body or b"", fault.headers)
    return Answer(answer.status, answer.body if body is None else body, {**answer.headers, **fault.headers})


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _reset(request: web.BaseRequest) -> web.Response:
    """Close with a reset, as after a crash: with a linger time of zero the kernel sends RST."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _slow(request: web.BaseRequest, answer: Answer, byte_seconds: float) -> web.StreamResponse:
    """Send status and headers at once, and the body byte by byte, until it is sent or the client has gone."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    for byte in answer.body:
        await asyncio.sleep(byte_seconds)
        if request.transport is None or request.transport.is_closing():
            break
        await response.write(bytes((byte,)))
    return response


async def _truncated(request: web.BaseRequest, answer: Answer, size: int) -> web.StreamResponse:
    """Announce the whole body, send only `size` bytes of it, and close."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = max(len(answer.body), size + 1)
    await response.prepare(request)
    await response.write(answer.body[:size])
    if request.transport is not None:
        request.transport.close()
    return response

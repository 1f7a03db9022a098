"""Connections of the receiver and the console: few, with a limited time for each header, and none of it in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streams.web.listener import TrackingServer

log = structlog.get_logger(__name__)

HEADER_SECONDS_MAX = 10.0
"""From the opened connection, or from the last answer, to the end of the next header."""
LINGER_SECONDS = 5.0
"""For how long a refused body is read and dropped, so that its sender sees the answer."""
READ_BYTES = 65_536
"""Of a body, before its sender has to wait."""
SURPLUS_MAX = 64
"""Connections beyond the limit that are still told 503. Further ones are closed at once."""
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NOT_NOW = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections(TrackingServer):
    """aiohttp's low-level server with a limit of connections. A sender that goes away ends its request.

    With `never_refuses` what is not HTTP, or comes too slowly, is answered 503 and not 400 or 408: Braze drops events
    at a 400, and nobody knows yet whose request it was.
    """

    def __init__(
        self,
        answer: Answer,
        connections_max: int,
        *,
        never_refuses: bool = False,
    ) -> None:
        super().__init__(
            answer,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BYTES,
            keepalive_timeout=2 * HEADER_SECONDS_MAX,  # ours comes first
        )
        self.connections_max = connections_max
        self.never_refuses = never_refuses

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)


class Connection(RequestHandler):
    """One connection, which waits for a header, or works on a request."""

    __slots__ = ("_has_begun", "_header_timer", "is_surplus")

    def __init__(self, manager: Connections, **arguments: Any) -> None:
        super().__init__(manager, **arguments)
        self._header_timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self.is_surplus = False
        """Whether it came when there were as many as may be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(self._manager, Connections)
        manager = self._manager
        super().connection_made(transport)
        surplus = len(manager.connections) - manager.connections_max
        if surplus > 0 and not _close_idle(manager, self):
            self.is_surplus = True
        if surplus > SURPLUS_MAX:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self.answered()

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.header_came()
        super().connection_lost(exc)

    def header_came(self) -> None:
        """From here on the request has its own limits."""
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def answered(self) -> None:
        """It waits for the next header."""
        self._has_begun = False
        self._header_timer = asyncio.get_running_loop().call_later(HEADER_SECONDS_MAX, self._too_slow)

    @property
    def is_idle(self) -> bool:
        return self._header_timer is not None and not self._has_begun and self._request_count > 0

    def _too_slow(self) -> None:
        transport = self.transport
        if transport is not None and self._has_begun:
            assert isinstance(self._manager, Connections)
            transport.write(_NOT_NOW if self._manager.never_refuses else _TOO_SLOW)
        self.force_close()

    def handle_error(
        self,
        _request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        _message: str | None = None,
    ) -> web.StreamResponse:
        """What is not HTTP is answered; nothing of it is logged, for it may hold a key."""
        if status >= 500:
            log.error("a request failed", fault=type(exc).__name__, exc_info=_without_text(exc))
        assert isinstance(self._manager, Connections)
        if status < 500 and self._manager.never_refuses:
            response = web.Response(status=503, headers={"Retry-After": "5"}, text="the request is not HTTP/1.1\n")
            response.force_close()
            return response
        response = web.Response(status=status, text="the request is not HTTP/1.1\n" if status < 500 else "a fault\n")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **_kw: Any) -> None:
        log.error("a connection failed", what=str(args[0]) if args else "")


def _without_text(fault: BaseException | None) -> BaseException | None:
    """The fault's place: its text may hold what a vendor sent."""
    return None if fault is None else type("Fault", (Exception,), {})().with_traceback(fault.__traceback__)


def _close_idle(manager: Connections, new: Connection) -> bool:
    """Close a connection that only waits for its next request, so that a new one has room."""
    for other in manager.connections:
        if isinstance(other, Connection) and other is not new and other.is_idle:
            other.force_close()
            return True
    return False

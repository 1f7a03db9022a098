"""The HTTP port of a process: small pages by `GET`, on a thread with a loop of its own, and nothing else.

What it tells comes from functions that answer at once, so a stuck worker does not make its own health page stick. Small
on purpose: twenty connections, five seconds each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streams.web.listener import TrackingServer
from streams.web.server import HttpServer

CONNECTIONS_MAX = 20
"""Two probes, one scrape, and some who look; more are closed at once."""
CONNECTION_SECONDS_MAX = 5.0
"""However slowly it is asked or read: then the connection is closed."""
STOP_SECONDS_MAX = 1.0
"""What answers under way get when the server is closed."""
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = TEXT


Pages = Mapping[str, Callable[[], Page]]


class PageServer:
    """Serves `pages` until it is closed; a `port` of 0 takes any that is free."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        """Raises `PortTaken`."""
        self._pages = pages
        self._server = HttpServer(
            "pages", host, port, self._make, backlog=CONNECTIONS_MAX, stop_seconds=STOP_SECONDS_MAX
        )
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    def _make(self) -> _Server:
        return _Server(self._answer, access_log=None, lingering_time=0)  # probes ask often: not a line each

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        make = self._pages.get(request.path)
        if request.method != "GET":
            page = Page(405, b"GET only\n")
        elif make is None:
            page = Page(404, f"there is {' '.join(self._pages)}\n".encode())
        else:
            page = make()
        headers = {"Content-Type": page.content_type, "Cache-Control": "no-store", "Server": "streams"}
        if page.status == 405:
            headers["Allow"] = "GET"
        response = web.Response(status=page.status, body=page.body, headers=headers)
        response.force_close()
        return response


class _Server(TrackingServer):
    """aiohttp's low-level server, with connections that are few and short."""

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_cut_off",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        is_full = len(self._manager.connections) > CONNECTIONS_MAX if self._manager is not None else True
        self._cut_off = asyncio.get_running_loop().call_later(
            0.0 if is_full else CONNECTION_SECONDS_MAX, transport.abort
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cut_off.cancel()
        super().connection_lost(exc)

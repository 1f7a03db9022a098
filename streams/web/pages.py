"""The HTTP port of a process: small pages by `GET`, on a thread with a loop of its own, and nothing else.

What it tells comes from functions that answer at once, so a stuck worker does not make its own health page stick. Small
on purpose: twenty connections, five seconds each.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

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


class PortTaken(Exception):
    """Nothing can listen at this host and port; the text says why."""


class PageServer:
    """Serves `pages` until it is closed; a `port` of 0 takes any that is free."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        """Raises `PortTaken`."""
        self._pages = pages
        self._loop = asyncio.new_event_loop()
        try:
            self._runner, self.port = self._loop.run_until_complete(self._listen(host, port))
        except OSError as error:
            self._loop.close()
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._loop.run_forever, name="pages", daemon=True)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(2 * CONNECTION_SECONDS_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONNECTION_SECONDS_MAX)
        self._loop.close()

    async def _listen(self, host: str, port: int) -> tuple[web.ServerRunner, int]:
        server = _Server(self._answer, access_log=None, lingering_time=0)  # probes ask often: not a line each
        runner = web.ServerRunner(server, shutdown_timeout=STOP_SECONDS_MAX)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=CONNECTIONS_MAX).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner, int(runner.addresses[0][1])

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


class _Server(web.Server):
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

"""A listening socket and aiohttp's low-level server behind it; no connection is left once it is closed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

BACKLOG = 128
"""Connections that the system keeps until they are accepted."""
HANDSHAKE_SECONDS_MAX = 10.0
"""For TLS, before a connection counts as one."""


class TrackingServer(web.Server):
    """aiohttp's low-level server, which knows its open connections also after its own shutdown."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.open: dict[RequestHandler, asyncio.Transport] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open[handler] = transport

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open.pop(handler, None)


class Listener:
    """Accepts connections for one server, from `open` to `close`. A `port` of 0 takes any that is free."""

    def __init__(self, server: TrackingServer, stop_seconds: float) -> None:
        """Answers under way get `stop_seconds` when it is closed."""
        self._server = server
        self._runner = web.ServerRunner(server, shutdown_timeout=stop_seconds)
        self._accepting: asyncio.Server | None = None

    async def open(
        self, host: str, port: int, *, backlog: int = BACKLOG, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """The address that it listens on. Raises `OSError` if nothing can listen there."""
        await self._runner.setup()
        try:
            self._accepting = await asyncio.get_running_loop().create_server(
                self._server,
                host,
                port,
                backlog=backlog,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HANDSHAKE_SECONDS_MAX,
            )
        except OSError:
            await self._runner.cleanup()
            raise
        address = self._accepting.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def close(self) -> None:
        """Answers under way are given, then every connection is closed. Other tasks of this loop are cancelled."""
        if self._accepting is not None:
            await _stop_accepting(self._accepting)
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:  # TLS handshakes under way
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(self._server.open.values()):
            transport.abort()  # it came during the shutdown, or its peer does not read the answer
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next step


async def _stop_accepting(accepting: asyncio.Server) -> None:
    """Let connections that were accepted get their transports first: asyncio leaks them if its server is closed."""
    loop = asyncio.get_running_loop()
    for listening in accepting.sockets:
        loop.remove_reader(listening.fileno())
    await asyncio.sleep(0)
    accepting.close()

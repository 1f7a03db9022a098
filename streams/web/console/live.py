"""Server-sent events: a page is told that there is something new, and asks for itself again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

HEARTBEAT_SECONDS = 10.0
STREAMS_MAX = 40
"""Open streams; a page without one says that it does not update itself."""


class Live:
    """The streams of all open pages; one loop uses it. `changed` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._number = 0
        self._count = 0
        self._is_closing = False

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which streams are served."""
        self._loop = loop

    def changed(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Streams end: the server waits for open answers."""
        self._is_closing = True
        self.changed()

    def _wake(self) -> None:
        self._number += 1
        self._news.set()
        self._news = asyncio.Event()

    async def stream(self, request: web.BaseRequest, headers: Mapping[str, str]) -> web.StreamResponse:
        if self._count >= STREAMS_MAX:
            return web.Response(status=503, text="too many pages are open\n", headers={**headers, "Retry-After": "30"})
        response = web.StreamResponse(
            headers={**headers, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        self._count += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: 3000\n\n")
            seen = self._number
            while not self._is_closing:
                news = self._news
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        if seen == self._number:
                            await news.wait()
                    seen = self._number
                    await response.write(f"event: changed\ndata: {seen}\n\n".encode())
                except TimeoutError:
                    await response.write(b"event: heartbeat\ndata: \n\n")
        finally:
            self._count -= 1
        return response

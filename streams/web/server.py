"""An HTTP server on a thread with a loop of its own, so that a stuck worker does not make it stick."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable

from streams.web.listener import Listener, TrackingServer

THREAD_SECONDS_MAX = 5.0
"""For the loop's thread to end, once nothing is served any more."""


class PortTaken(Exception):
    """Nothing can listen at this host and port; the text says why."""


class HttpServer:
    """Serves until it is closed; a `port` of 0 takes any that is free."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        make: Callable[[], TrackingServer],
        *,
        backlog: int,
        stop_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`make` is called on the loop. Answers under way get `stop_seconds` at the end. Raises `PortTaken`."""
        self._stop_seconds = stop_seconds
        self.loop = asyncio.new_event_loop()
        try:
            listening = self._listen(host, port, make, stop_seconds, backlog, tls)
            self._listener, self.port = self.loop.run_until_complete(listening)
        except OSError as error:
            self.loop.close()
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answers under way are given, then every connection is closed."""
        closed = asyncio.run_coroutine_threadsafe(self._listener.close(), self.loop)
        closed.result(2 * self._stop_seconds + THREAD_SECONDS_MAX)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(THREAD_SECONDS_MAX)
        self.loop.close()

    async def _listen(
        self,
        host: str,
        port: int,
        make: Callable[[], TrackingServer],
        stop_seconds: float,
        backlog: int,
        tls: ssl.SSLContext | None,
    ) -> tuple[Listener, int]:
        listener = Listener(make(), stop_seconds)
        _, port = await listener.open(host, port, backlog=backlog, tls=tls)
        return listener, port

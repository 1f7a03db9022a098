"""A server that is closed leaves no connection open, whatever its peers do."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from aiohttp import web

from streams.web.listener import TrackingServer
from streams.web.server import HttpServer

ANSWER = b"x" * 900_000
REQUESTS = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" * 9
STOP_SECONDS = 0.2


async def answer(_: web.BaseRequest) -> web.Response:
    return web.Response(body=ANSWER)


@contextmanager
def sender(port: int) -> Iterator[socket.socket]:
    """Sends requests and reads no answer, unless the caller does."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        connection.sendall(REQUESTS)
        yield connection


def read_to_the_end(connection: socket.socket) -> None:
    """Raises `TimeoutError` if the server keeps the connection."""
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass


# A transport that is still open when it is collected is a ResourceWarning, which fails the test.
@pytest.mark.parametrize("are_answered", [False, True], ids=["accepted a moment ago", "their answers are not read"])
def test_no_connection_is_open_after_the_server_was_closed(are_answered: bool) -> None:
    for _ in range(10):
        server = HttpServer(
            "listener", "127.0.0.1", 0, lambda: TrackingServer(answer), backlog=100, stop_seconds=STOP_SECONDS
        )
        with ExitStack() as stack:
            senders = [stack.enter_context(sender(server.port)) for _ in range(5)]
            if are_answered:
                assert all(connection.recv(1) for connection in senders)
            server.close()
            gc.collect()
            for connection in senders:
                read_to_the_end(connection)

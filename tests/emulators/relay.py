"""TLS before a local server that speaks none: some libraries send credentials over HTTPS only."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

BLOCK_BYTES = 65_536
START_SECONDS_MAX = 60.0


@contextmanager
def over_tls(url: str, context: ssl.SSLContext) -> Iterator[int]:
    """The port of the loopback where the server of this address is to be had over TLS."""
    address = urlsplit(url)
    listening: queue.Queue[tuple[int, Callable[[], object]]] = queue.Queue()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(address.hostname, address.port)
        try:
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        except OSError:
            pass  # a client that does not trust us, or left
        finally:
            to_server.close()
            writer.close()

    async def listen() -> None:
        is_over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
            listening.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(is_over.set)))
            await is_over.wait()

    thread = threading.Thread(target=asyncio.run, args=(listen(),), daemon=True)
    thread.start()
    port, end = listening.get(timeout=START_SECONDS_MAX)
    try:
        yield port
    finally:
        end()
        thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What one side says to the other, until it ends."""
    while block := await reader.read(BLOCK_BYTES):
        writer.write(block)
        await writer.drain()
    writer.close()

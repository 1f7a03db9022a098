"""Stands before the embedded broker, and holds its answers to idle consumers. A program: RELAY_PORT BROKER_PORT.

noida-db answers a fetch that finds nothing at once, whatever time the client gives it to wait. An idle consumer then
asks it more than ten thousand times a second, and a few of them take the whole machine. What a fetch finds nothing new
with is the same byte for byte as an earlier answer on its connection: such an answer is held for `HOLD_SECONDS`.

It imports nothing of `streams`: it must start at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio import StreamReader, StreamWriter

HOST = "127.0.0.1"
HOLD_SECONDS = 0.05
FETCH = b"\x00\x01"
"""A request begins with the number of its kind, its version, and in four bytes the correlation id of its answer."""
REMEMBERED_BYTES_MAX = 4096
"""Of an answer; longer ones carry records."""
REMEMBERED_MAX = 1000
"""Answers of a connection: a client asks for its partitions in an order that turns."""


async def relay(relay_port: int, broker_port: int) -> None:
    """Until SIGTERM or SIGINT."""

    async def connected(from_client: StreamReader, to_client: StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection(HOST, broker_port)
        except OSError:
            to_client.close()
            return
        connection = Connection(broker_port, relay_port)
        both = (connection.requests(from_client, to_broker), connection.answers(from_broker, to_client))
        tasks = [asyncio.create_task(way) for way in both]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        to_broker.close()
        to_client.close()

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(connected, HOST, relay_port)
    await stop.wait()
    server.close()


class Connection:
    """One client's connection to the broker. Each way ends with an exception when a side closes it."""

    def __init__(self, broker_port: int, relay_port: int) -> None:
        self._broker_address = _address(broker_port)
        self._relay_address = _address(relay_port)
        self._fetches: set[bytes] = set()
        """Correlation ids of fetches that have no answer yet."""
        self._remembered: set[bytes] = set()

    async def requests(self, from_client: StreamReader, to_broker: StreamWriter) -> None:
        while True:
            length, request = await _message(from_client)
            if request[:2] == FETCH:
                self._fetches.add(request[4:8])
            to_broker.write(length + request)
            await to_broker.drain()

    async def answers(self, from_broker: StreamReader, to_client: StreamWriter) -> None:
        while True:
            length, answer = await _message(from_broker)
            if answer[:4] in self._fetches:
                self._fetches.discard(answer[:4])
                if self._is_known(answer[4:]):
                    await asyncio.sleep(HOLD_SECONDS)
            # Clients come back to the relay. Both addresses are equally long.
            to_client.write(length + answer.replace(self._broker_address, self._relay_address))
            await to_client.drain()

    def _is_known(self, content: bytes) -> bool:
        if len(content) > REMEMBERED_BYTES_MAX:
            return False
        if content in self._remembered:
            return True
        if len(self._remembered) == REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered.add(content)
        return False


async def _message(reader: StreamReader) -> tuple[bytes, bytes]:
    """The four bytes that say its length, and the rest."""
    length = await reader.readexactly(4)
    return length, await reader.readexactly(int.from_bytes(length, "big"))


def _address(port: int) -> bytes:
    """As answers hold it: the host, and its port in four bytes."""
    return HOST.encode() + port.to_bytes(4, "big")


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2])))

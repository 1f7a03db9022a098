"""Runs an emulator: in this process until it is stopped, or in a thread of a test."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable

from streams.emulators.braze.options import BrazeOptions
from streams.emulators.braze.server import BrazeServer
from streams.emulators.faults import Fault
from streams.emulators.mixpanel.options import MixpanelOptions
from streams.emulators.mixpanel.server import MixpanelServer
from streams.emulators.mparticle.options import MParticleOptions
from streams.emulators.mparticle.server import MParticleServer
from streams.emulators.service import Service
from streams.web.listener import Listener, TrackingServer

START_SECONDS_MAX = 60.0
"""The server must listen within this time."""
STOP_SECONDS_MAX = 0.1
"""How long running calls may go on when the server stops: a scripted delay must not delay the end of a test."""

Options = MixpanelOptions | MParticleOptions | BrazeOptions
OPTIONS: dict[str, type[MixpanelOptions] | type[MParticleOptions] | type[BrazeOptions]] = {
    "braze": BrazeOptions,
    "mixpanel": MixpanelOptions,
    "mparticle": MParticleOptions,
}
"""Kinds of emulators, and the options of each."""


def service(options: Options, faults: Iterable[Fault] = ()) -> Service:
    """The emulator that these options describe."""
    match options:
        case MixpanelOptions():
            return Service(MixpanelServer(options), faults, options.keep)
        case MParticleOptions():
            return Service(MParticleServer(options), faults, options.keep)
        case BrazeOptions():
            return Service(BrazeServer(options), faults, options.keep)


def run(
    options: Options,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Iterable[Fault] = (),
    listening: Callable[[str], None] = print,
) -> None:
    """Serve until SIGINT or SIGTERM. `listening` is called once with the address, such as `http://127.0.0.1:8401`.

    Raises `OSError` if it cannot listen on the address.
    """

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _serve(service(options, faults), host, port, listening, stop)

    asyncio.run(main())


class HostedService:
    """A service on a thread of this process. `stop` ends thread and sockets, and may be called twice."""

    def __init__(self, options: Options, faults: Iterable[Fault] = ()) -> None:
        self._service = service(options, faults)
        self._listening = threading.Event()
        self._base_url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),), name="emulator", daemon=True)

    def start(self) -> str:
        """Listen on a free port of the loopback. Returns the address. Raises `TimeoutError`."""
        self._thread.start()
        if not self._listening.wait(START_SECONDS_MAX):
            raise TimeoutError(f"the emulator does not listen after {START_SECONDS_MAX:g} s")
        return self._base_url

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await _serve(self._service, "127.0.0.1", 0, self._announce, self._stop)

    def _announce(self, base_url: str) -> None:
        self._base_url = base_url
        self._listening.set()


async def _serve(service: Service, host: str, port: int, listening: Callable[[str], None], stop: asyncio.Event) -> None:
    # The ledger needs the bytes as they were sent. The vendors' code unpacks gzip itself.
    server = TrackingServer(service.handle, auto_decompress=False, access_log=None, lingering_time=0)
    listener = Listener(server, STOP_SECONDS_MAX)
    try:
        address = await listener.open(host, port)
        listening(f"http://{address[0]}:{address[1]}")
        sending = asyncio.create_task(service.run())
        await stop.wait()
        sending.cancel()
    finally:
        await listener.close()

"""HTTP to destinations, registries and webhooks: aiohttp on a thread of its own, foreign exceptions translated here.

Certificates are always verified; the configuration may add authorities, and a proxy that everything goes through.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from streams.adapters.no_connection import why_no_connection
from streams.config.http import Http, Proxy
from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.http import Answer

CONNECT_SECONDS_MAX = 10.0
REQUEST_SECONDS_MAX = 30.0
"""A request that takes longer is one whose answer is lost: the same bytes go out again."""
BODY_BYTES_MAX = 1_000_000
"""Answers are small; a refusal that names each of 2,000 records is about 400 kB."""
CONNECTIONS_MAX = 32
START_SECONDS_MAX = 10.0


class HttpTransport:
    """Sends requests in the background; answers come through a queue, so one thread decides everything."""

    def __init__(self, outgoing: Http | None = None, *, request_seconds_max: float = REQUEST_SECONDS_MAX) -> None:
        """`outgoing` says how requests leave: authorities to trust in addition to the system's, and a proxy."""
        outgoing = outgoing or Http()
        self._outgoing = outgoing
        self._tls = None if outgoing.ca_file is None else outgoing.tls()
        self._proxy = outgoing.proxy
        self._timeout = aiohttp.ClientTimeout(total=request_seconds_max, connect=CONNECT_SECONDS_MAX)
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="http", daemon=True)
        self._thread.start()
        assert started.wait(START_SECONDS_MAX), "the HTTP thread did not start"

    def submit(self, ticket: int, request: Request) -> None:
        """Send in the background; the answer comes with this ticket."""
        self._loop.call_soon_threadsafe(self._start, ticket, request)

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        """Answers that came; waits up to the time-out for the first."""
        answers: list[Answer] = []
        try:
            answers.append(self._answers.get(timeout_seconds > 0.0, timeout_seconds or None))
            while True:
                answers.append(self._answers.get_nowait())
        except queue.Empty:
            return answers

    def fetch(self, request: Request) -> Response | NoResponse:
        """Send and wait for the answer."""
        return asyncio.run_coroutine_threadsafe(self._send(request), self._loop).result()

    def close(self) -> None:
        """Drop what is in flight and end the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_SECONDS_MAX)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_SECONDS_MAX)
            self._loop.close()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(started.set)
        self._loop.run_forever()

    def _start(self, ticket: int, request: Request) -> None:
        task = self._loop.create_task(self._answer(ticket, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ticket: int, request: Request) -> None:
        began = time.monotonic()
        outcome = await self._send(request)
        self._answers.put(Answer(ticket, outcome, time.monotonic() - began))

    async def _send(self, request: Request) -> Response | NoResponse:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        try:
            way = _way(self._proxy, request)
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=way.headers,
                allow_redirects=False,
                proxy=way.proxy,
                proxy_headers=way.proxy_headers,
                ssl=self._verified_by(request.url, way.proxy),
            ) as answer:
                body = await answer.content.read(BODY_BYTES_MAX + 1)
                while len(body) <= BODY_BYTES_MAX and not answer.content.at_eof():
                    body += await answer.content.read(BODY_BYTES_MAX + 1 - len(body))
                if len(body) > BODY_BYTES_MAX:
                    return NoResponse(f"status {answer.status} with a body over {BODY_BYTES_MAX} bytes")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError) as error:
            return NoResponse(f"TLS: {_tls_reason(error)}", is_misconfigured=True)
        except aiohttp.ClientHttpProxyError as error:
            return NoResponse(f"the proxy answers {error.status}", is_misconfigured=400 <= error.status < 500)
        except aiohttp.ClientProxyConnectionError as error:
            return NoResponse(f"the proxy does not answer: {why_no_connection(error)}")
        except _NoWay as error:  # a file that is swapped is away for a moment: wait, and try again
            return NoResponse(str(error))
        except TimeoutError:
            return NoResponse("no answer in time")
        except aiohttp.ClientPayloadError:
            return NoResponse("the answer was cut off")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NoResponse(f"no answer: {why_no_connection(error)}")

    def _verified_by(self, *addresses: str | None) -> ssl.SSLContext | bool:
        """What verifies the certificates of these addresses. Made when one has any: to read the system's authorities
        costs as much as a hundred requests."""
        if not any(address is not None and address.lower().startswith("https:") for address in addresses):
            return True
        if self._tls is None:
            self._tls = self._outgoing.tls()
        return self._tls

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


class _NoWay(Exception):
    """The request cannot leave as the configuration says."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How one request leaves. `proxy_headers` are for the proxy that opens a tunnel, and for nobody behind it."""

    headers: Mapping[str, str]
    proxy: str | None = None
    proxy_headers: Mapping[str, str] | None = None


def _way(proxy: Proxy | None, request: Request) -> _Way:
    """The proxy, if it is for this host, and our credentials there, read again each time. Raises `_NoWay`."""
    address = urlsplit(request.url)
    if proxy is None or not proxy.is_for(address.hostname or ""):
        return _Way(request.headers)
    if proxy.username is None or proxy.password is None:
        return _Way(request.headers, proxy.url)
    try:
        password = proxy.password.reveal()
    except ValueError as error:
        raise _NoWay(f"http.proxy.password: {error}") from None
    credentials = {"Proxy-Authorization": aiohttp.encode_basic_auth(proxy.username, password)}
    if address.scheme == "https":
        return _Way(request.headers, proxy.url, credentials)
    return _Way({**request.headers, **credentials}, proxy.url)


def _tls_reason(error: Exception) -> str:
    """Why a certificate was not accepted, in OpenSSL's words; else the kind of failure."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(error).__name__

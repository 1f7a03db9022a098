"""Sends what the emulated Custom HTTP connector of Braze has to send, over real HTTP, until nothing is left to do."""

from __future__ import annotations

import gzip
import http.client
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import orjson

from streams.emulators.braze.currents import HEADERS, CurrentsConnector, Event

ANSWER_SECONDS_MAX = 60.0


def post(url: str, token: str, body: bytes, *, is_gzip: bool = False) -> int | None:
    """The status of the answer; None where none came."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=ANSWER_SECONDS_MAX)
    headers = {**HEADERS, **({"Authorization": f"Bearer {token}"} if token else {})}
    if is_gzip:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 1)
    try:
        connection.request("POST", place.path or "/", body, headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException, ssl.SSLError):
        return None
    else:
        return response.status
    finally:
        connection.close()


def body_of(events: Sequence[Event]) -> bytes:
    return orjson.dumps({"events": list(events)})


def run(
    connector: CurrentsConnector,
    send: Callable[[bytes], int | None],
    *,
    now_ms: Callable[[], int],
    sleep: Callable[[float], object],
    told: Callable[[int | None, int], None] = lambda _status, _events: None,
) -> None:
    """Send until all is delivered or dropped, or the connector is disabled. `told` of each answer."""
    while not connector.is_over:
        wait_ms = connector.due_ms() - now_ms()
        if wait_ms > 0:
            sleep(wait_ms / 1000)
        events = connector.request()
        status = send(body_of(events))
        connector.answered(status, now_ms())
        told(status, len(events))

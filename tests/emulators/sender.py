"""A sender that knows nothing of the emulators' inside: one request, one answer."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from streams.testing.emulators import MixpanelEmulator, MParticleEmulator

TIMEOUT_SECONDS = 60.0
DAY_MS = 86_400_000
NOON_MS = (int(time.time()) * 1000 // DAY_MS - 1) * DAY_MS + DAY_MS // 2
"""Yesterday: late enough for every retention, early enough for every clock."""


@dataclass(frozen=True)
class Received:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(
    base_url: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    method: str = "POST",
    timeout: float | None = None,
) -> Received:
    address = urlsplit(base_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout or TIMEOUT_SECONDS)
    with closing(connection):
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        with answer:
            return Received(answer.status, dict(answer.headers), answer.read())


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def import_bytes(
    mixpanel: MixpanelEmulator,
    body: bytes,
    *,
    path: str = "/import?strict=1",
    headers: dict[str, str] | None = None,
    timeout: float | None = None,
) -> Received:
    """Send with the project token, as it is."""
    given = {"Content-Type": "application/json", **basic(mixpanel.project_token, ""), **(headers or {})}
    return send(mixpanel.base_url, path, body, given, timeout=timeout)


def import_events(
    mixpanel: MixpanelEmulator, events: Any, *, path: str = "/import?strict=1", timeout: float | None = None
) -> Received:
    """Send as a sink does: a JSON array, gzip."""
    body = gzip.compress(json.dumps(events).encode(), mtime=0)
    return import_bytes(mixpanel, body, path=path, headers={"Content-Encoding": "gzip"}, timeout=timeout)


@contextmanager
def unanswered(mixpanel: MixpanelEmulator, events: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection on which events were sent, and nothing was read. At the end the sender goes away."""
    address = urlsplit(mixpanel.base_url)
    assert address.hostname is not None
    given = {"Content-Type": "application/json", **basic(mixpanel.project_token, "")}
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_SECONDS)) as connection:
        connection.request("POST", "/import?strict=1", json.dumps(events).encode(), given)
        yield connection


def event(number: int = 1, /, **properties: Any) -> dict[str, Any]:
    """An event that breaks no rule; properties given as None are left out."""
    given: dict[str, Any] = {
        "time": NOON_MS,
        "distinct_id": "user-1",
        "$user_id": "user-1",
        "$insert_id": f"event-{number}",
        "ip": 0,
    }
    given |= properties
    return {"event": "Email Open", "properties": {name: value for name, value in given.items() if value is not None}}


def post_batches(
    mparticle: MParticleEmulator,
    content: Any,
    *,
    path: str = "/v2/bulkevents",
    feed: str = "ios",
    headers: dict[str, str] | None = None,
) -> Received:
    keys = mparticle.feeds[feed]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {"Content-Type": "application/json", **basic(keys.key, keys.secret), **(headers or {})}
    return send(mparticle.base_url, path, body, given)


def batch(number: int = 1, /, **fields: Any) -> dict[str, Any]:
    """A batch that breaks no rule: one custom event of one user."""
    given: dict[str, Any] = {
        "environment": "production",
        "source_request_id": f"request-{number}",
        "user_identities": {"customer_id": "user-1"},
        "events": [custom_event(number)],
    }
    return given | fields


def custom_event(number: int = 1, /, **data: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "event_name": "Email Opens",
        "custom_event_type": "other",
        "source_message_id": f"message-{number}",
        "timestamp_unixtime_ms": NOON_MS,
        "custom_attributes": {"campaign_id": "campaign-1"},
    }
    return {"event_type": "custom_event", "data": given | data}

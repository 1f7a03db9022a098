"""mParticle: requests to the Events API, and what its answers mean.

Source of the rules: mParticle's pages on the HTTP Events API and on default service limits. Only 202 is success; a bulk
202 can hide a refused batch, so batches are checked before, and the first of each kind goes alone through `/v2/events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from streams.delivery.contract import (
    Delivered,
    Encoder,
    Limits,
    Misconfigured,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations.detail import masked
from streams.destinations.mparticle import encoder as encoding
from streams.destinations.mparticle.settings import MParticleSettings
from streams.destinations.wire import basic, is_html
from streams.events.schema import WriterSchema

LIMITS = Limits(
    batch_records_max=100,
    batch_bytes_max=255_000,  # a request "must be under" 256 kB
    record_bytes_max=encoding.RECORD_BYTES_MAX,
    requests_in_flight_max=8,
    retry_base_seconds=1.0,
    records_per_second=270.0,  # per account, by default
)


ERRORS_MAX = 10
"""More than so many messages of one answer say nothing new."""


class MParticleDestination:
    """One configured account, with its feeds' credentials as scopes."""

    def __init__(self, settings: MParticleSettings) -> None:
        self._settings = settings
        self._scope_of_feed = settings.scopes()
        self._scopes = tuple(dict.fromkeys(self._scope_of_feed.values()))
        pairs = {scope: settings.feeds[scope].pair() for scope in self._scopes}  # type: ignore[index]
        credentials = {scope: basic(*pair) for scope, pair in pairs.items()}
        self._secrets = (
            *(text.removeprefix("Basic ") for text in credentials.values()),
            *(text for pair in pairs.values() for text in pair),
        )
        self._headers = {
            scope: {"Authorization": text, "Content-Type": "application/json"} for scope, text in credentials.items()
        }

    @property
    def scopes(self) -> tuple[str, ...]:
        return self._scopes

    @property
    def limits(self) -> Limits:
        return LIMITS

    @property
    def vets_kinds(self) -> bool:
        return True

    @property
    def marks_again(self) -> bool:
        return True  # a `source_request_id` that was seen within 30 to 60 days is swallowed

    def again(self, body: bytes, job: str) -> bytes:
        batch = orjson.loads(body)
        batch["source_request_id"] = f"{batch['source_request_id']}:{job}"
        return orjson.dumps(batch)

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        return encoding.encoder(schema, self._settings, self._scope_of_feed)

    def request(self, scope: str, bodies: Sequence[bytes], *, alone: bool) -> Request:
        """An array to `/v2/bulkevents`; alone, the one batch to `/v2/events`. Not compressed: no page allows it."""
        if alone:
            return Request("POST", f"{self._settings.base}/v2/events", self._headers[scope], bodies[0])
        body = b"[" + b",".join(bodies) + b"]"
        return Request("POST", f"{self._settings.base}/v2/bulkevents", self._headers[scope], body)

    def interpret(self, response: Response, records: int, *, alone: bool) -> Verdict:
        status = response.status
        if status == 202:
            return Delivered(_rate_used(response))
        if 200 <= status < 300:
            return Misconfigured(f"status {status}, and mParticle answers 202: is this mParticle?")
        if status in (400, 413):
            return Undetermined(self._detail(response), status)
        if status in (401, 403):
            if is_html(response):
                return Misconfigured(f"status {status} with HTML: a proxy answered in mParticle's place")
            return Unauthorised(status, self._detail(response))
        if status in (408, 429) or status >= 500:
            return Retry(
                self._throttled(response) if status == 429 else f"status {status}",
                response.headers.get("retry-after"),
                is_throttling=status == 429,
                is_server_error=status >= 500,
                status=status,
            )
        return Misconfigured(f"status {status}: {self._detail(response)}")

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        """One event of an identity of our own, in the development environment."""
        batch = {
            "environment": "development",
            "source_request_id": nonce,
            "user_identities": {"customer_id": "streams-probe"},
            "events": [
                {
                    "event_type": "custom_event",
                    "data": {
                        "event_name": "streams probe",
                        "custom_event_type": "other",
                        "timestamp_unixtime_ms": now_ms,
                        "source_message_id": nonce,
                    },
                }
            ],
        }
        return self.request(scope, [orjson.dumps(batch)], alone=True)

    def _detail(self, response: Response) -> str:
        """The first error's message, as mParticle words it."""
        try:
            errors: Any = orjson.loads(response.body)["errors"]
            text = "; ".join(str(error["message"]) for error in errors[:ERRORS_MAX])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            text = ""
        return masked(text or f"status {response.status}", self._secrets)

    @staticmethod
    def _throttled(response: Response) -> str:
        limit = response.headers.get("x-mp-rate-limit-exceeded", "").strip('"')
        return f"status 429, limit of the {limit}" if limit.isalpha() else "status 429"


def _rate_used(response: Response) -> float | None:
    """Share of the speed or acceleration limit that is in use: `X-mp-rate-limit-percentage-used`."""
    percentage = response.headers.get("x-mp-rate-limit-percentage-used", "").strip('"')
    return int(percentage) / 100 if percentage.isdecimal() else None

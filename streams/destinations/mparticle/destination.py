"""mParticle: requests to the Events API, and what its answers mean.

Source of the rules: mParticle's pages on the HTTP Events API and on default service limits. Only 202 is success; a bulk
202 can hide a refused batch, so batches are checked before, and the first of each kind goes alone through `/v2/events`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from streams.delivery.contract import (
    Delivered,
    Destination,
    Encoder,
    Limits,
    Misconfigured,
    Request,
    Response,
    Verdict,
    Vetting,
)
from streams.destinations.answers import Answers
from streams.destinations.detail import masked
from streams.destinations.mparticle import encoder as encoding
from streams.destinations.mparticle.settings import MParticleSettings
from streams.destinations.privacy import EVERYTHING, Privacy
from streams.destinations.wire import basic, json_array
from streams.events.schema import WriterSchema

LIMITS = Limits(
    batch_records_max=100,
    batch_bytes_max=255_000,  # a request "must be under" 256 kB
    record_bytes_max=encoding.RECORD_BYTES_MAX,
    requests_in_flight_max=8,
    retry_base_seconds=1.0,
    records_per_second=270.0,  # per account, by default
)
FIELD_NAMES = re.compile(
    r"events|data|event_(type|name)|custom_(event_type|attributes)|timestamp_unixtime_ms|source_(message|request)_id"
    r"|user_identities|customer_?id|user_attributes|device_info|platform|environment|schema_version"
)
ERRORS_MAX = 10
"""More than so many messages of one answer say nothing new."""


class MParticleDestination(Destination):
    """One configured account, with its feeds' credentials as scopes."""

    def __init__(self, settings: MParticleSettings, privacy: Privacy = EVERYTHING) -> None:
        self._settings = settings
        self._privacy = privacy
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
        self._answers = Answers(
            "mParticle", _accepted, accepts=frozenset({202}), words=self._words, retry_words=_throttled
        )
        self._vetting = _SingleEvents(settings.base, self._headers)

    @property
    def scopes(self) -> tuple[str, ...]:
        return self._scopes

    @property
    def limits(self) -> Limits:
        return LIMITS

    @property
    def vetting(self) -> Vetting:
        return self._vetting

    @property
    def again(self) -> Callable[[bytes, str], bytes]:
        """A `source_request_id` that was seen within 30 to 60 days is swallowed: a copy has another."""
        return _again

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        return encoding.encoder(schema, self._settings, self._scope_of_feed, self._privacy)

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        """An array to `/v2/bulkevents`. Not compressed: no page allows it."""
        return Request("POST", f"{self._settings.base}/v2/bulkevents", self._headers[scope], json_array(bodies))

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        return self._answers.verdict(response, request, records)

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
        return self._vetting.request(scope, orjson.dumps(batch))

    def _words(self, response: Response) -> str:
        """The errors' messages, as mParticle words them."""
        try:
            errors: Any = orjson.loads(response.body)["errors"]
            text = "; ".join(str(error["message"]) for error in errors[:ERRORS_MAX])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            text = ""
        return masked(text, self._secrets, FIELD_NAMES)


class _SingleEvents:
    """The first of each kind goes alone to `/v2/events`, where a refusal is visible."""

    def __init__(self, base: str, headers: Mapping[str, Mapping[str, str]]) -> None:
        self._url = f"{base}/v2/events"
        self._headers = headers

    def request(self, scope: str, body: bytes) -> Request:
        return Request("POST", self._url, self._headers[scope], body)


def _again(body: bytes, job: str) -> bytes:
    batch = orjson.loads(body)
    batch["source_request_id"] = f"{batch['source_request_id']}:{job}"
    return orjson.dumps(batch)


def _accepted(response: Response, _request: Request, _records: int) -> Verdict:
    """mParticle's 202 is empty; a body that is not says that somebody else answered."""
    if response.body.strip() not in (b"", b"{}"):
        return Misconfigured("status 202 with a body that is not mParticle's: did a proxy answer?")
    return Delivered(_rate_used(response))


def _throttled(response: Response) -> str:
    limit = response.headers.get("x-mp-rate-limit-exceeded", "").strip('"')
    return f"status 429, limit of the {limit}" if response.status == 429 and limit.isalpha() else ""


def _rate_used(response: Response) -> float | None:
    """Share of the speed or acceleration limit that is in use: `X-mp-rate-limit-percentage-used`."""
    percentage = response.headers.get("x-mp-rate-limit-percentage-used", "").strip('"')
    return int(percentage) / 100 if percentage.isdecimal() else None

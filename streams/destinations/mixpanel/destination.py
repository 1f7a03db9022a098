"""Mixpanel: requests to `/import` with `strict=1`, and what its answers mean.

Source of the rules: Mixpanel's reference on importing events. With `strict=1` the valid events of a 400 are ingested,
and `failed_records` name the others by their place in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from isal import igzip

from streams.delivery.contract import (
    Delivered,
    Encoder,
    Limits,
    Misconfigured,
    Refused,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations.detail import masked
from streams.destinations.mixpanel import encoder as encoding
from streams.destinations.mixpanel.settings import MixpanelSettings
from streams.destinations.wire import basic, is_html
from streams.events.schema import WriterSchema

LIMITS = Limits(
    batch_records_max=2_000,
    batch_bytes_max=10_000_000,
    record_bytes_max=encoding.RECORD_BYTES_MAX,
    requests_in_flight_max=10,  # Mixpanel recommends 10 to 20 clients at once
    retry_base_seconds=2.0,  # back off from 2 s, doubling to 60 s
    records_per_second=None,
)
GZIP_LEVEL = 1
"""isal's level 1 is as small as its level 2 here, and a fifth of zlib's cost."""


class MixpanelDestination:
    """One configured project."""

    def __init__(self, settings: MixpanelSettings) -> None:
        self._settings = settings
        self._token = settings.project_token.reveal()
        query = "strict=1"
        if settings.auth is None:
            user, password = self._token, ""
        elif settings.auth.service_account is not None:
            account = settings.auth.service_account
            user, password = account.username, account.secret.reveal()
            query += f"&project_id={account.project_id}"
        else:
            assert settings.auth.api_secret is not None
            user, password = settings.auth.api_secret.reveal(), ""
        credentials = basic(user, password)
        self._secrets = (credentials.removeprefix("Basic "), self._token, user, password)
        self._url = f"{settings.base}/import?{query}"
        self._headers = {
            "Authorization": credentials,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Accept": "application/json",
        }

    @property
    def scopes(self) -> tuple[str, ...]:
        return (encoding.SCOPE,)

    @property
    def limits(self) -> Limits:
        return LIMITS

    @property
    def vets_kinds(self) -> bool:
        return False

    @property
    def marks_again(self) -> bool:
        return False  # the same `$insert_id` overwrites an event, which is what a copy is wanted for

    def again(self, body: bytes, job: str) -> bytes:
        return body

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        return encoding.encoder(
            schema,
            project_token=self._token,
            event_names=self._settings.event_names,
            device_properties=self._settings.device_properties,
        )

    def request(self, scope: str, bodies: Sequence[bytes], *, alone: bool) -> Request:
        """A JSON array, gzipped; the same bodies give the same bytes (the gzip header carries no time)."""
        body = igzip.compress(b"[" + b",".join(bodies) + b"]", GZIP_LEVEL, mtime=0)
        return Request("POST", self._url, self._headers, body)

    def interpret(self, response: Response, records: int, *, alone: bool) -> Verdict:
        status = response.status
        if 200 <= status < 300:
            return self._accepted(response, records)
        if status == 400:
            return self._refused(response, records)
        if status == 413:
            return Undetermined(self._detail(response, "413"), 413)
        if status in (401, 403):
            if is_html(response):
                return Misconfigured(f"status {status} with HTML: a proxy answered in Mixpanel's place")
            return Unauthorised(status, self._detail(response, f"status {status}"))
        if status in (408, 429) or status >= 500:
            return Retry(
                f"status {status}",
                response.headers.get("retry-after"),
                is_throttling=status == 429,
                is_server_error=status >= 500,
                status=status,
            )
        return Misconfigured(f"status {status}: {self._detail(response, 'no text')}")

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        """One event without a user that Mixpanel drops (`$ignore`)."""
        event = {
            "event": "streams probe",
            "properties": {
                "token": self._token,
                "distinct_id": "",
                "time": now_ms,
                "$insert_id": nonce,
                "$ignore": True,
                "ip": 0,
            },
        }
        return self.request(scope, [orjson.dumps(event)], alone=True)

    def _accepted(self, response: Response, records: int) -> Verdict:
        """A whole 2xx in Mixpanel's JSON accounts for every record, or leaves some record undetermined."""
        text = response.body.strip()
        if is_html(response):
            return Misconfigured(f"status {response.status} with HTML: a proxy answered in Mixpanel's place")
        if not text:
            return Undetermined("not imported: an empty answer", response.status)
        content = _json(text)
        if content is None and text.startswith(b"{"):
            return Retry(f"status {response.status} with an answer that is cut off", status=response.status)
        if content is None:
            return Misconfigured(f"status {response.status} with a body that is not Mixpanel's")
        if content and not {"code", "status", "num_records_imported", "error"} & content.keys():
            return Misconfigured(f"status {response.status} with a body that is not Mixpanel's")
        imported = content.get("num_records_imported")
        if imported == records and not isinstance(imported, bool):
            return Delivered()
        return Undetermined(f"not imported: {self._detail(response, 'no count')}", response.status)

    def _refused(self, response: Response, records: int) -> Verdict:
        """A 400: usable if it names records by place, and its counts add up to what was sent."""
        undetermined = Undetermined(self._detail(response, "status 400"), 400)
        content = _json(response.body)
        failed = None if content is None else content.get("failed_records")
        if content is None or not isinstance(failed, list) or not failed:
            return undetermined
        details: dict[int, str] = {}
        for record in failed:
            index = record.get("index") if isinstance(record, dict) else None
            if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < records or index in details:
                return undetermined
            message, field = record.get("message"), record.get("field")
            text = message if isinstance(message, str) and message else f"refused: {field}"
            details[index] = masked(text, self._secrets)
        if content.get("num_records_imported") != records - len(details):
            return undetermined
        return Refused(details)

    def _detail(self, response: Response, fallback: str) -> str:
        content = _json(response.body)
        error = None if content is None else content.get("error")
        text = error if isinstance(error, str) and error else fallback
        if content is not None and isinstance(content.get("failed_records"), list):
            first = next(iter(content["failed_records"]), None)
            if isinstance(first, str):
                text = f"{text}: {first}"
            elif isinstance(first, dict) and isinstance(first.get("message"), str):
                text = f"{text}: {first['message']}"
        return masked(text, self._secrets)


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None

"""Mixpanel: requests to `/import` with `strict=1`, and what its answers mean.

Source of the rules: Mixpanel's reference on importing events. With `strict=1` the valid events of a 400 are ingested,
and `failed_records` name the others by their place in the batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
from isal import igzip

from streams.delivery.contract import (
    Delivered,
    Destination,
    Encoder,
    Limits,
    Misconfigured,
    Refused,
    Request,
    Response,
    Retry,
    Undetermined,
    Verdict,
)
from streams.destinations.answers import Answers
from streams.destinations.detail import masked
from streams.destinations.mixpanel import encoder as encoding
from streams.destinations.mixpanel.settings import MixpanelSettings
from streams.destinations.privacy import EVERYTHING, Privacy
from streams.destinations.wire import basic, json_array
from streams.events.schema import WriterSchema

LIMITS = Limits(
    batch_records_max=2_000,
    batch_bytes_max=10_000_000,
    record_bytes_max=encoding.RECORD_BYTES_MAX,
    requests_in_flight_max=10,  # Mixpanel recommends 10 to 20 clients at once
    retry_base_seconds=2.0,  # back off from 2 s, doubling to 60 s
    records_per_second=None,
)
FIELD_NAMES = re.compile(r"properties(\.[\w$]+)?|event|token|time|distinct_id|\$user_id|\$insert_id")
GZIP_LEVEL = 1
"""isal's level 1 is as small as its level 2 here, and a fifth of zlib's cost."""


class MixpanelDestination(Destination):
    """One configured project."""

    def __init__(self, settings: MixpanelSettings, privacy: Privacy = EVERYTHING) -> None:
        self._settings = settings
        self._privacy = privacy
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
        self._answers = Answers("Mixpanel", self._accepted, refused=self._refused, words=self._words)

    @property
    def scopes(self) -> tuple[str, ...]:
        return (encoding.SCOPE,)

    @property
    def limits(self) -> Limits:
        return LIMITS

    # No `again`: the same `$insert_id` overwrites an event, which is what a copy is wanted for.

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        return encoding.encoder(
            schema,
            project_token=self._token,
            event_names=self._settings.event_names,
            device_properties=self._settings.device_properties,
            privacy=self._privacy,
        )

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        """A JSON array, gzipped; the same bodies give the same bytes (the gzip header carries no time)."""
        body = igzip.compress(json_array(bodies), GZIP_LEVEL, mtime=0)
        return Request("POST", self._url, self._headers, body)

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        return self._answers.verdict(response, request, records)

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
        return self.request(scope, [orjson.dumps(event)])

    def _accepted(self, response: Response, _request: Request, records: int) -> Verdict:
        """A whole 2xx in Mixpanel's JSON accounts for every record, or leaves some record undetermined."""
        text = response.body.strip()
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
        return Undetermined(f"not imported: {self._words(response) or 'no count'}", response.status)

    def _refused(self, response: Response, _request: Request, records: int) -> Verdict:
        """A 400: usable if it names records by place, and its counts add up to what was sent."""
        undetermined = Undetermined(self._words(response) or "status 400", 400)
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
            details[index] = masked(text, self._secrets, FIELD_NAMES)
        if content.get("num_records_imported") != records - len(details):
            return undetermined
        return Refused(details)

    def _words(self, response: Response) -> str:
        content = _json(response.body)
        error = None if content is None else content.get("error")
        text = error if isinstance(error, str) else ""
        if content is not None and isinstance(content.get("failed_records"), list):
            first = next(iter(content["failed_records"]), None)
            if isinstance(first, str):
                text = f"{text}: {first}" if text else first
            elif isinstance(first, dict) and isinstance(first.get("message"), str):
                text = f"{text}: {first['message']}" if text else first["message"]
        return masked(text, self._secrets, FIELD_NAMES)


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None

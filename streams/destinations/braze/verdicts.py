"""What Braze's answers mean: its own rows of the table of `streams.destinations.answers`. Each has its test.

Braze names the objects that it refuses by array and index inside it, so the layout of the request turns them into
records. An accepted event must never be sent again, for Braze deduplicates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from streams.delivery.contract import (
    Delivered,
    Misconfigured,
    Refused,
    Request,
    Response,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations.answers import Answers
from streams.destinations.braze.requests import TRACK
from streams.destinations.detail import masked

WRONG_INSTANCE = "a wrong instance answers the same"
FIELD_NAMES = re.compile(
    r"attributes|events|purchases|attribute|property|properties|external_id|braze_id|user_alias|email|phone|name|time"
    r"|(email|push)_subscribe|gender|dob|country|language|product_id|currency|price|quantity|app_id"
    r"|push_tokens|token|subscription_(groups|group_id|state)|opted_in|subscribed|unsubscribed"
    r"|cohort_(id|changes)|user_ids|created_at"
)
"""Names that Braze's texts quote and that no customer chose."""

_ANSWER_KEYS = frozenset({"message", "errors", "attributes_processed", "events_processed", "purchases_processed"})
"""An answer of Braze has at least one of them."""


class Verdicts:
    """Interprets answers. `secrets` are removed from Braze's words."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self.secrets = secrets
        self._of_track = Answers(
            "Braze", self._accepted, refused=self._refused, words=self._words, retry_after=_retry_after
        )
        self._of_imports = Answers("Braze", _imported, words=self._words, retry_after=_retry_after)

    def verdict(self, response: Response, request: Request, records: int) -> Verdict:
        """Of `/users/track` or of the cohort import, as the request's address says."""
        answers = self._of_track if request.url.endswith(TRACK) else self._of_imports
        found = answers.verdict(response, request, records)
        if isinstance(found, Unauthorised):
            return Unauthorised(found.status, f"{found.detail} ({WRONG_INSTANCE})")
        return found

    def _accepted(self, response: Response, request: Request, records: int) -> Verdict:
        content = _content(response)
        if content is None:
            return _foreign(response)
        errors = content.get("errors")
        if not errors:
            return Delivered(rate_used(response))
        objects = self._objects(errors, request)
        if objects is not None:
            return _refused(objects)
        if any(array != "attributes" for array, _ in request.layout):
            # An object that Braze does not name may be lost, and none may be sent twice.
            unaccounted = len(errors) if isinstance(errors, list) else 1
            return Delivered(rate_used(response), min(unaccounted, records))
        return Undetermined(self._words(response) or f"status {response.status}", response.status)

    def _refused(self, response: Response, request: Request, _records: int) -> Verdict:
        """A 400 processes nothing. Only one that names every object refuses them by name."""
        objects = self._objects((_content(response) or {}).get("errors"), request)
        if objects is not None and len(objects) == len(request.layout):
            return _refused(objects)
        return Undetermined(self._words(response) or "status 400", 400)

    def _objects(self, errors: Any, request: Request) -> dict[tuple[int, ...], str] | None:
        """The records behind each refused object, with Braze's words; None where an error does not say which."""
        if not isinstance(errors, list) or not errors:
            return None
        found: dict[tuple[int, ...], str] = {}
        for error in errors:
            if not isinstance(error, dict) or isinstance(error.get("index"), bool):
                return None
            try:
                records = request.layout[error.get("input_array", ""), error.get("index", -1)]
            except (KeyError, TypeError):
                return None
            found.setdefault(tuple(records), masked(str(error.get("type") or "refused"), self.secrets, FIELD_NAMES))
        return found

    def _words(self, response: Response) -> str:
        content = _content(response)
        return masked(str(content.get("message", "")), self.secrets, FIELD_NAMES) if content else ""


def verdicts(secrets: Iterable[str]) -> Verdicts:
    return Verdicts(tuple(secrets))


def rate_used(response: Response) -> float | None:
    """Share of the rate that is in use, by `X-RateLimit-Remaining` of `X-RateLimit-Limit`."""
    remaining, limit = (response.headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit"))
    if not (remaining.isdecimal() and limit.isdecimal() and int(limit)):
        return None
    return max(0.0, 1 - int(remaining) / int(limit))


def _imported(response: Response, _request: Request, _records: int) -> Verdict:
    """The cohort import refuses as a whole or not at all. It says so in words: an empty body may be a proxy's."""
    if _content(response) is None:
        return _foreign(response)
    return Delivered()


def _foreign(response: Response) -> Misconfigured:
    return Misconfigured(f"status {response.status} without Braze's JSON: is this Braze?", is_in_doubt=True)


def _retry_after(response: Response) -> str | None:
    """What newer plans say exactly, else when the window ends (a moment or seconds: both were seen), else the usual."""
    for name in ("x-ratelimit-retry-after", "x-ratelimit-reset") if response.status == 429 else ():
        text = response.headers.get(name, "").strip()
        if text.isdecimal():
            return text
    return response.headers.get("retry-after")


def _refused(objects: dict[tuple[int, ...], str]) -> Refused:
    """Nobody knows which record of a merged object is at fault: each goes again on its own."""
    details = {records[0]: detail for records, detail in objects.items() if len(records) == 1}
    apart = frozenset(position for records in objects if len(records) > 1 for position in records)
    return Refused(details, apart)


def _content(response: Response) -> dict[str, Any] | None:
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and not _ANSWER_KEYS.isdisjoint(found) else None

"""What Braze answers: the key, the rate, sizes, then each object by its rules; and the partners' cohort import."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from streams.emulators.bodies import NESTING_MAX, is_nested_deeper
from streams.emulators.braze.options import BrazeOptions, CohortApi
from streams.emulators.braze.rules import ARRAYS, problem
from streams.emulators.braze.store import Store
from streams.emulators.call import Answer, Call, json_answer, view_of
from streams.emulators.credentials import Credentials

TRACK = "/users/track"
COHORTS = re.compile(r"/partners/(?P<partner>[^/]+)/cohorts(?P<users>/users)?")
EXTERNAL_ID_KEY = b'"external_id":'
NO_VALID_DATA = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."


class _Refused(Exception):
    """The whole request is refused. The text is Braze's message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class _Credential:
    name: str
    secret: str
    is_revoked: bool = False

    def opens(self, secret: object) -> bool:
        return secret == self.secret and not self.is_revoked

    def renew(self, secret: str) -> None:
        self.secret = secret


class BrazeServer:
    """The emulated Braze: a `Vendor`."""

    def __init__(self, options: BrazeOptions) -> None:
        self._options = options
        self._limits = options.limits
        self.reset()

    def reset(self) -> None:
        self._store = Store(self._options.rows_max, self._limits, self._options.users)
        self._rest_keys = [_Credential(each.name, each.key) for each in self._options.rest_keys]
        cohort_api = self._options.cohort_api or CohortApi()
        self._partner_key = _Credential("partner_api_key", cohort_api.partner_api_key)
        self._import_key = _Credential("data_import_key", cohort_api.data_import_key)
        partner_keys = [self._partner_key, self._import_key] if self._options.cohort_api else []
        self.credentials = Credentials([*self._rest_keys, *partner_keys])
        self._window, self._window_requests = 0, 0

    def receive(self, call: Call, now_ms: int) -> Answer:
        path = COHORTS.fullmatch(call.path)
        if call.path != TRACK and path is None:
            return json_answer(404, {"message": "Not Found"})
        if call.method != "POST":
            return json_answer(405, {"message": "Method Not Allowed"}, {"Allow": "POST"})
        try:
            if path is None:
                return self._track(call, now_ms)
            return self._cohort(call, path["partner"], is_members=path["users"] is not None)
        except _Refused as refused:
            return json_answer(refused.status, {"message": str(refused)})

    # /users/track

    def _track(self, call: Call, now_ms: int) -> Answer:
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        credential = next((each for each in self._rest_keys if each.opens(key.strip())), None)
        if scheme.lower() != "bearer" or credential is None:
            raise _Refused("Invalid API Key", 401)
        if self._options.keep == "discard":
            self._store.counts["attributes"] += call.body.count(EXTERNAL_ID_KEY)
            return json_answer(self._options.success_status, {"message": "success"})
        rate, is_over = self._rate(now_ms)
        if is_over:
            answer = json_answer(429, {"message": "Rate limit exceeded. Please try again later."})
        else:
            answer = self._judged(call, now_ms)
        headers = {**answer.headers, **rate}
        return dataclasses.replace(
            answer, headers=headers, credential=credential.name, bytes_decompressed=len(call.body)
        )

    def _judged(self, call: Call, now_ms: int) -> Answer:
        try:
            return self._take(self._content(call, self._limits.too_large_status), now_ms)
        except _Refused as refused:
            return json_answer(refused.status, {"message": str(refused)})

    def _rate(self, now_ms: int) -> tuple[dict[str, str], bool]:
        """The headers about the rate, and whether this request is over the limit."""
        seconds = self._limits.window_seconds
        window = now_ms // (seconds * 1000)
        if window != self._window:
            self._window, self._window_requests = window, 0
        is_over = self._window_requests >= self._limits.requests_per_window
        if not is_over:
            self._window_requests += 1
        resets_at = (window + 1) * seconds
        wait_seconds = max(1, -(-(resets_at * 1000 - now_ms) // 1000))
        headers = {
            "X-RateLimit-Limit": str(self._limits.requests_per_window),
            "X-RateLimit-Remaining": str(self._limits.requests_per_window - self._window_requests),
            "X-RateLimit-Reset": str(resets_at if self._limits.reset_as == "epoch" else wait_seconds),
        }
        if is_over and self._options.retry_after:
            headers["X-Ratelimit-Retry-After"] = str(wait_seconds)
        return headers, is_over

    def _content(self, call: Call, too_large_status: int) -> dict[str, Any]:
        if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _Refused("Content-Type must be application/json")
        if call.headers.get("content-encoding", "identity") != "identity":
            raise _Refused("Content-Encoding is not supported")
        if len(call.body) > self._limits.request_bytes_max:
            raise _Refused("Request body is too large", too_large_status)
        try:
            content = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise _Refused("Body is not valid JSON") from None
        if not isinstance(content, dict) or is_nested_deeper(content, NESTING_MAX):
            raise _Refused("Body must be a JSON object, not too deeply nested")
        return content

    def _take(self, content: dict[str, Any], now_ms: int) -> Answer:
        """Check all objects, then apply the good ones: attributes, then events, then purchases."""
        arrays = {array: content[array] for array in ARRAYS if content.get(array) is not None}
        for array, items in arrays.items():
            if not isinstance(items, list):
                raise _Refused(f"'{array}' must be an array of objects")
        counts = [len(items) for items in arrays.values()]
        if sum(counts) == 0:
            raise _Refused(NO_VALID_DATA)
        most = sum(counts) if self._limits.objects_in == "request" else max(counts)
        if most > self._limits.objects_max:
            raise _Refused(f"A request must not hold more than {self._limits.objects_max} objects")
        is_kept = self._options.keep == "full"
        ids = [_object_id(array, item) for array, items in arrays.items() for item in items] if is_kept else []
        self._store.refused_records.seen("", ids)
        errors: list[dict[str, Any]] = []
        refused: list[str] = []
        processed = dict.fromkeys(arrays, 0)
        place = 0
        for array, items in arrays.items():
            for index, item in enumerate(items):
                object_id = ids[place] if is_kept else ""
                place += 1
                found = problem(array, item, self._limits)
                if found is not None:
                    errors.append({"type": found, "input_array": array, "index": index})
                    refused.append(object_id)
                    self._store.counts["refused"] += 1
                    continue
                self._store.apply(array, item, object_id, now_ms, is_kept=is_kept)
                processed[array] += 1
        kept = {"record_ids": ids, "refused_ids": refused if is_kept else ()}
        return self._answer(processed, errors, kept)

    def _answer(self, processed: dict[str, int], errors: list[dict[str, Any]], kept: dict[str, Any]) -> Answer:
        told: dict[str, Any] = {"errors": errors} if errors else {}
        if not any(processed.values()):
            return json_answer(400, {"message": NO_VALID_DATA, **told}, **kept)
        if self._options.maintenance:
            return json_answer(202, {"message": "queued"}, **kept)
        counts = {f"{array}_processed": count for array, count in processed.items() if count}
        return json_answer(self._options.success_status, {"message": "success", **counts, **told}, **kept)

    # The cohort import

    def _cohort(self, call: Call, partner: str, *, is_members: bool) -> Answer:
        content = self._content(call, 413)
        cohort_api = self._options.cohort_api
        if not self._partner_key.opens(content.get("partner_api_key")):
            raise _Refused("Invalid partner API key", 401)
        if cohort_api is None or partner != cohort_api.partner:
            raise _Refused("Partner is not enabled for this client", 401)
        if not self._import_key.opens(content.get("client_secret")):
            raise _Refused("Invalid client secret", 401)
        cohort_id = content.get("cohort_id")
        if not isinstance(cohort_id, str) or not cohort_id:
            raise _Refused("'cohort_id' must be a string")
        if is_members:
            self._change_members(cohort_id, content.get("cohort_changes"))
        else:
            self._name(cohort_id, content)
        return json_answer(201, {"message": "success"}, credential=self._import_key.name)

    def _name(self, cohort_id: str, content: dict[str, Any]) -> None:
        name, created_at = content.get("name"), content.get("created_at")
        if not isinstance(name, str) or not name:
            raise _Refused("'name' must be a string that is not empty")
        try:
            datetime.fromisoformat(created_at)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise _Refused("'created_at' must be an ISO 8601 time") from None
        self._store.name_cohort(cohort_id, name)

    def _change_members(self, cohort_id: str, changes: object) -> None:
        if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
            raise _Refused("'cohort_changes' must be an array of objects")
        ids = 0
        for change in changes:
            for kind in ("user_ids", "device_ids", "aliases"):
                given = change.get(kind, [])
                if not isinstance(given, list):
                    raise _Refused(f"'{kind}' must be an array")
                ids += len(given)
        if ids > self._limits.cohort_ids_max:
            raise _Refused(f"A request must not hold more than {self._limits.cohort_ids_max} ids")
        for change in changes:
            is_removal = change.get("should_remove") is True
            user_ids = [each for each in change.get("user_ids", []) if isinstance(each, str)]
            self._store.change_cohort(cohort_id, user_ids, is_removal=is_removal)

    # What tests ask

    @property
    def outbox(self) -> None:
        return None

    def told(self, answer: Answer) -> None:
        self._store.refused_records.told("", answer.refused_ids)

    def view(self, name: str) -> dict[str, Any] | None:
        store = self._store
        rows = {"raw": store.rows, "query": store.users}
        records = {"cohorts": store.cohorts, "repeated": store.repeated, "retried_400": store.sent_again}
        return view_of(name, rows, records, store.totals)


def _object_id(array: str, item: object) -> str:
    """An id for an object: a hash of its content, because Braze's events have no ids."""
    content = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    return f"{array}/{hashlib.sha256(content).hexdigest()[:16]}"

"""What mParticle's Events API answers: authentication, rate, sizes, then each batch by its rules."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import orjson

from streams.emulators.bodies import NESTING_MAX, TooLarge, Unreadable, is_nested_deeper, unpacked
from streams.emulators.call import JSON, Answer, Call, json_answer, view_of
from streams.emulators.credentials import Credentials
from streams.emulators.mparticle.batch import normalised
from streams.emulators.mparticle.options import Input, MParticleOptions
from streams.emulators.mparticle.outputs import Outputs
from streams.emulators.mparticle.rules import has_other_platform, historical_problem, problem, taken
from streams.emulators.mparticle.store import Store
from streams.emulators.rates import Bucket

ONE, BULK, HISTORICAL = "/v2/events", "/v2/bulkevents", "/v2/bulkevents/historical"
PATHS = {prefix + path: path for prefix in ("", "/s2s") for path in (ONE, BULK, HISTORICAL)}
EVENT_TYPE_KEY = b'"event_type":'
DAY_MS = 86_400_000


@dataclass(slots=True)
class _Credential:
    name: str
    key: str
    secret: str
    feed: str
    workspace: str
    bucket: Bucket
    is_revoked: bool = False

    def renew(self, secret: str) -> None:
        self.secret = secret


class MParticleServer:
    """The emulated mParticle: a `Vendor`."""

    def __init__(self, options: MParticleOptions) -> None:
        self._options = options
        self._limits = options.limits
        self.outbox = Outputs()
        self.reset()

    def reset(self) -> None:
        self.outbox.reset()
        self._store = Store(self._options.rows_max, round(self._options.dedup_days * DAY_MS))
        feeds = [each.feed for each in self._options.inputs]
        shared = Bucket(self._limits.batches_per_second)
        self._by_key: dict[str, _Credential] = {}
        for each in self._options.inputs:
            bucket = shared if self._limits.rate_scope == "account" else Bucket(self._limits.batches_per_second)
            self._by_key[each.key] = self._credential(each, bucket, is_only=feeds.count(each.feed) == 1)
        self.credentials = Credentials(self._by_key.values())

    def _credential(self, each: Input, bucket: Bucket, *, is_only: bool) -> _Credential:
        """The input's feed as its name, if no other input has this feed; else its key."""
        return _Credential(each.feed if is_only else each.key, each.key, each.secret, each.feed, each.workspace, bucket)

    def receive(self, call: Call, now_ms: int) -> Answer:
        path = PATHS.get(call.path)
        if path is None:
            return Answer(404)
        if call.method != "POST":
            return Answer(405, headers={"Allow": "POST"})
        if call.password is None:
            return Answer(401)
        credential = self._by_key.get(call.user)
        if credential is None or credential.secret != call.password or credential.is_revoked:
            return Answer(403)
        answer = self._receive(call, path, credential, now_ms)
        return dataclasses.replace(answer, credential=credential.name)

    def _receive(self, call: Call, path: str, credential: _Credential, now_ms: int) -> Answer:
        if self._options.keep == "discard":
            self._store.accepted += call.body.count(EVENT_TYPE_KEY)
            return Answer(202, headers={"X-mp-rate-limit-percentage-used": "0"})
        wait_seconds = credential.bucket.seconds_until_one(now_ms)
        if wait_seconds > 0:
            return self._too_fast(wait_seconds)
        if len(call.body) >= self._limits.request_bytes_max:
            return Answer(413)
        try:
            batches = self._batches(call, path)
        except TooLarge:
            return Answer(413)
        except Unreadable as error:
            return _refusal(str(error))
        credential.bucket.take(len(batches), now_ms)
        if len(batches) > self._limits.batches_max:
            return _refusal(f"A request must not hold more than {self._limits.batches_max} batches.")
        ids = [_request_id(batch) for batch in batches] if self._options.keep == "full" else []
        self._store.refused_records.seen(credential.key, ids)
        answer = self._take(batches, path, credential, now_ms, len(call.body))
        used = {"X-mp-rate-limit-percentage-used": str(credential.bucket.percentage_used(now_ms))}
        return dataclasses.replace(
            answer,
            record_ids=ids,
            # Only a batch that was sent alone is refused by name.
            refused_ids=ids if answer.status == 400 and len(ids) == 1 else (),
            bytes_decompressed=len(call.body),
            headers={**answer.headers, **(used if answer.status == 202 else {})},
        )

    def _batches(self, call: Call, path: str) -> list[Any]:
        encoding = call.headers.get("content-encoding", "").strip().lower()
        if encoding and not self._options.gzip:
            raise Unreadable("Content-Encoding is not supported.")
        body = unpacked(call.body, encoding, self._limits.request_bytes_max - 1)
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Unreadable("Request body is not valid JSON.") from None
        if is_nested_deeper(content, NESTING_MAX):
            raise Unreadable(f"Request body is nested deeper than {NESTING_MAX} levels.")
        if path == ONE:
            if not isinstance(content, dict):
                raise Unreadable("Request body must be one batch.")
            return [normalised(content)]
        if not isinstance(content, list):
            raise Unreadable("Request body must be an array of batches.")
        return [normalised(batch) for batch in content]

    def _take(self, batches: list[Any], path: str, credential: _Credential, now_ms: int, size: int) -> Answer:
        """Check all batches and store the good ones. The bad ones are lost, and the bulk answer is still 202."""
        is_measured = size > self._limits.batch_bytes_max
        problems = [problem(batch, self._limits, is_measured=is_measured) for batch in batches]
        first = next((each for each in problems if each is not None), None)
        if first is not None and (path == ONE or self._options.strict or None not in problems):
            return _refusal(first)
        if path == HISTORICAL:
            problems = [each or historical_problem(batches[place], now_ms) for place, each in enumerate(problems)]
        kept = [
            taken(batch, self._limits, now_ms) for batch, each in zip(batches, problems, strict=True) if each is None
        ]
        if self._options.strict:
            losses = [each for each in problems if each is not None] + [loss for _, lost in kept for loss in lost]
            if losses:
                return _refusal(f"Would be lost in silence: {losses[0]}.")
        for batch, each in zip(batches, problems, strict=True):
            if each is not None:
                self._store.drop(credential.name, _request_id(batch), each)
        for batch, losses in kept:
            self._add(batch, losses, path, credential, now_ms)
        return Answer(202)

    def _add(self, batch: dict[str, Any], losses: list[str], path: str, credential: _Credential, now_ms: int) -> None:
        is_duplicate = self._store.is_duplicate(credential.key, _request_id(batch), now_ms)
        if not is_duplicate and batch.get("events"):
            batch = batch | {"events": [each for each in batch["events"] if self._has_room(each, credential, losses)]}
        row = {
            "feed": credential.feed,
            "workspace": credential.workspace,
            "credential": credential.name,
            "path": path,
            "received_at_ms": now_ms,
            "duplicate": is_duplicate,
            "losses": losses,
            "platform_mismatch": has_other_platform(batch, credential.feed),
            "batch": batch,
        }
        self._store.add(row, is_kept=self._options.keep == "full")
        if not is_duplicate and path != HISTORICAL:
            self.outbox.forward(batch, now_ms)

    def _has_room(self, event: dict[str, Any], credential: _Credential, losses: list[str]) -> bool:
        name = event["data"].get("event_name")
        names_max = self._limits.event_names_max
        if event["event_type"] != "custom_event" or self._store.has_room_for(credential.workspace, name, names_max):
            return True
        losses.append(f"event dropped: the workspace has {names_max} event names")
        return False

    def _too_fast(self, wait_seconds: float) -> Answer:
        headers = {"X-mp-rate-limit-exceeded": f'"{self._limits.rate_scope}"'}
        if self._options.retry_after:
            headers["Retry-After"] = str(max(1, math.ceil(wait_seconds)))
        return Answer(429, headers=headers)

    def told(self, answer: Answer) -> None:
        if answer.refused_ids:
            key = self.credentials[answer.credential].key
            self._store.refused_records.told(key, answer.refused_ids)

    def view(self, name: str) -> dict[str, Any] | None:
        store = self._store
        rows = {"raw": store.raw, "query": store.query}
        records = {
            "dropped": store.dropped_batches,
            "repeated_messages": store.repeated_messages,
            "retried_400": store.sent_again,
        }
        return view_of(name, rows, records, store.totals)


def _request_id(batch: object) -> str:
    found = batch.get("source_request_id") if isinstance(batch, dict) else None
    return found if isinstance(found, str) else "" if found is None else str(found)


def _refusal(message: str) -> Answer:
    return json_answer(400, {"errors": [{"code": "BAD_REQUEST", "message": message}]}, JSON)

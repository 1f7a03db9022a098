"""What Mixpanel's `/import` answers: authentication, limits, then each event by its rules; and what `/track`, `/engage`
and `/groups` answer, which its own libraries call."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from streams.emulators.bodies import TooLarge, Unreadable, events, unpacked
from streams.emulators.call import Answer, Call, json_answer, view_of
from streams.emulators.credentials import Credentials
from streams.emulators.mixpanel.cohorts import Cohorts
from streams.emulators.mixpanel.forms import fields_of, is_form, short, unfolded
from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.emulators.mixpanel.profiles import ProfileKind, ProfileUpdates, update_problem
from streams.emulators.mixpanel.rules import IDENTITY_EVENTS, Failure, Rules, insert_id
from streams.emulators.mixpanel.store import Store
from streams.emulators.rates import RollingWindow

PATHS = frozenset({"/import", "/import/"})
TRACK_DAYS = 5
"""The greatest age of an event of `/track`."""
INVALID = "some data points in the request failed validation"
NO_IDENTITY_EVENTS = "identity events are not allowed when project is using simplified identity management"
INSERT_ID_KEY = b'"$insert_id":'

TakeOne = Callable[[object, int], Failure | None]
"""Checks and keeps one object of a call at this time. Returns which rule it breaks."""


@dataclass(slots=True)
class _Credential:
    """A user and a password for a project. A token or API secret is the user, with an empty password."""

    name: str
    project: _Project
    user: str
    password: str
    needs_project_id: bool
    is_revoked: bool

    def renew(self, secret: str) -> None:
        if self.needs_project_id:
            self.password = secret
        else:
            self.user = secret


@dataclass(frozen=True, slots=True)
class _Project:
    project_id: str
    rules: Rules
    window: RollingWindow


class MixpanelServer:
    """The emulated Mixpanel: a `Vendor`."""

    def __init__(self, options: MixpanelOptions) -> None:
        self._options = options
        self._limits = options.limits
        self._store = Store(options.rows_max)
        self._profiles = ProfileUpdates(options.rows_max)
        self._by_token: dict[str, TakeOne] = {
            "/track": self._track_one,
            "/engage": partial(self._update_one, "user"),
            "/groups": partial(self._update_one, "group"),
        }
        """Paths that need no credentials but the token in each object."""
        self.outbox = Cohorts(options.projects[0].project_id)
        self.reset()

    def reset(self) -> None:
        self._store.reset()
        self._profiles.reset()
        self.outbox.reset()
        self.credentials = Credentials(
            credential for project in self._options.projects for credential in self._credentials_of(project)
        )

    def _credentials_of(self, project: Project) -> list[_Credential]:
        """The names are `project_token`, `api_secret` and the users of service accounts. If there are several projects,
        the project's id comes first."""
        options = self._options
        rules = Rules(self._limits, project.id_mode, project.retention_days, options.lax_insert_id)
        opened = _Project(project.project_id, rules, RollingWindow(self._limits.rate_seconds))
        prefix = f"{project.project_id}/" if len(options.projects) > 1 else ""
        return [
            _Credential(f"{prefix}project_token", opened, project.token, "", False, False),
            _Credential(f"{prefix}api_secret", opened, project.api_secret, "", False, False),
            *(
                _Credential(f"{prefix}{account.user}", opened, account.user, account.secret, True, account.expired)
                for account in project.accounts
            ),
        ]

    def receive(self, call: Call, now_ms: int) -> Answer:
        take_one = self._by_token.get(call.path.removesuffix("/"))
        if call.path not in PATHS and take_one is None:
            return json_answer(404, {"code": 404, "error": "not found", "status": "Not Found"})
        if is_form(call):
            return self._receive_form(call, now_ms, take_one)
        if take_one is not None and call.method == "POST":
            return short(self._take_by_token(call, now_ms, take_one), call.query)
        if call.method != "POST":
            refusal = {"code": 405, "error": "method not allowed", "status": "Method Not Allowed"}
            return json_answer(405, refusal, {"Allow": "POST"})
        credential = self._credential(call)
        if credential is None:
            return json_answer(401, {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"})
        answer = self._import(call, credential.project, now_ms)
        return dataclasses.replace(answer, credential=credential.name)

    def _receive_form(self, call: Call, now_ms: int, take_one: TakeOne | None) -> Answer:
        """The calls of the vendor's own SDKs. Without `verbose=1` the answer is `1` or `0`."""
        query = call.query
        try:
            encoding = call.headers.get("content-encoding", "").strip().lower()
            query = fields_of(call, unpacked(call.body, encoding, self._limits.bytes_max))
            posted = dataclasses.replace(unfolded(call, query), method="POST")
        except TooLarge:
            return short(_too_large(f"{self._limits.bytes_max} bytes"), query)
        except Unreadable as error:
            return short(_unreadable(str(error), len(call.body)), query)
        if take_one is not None:
            return short(self._take_by_token(posted, now_ms, take_one), posted.query)
        answer = self.receive(posted, now_ms)
        return answer if posted.query.get("verbose") == "1" else short(answer, posted.query)

    def _take_by_token(self, call: Call, now_ms: int, take_one: TakeOne) -> Answer:
        """No credentials but the token in each object. What has an unknown token is dropped behind the same answer."""
        try:
            body = unpacked(call.body, call.headers.get("content-encoding", "").strip().lower(), self._limits.bytes_max)
            found = events(body, call.headers.get("content-type", ""))
        except TooLarge:
            return _too_large(f"{self._limits.bytes_max} bytes")
        except Unreadable as error:
            return _unreadable(str(error), len(call.body))
        if len(found) > self._limits.events_max:
            return self._too_many(len(body))
        failures = [failure for event in found if (failure := take_one(event, now_ms)) is not None]
        if failures:
            return _unreadable(failures[0][1], len(body))
        return json_answer(200, {}, bytes_decompressed=len(body))

    def _track_one(self, event: object, now_ms: int) -> Failure | None:
        """Events of the last five days. A missing `$insert_id` is made up, a missing `time` is the server's: of an
        event's properties, https://docs.mixpanel.com/reference/track-event requires the token alone."""
        properties = event.get("properties") if isinstance(event, dict) else None
        token = properties.get("token") if isinstance(properties, dict) else None
        credential = next((each for each in self.credentials if each.user == token), None)
        if credential is None or not isinstance(event, dict) or not isinstance(properties, dict):
            return None if isinstance(token, str) else ("properties.token", "token, missing or empty")
        if properties.get("$insert_id") in (None, ""):
            properties = {**properties, "$insert_id": uuid.uuid4().hex}
        if properties.get("time") is None:
            properties = {**properties, "time": now_ms // 1000}
        event = {**event, "properties": properties}
        rules = dataclasses.replace(credential.project.rules, retention_days=TRACK_DAYS)
        failure = rules.failure(event, now_ms)
        if failure is None:
            self._store.add(credential.project.project_id, rules.id_mode, event, now_ms)
        else:
            self._store.refused += 1
        return failure

    def _update_one(self, kind: ProfileKind, update: object, _now_ms: int) -> Failure | None:
        """An update of a profile: its token, whose it is, and at least one operation, as
        https://developer.mixpanel.com/reference/profile-set and its neighbours say."""
        token = update.get("$token") if isinstance(update, dict) else None
        if not isinstance(update, dict) or not isinstance(token, str) or not token:
            return "$token", "$token, missing or empty"
        if problem := update_problem(kind, update):
            return "", problem
        project = next((each.project for each in self.credentials if each.user == token), None)
        if project is not None and self._options.keep == "full":
            self._profiles.add(project.project_id, kind, update)
        return None

    def _credential(self, call: Call) -> _Credential | None:
        given_id = call.query.get("project_id")
        for credential in self.credentials:
            if (credential.user, credential.password) == (call.user, call.password) and not credential.is_revoked:
                if given_id is None and credential.needs_project_id:
                    continue
                if given_id is None or given_id == credential.project.project_id:
                    return credential
        return None

    def _import(self, call: Call, project: _Project, now_ms: int) -> Answer:
        limits = self._limits
        try:
            body = unpacked(call.body, call.headers.get("content-encoding", "").strip().lower(), limits.bytes_max)
        except TooLarge:
            return _too_large(f"{limits.bytes_max} bytes")
        except Unreadable as error:
            return _unreadable(str(error), 0)
        if self._options.keep == "discard":
            return self._discard(body)
        size = len(body)
        if project.window.sums(now_ms)[0] + size > limits.rate_bytes:
            return _too_fast(size)
        try:
            found = events(body, call.headers.get("content-type", ""))
        except Unreadable as error:
            project.window.add(now_ms, size, 0)
            return _unreadable(str(error), size)
        if project.window.sums(now_ms)[1] + len(found) > limits.rate_events:
            return _too_fast(size)
        project.window.add(now_ms, size, len(found))
        if len(found) > limits.events_max:
            return self._too_many(size)
        return self._take(call, project, found, size, now_ms)

    def _take(self, call: Call, project: _Project, found: list[Any], size: int, now_ms: int) -> Answer:
        """Check and store each event. The answer accounts for all of them."""
        ids = [_shown(insert_id(event)) for event in found] if self._options.keep == "full" else []
        self._store.refused_records.seen(project.project_id, ids)
        is_simplified = project.rules.id_mode == "simplified"
        if is_simplified and any(isinstance(each, dict) and _name(each) in IDENTITY_EVENTS for each in found):
            self._store.refused += len(found)
            return _refused([NO_IDENTITY_EVENTS], 0, size, ids, ids)
        failures: list[tuple[int, Failure]] = []
        is_large = size >= self._limits.event_bytes_max
        for index, event in enumerate(found):
            failure = project.rules.failure(event, now_ms)
            if failure is None and is_large:
                failure = project.rules.size_failure(event)
            if failure is not None:
                failures.append((index, failure))
            elif self._options.keep == "full":
                self._store.add(project.project_id, project.rules.id_mode, event, now_ms)
            else:
                self._store.imported += 1
        self._store.refused += len(failures)
        imported = len(found) - len(failures)
        if call.query.get("strict", "1") != "1":
            return _lax(call, imported, bool(failures), size, ids)
        if not failures:
            return json_answer(200, _imported(call, imported), record_ids=ids, bytes_decompressed=size)
        records = [
            {"index": index, "insert_id": _shown(insert_id(found[index])), "field": field, "message": message}
            for index, (field, message) in failures
        ]
        return _refused(records, imported, size, ids, [_shown(insert_id(found[index])) for index, _ in failures])

    def _discard(self, body: bytes) -> Answer:
        """Count events without checks: each id in the body is one event."""
        imported = body.count(INSERT_ID_KEY)
        self._store.imported += imported
        return json_answer(200, {"code": 200, "num_records_imported": imported, "status": "OK"})

    def _too_many(self, size: int) -> Answer:
        if self._limits.too_many_status == 413:
            return _too_large(f"{self._limits.events_max} events")
        return _unreadable(f"request exceeds max limit of {self._limits.events_max} events", size)

    def told(self, answer: Answer) -> None:
        if answer.refused_ids:
            project = self.credentials[answer.credential].project
            self._store.refused_records.told(project.project_id, answer.refused_ids)

    def view(self, name: str) -> dict[str, Any] | None:
        store = self._store
        rows = {"raw": store.raw, "query": store.query, "compacted": store.compacted}
        records = {"retried_400": store.sent_again, "profile_updates": self._profiles.all}
        return view_of(name, rows, records, store.totals)


def _name(event: dict[str, Any]) -> str:
    name = event.get("event")
    return name if isinstance(name, str) else ""


def _shown(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode(errors="replace").decode()


def _imported(call: Call, imported: int) -> dict[str, Any]:
    if call.query.get("verbose") == "1":
        return {"code": 200, "error": None, "num_records_imported": imported, "status": 1}
    return {"code": 200, "num_records_imported": imported, "status": "OK"}


def _lax(call: Call, imported: int, has_failures: bool, size: int, ids: list[str]) -> Answer:
    """`strict=0`: the answer is always 200, even if events were refused."""
    content = _imported(call, imported)
    if has_failures and "error" in content:
        content |= {"error": INVALID, "status": 0}
    return json_answer(200, content, record_ids=ids, bytes_decompressed=size)


def _refused(records: list[Any], imported: int, size: int, ids: list[str], refused: list[str]) -> Answer:
    content = {
        "code": 400,
        "error": INVALID,
        "status": "Bad Request",
        "num_records_imported": imported,
        "failed_records": records,
    }
    return json_answer(400, content, record_ids=ids, refused_ids=refused, bytes_decompressed=size)


def _unreadable(error: str, size: int) -> Answer:
    content = {"code": 400, "error": error, "status": "Bad Request", "num_records_imported": 0}
    return json_answer(400, content, bytes_decompressed=size)


def _too_large(limit: str) -> Answer:
    error = f"request exceeds max limit of {limit}"
    return json_answer(413, {"code": 413, "error": error, "status": "Request Entity Too Large"})


def _too_fast(size: int) -> Answer:
    error = "Project exceeded rate limits. Please retry the request with exponential backoff."
    content = {"code": 429, "error": error, "status": "Too Many Requests"}
    return json_answer(429, content, bytes_decompressed=size)

"""Cohorts of the emulated Mixpanel, and their syncs to webhooks: full copies, differences, retries and pauses.

Source: Mixpanel's page on custom webhooks (docs/cohort-sync/webhooks, 2026). Pure: the time is an argument.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter

from streams.emulators.courier import Order, OrderCall, Post, Reply, WrongOrder

PAGE_MEMBERS_MAX = 1_000
INTERVAL_MS = 30 * 60_000
"""From one dynamic sync to the next."""
SNAPSHOT_MS_MAX = 3 * 86_400_000
"""How long Mixpanel knows what it sent. After this the next sync is a full copy."""
RETRY_AFTER_MS = (2_000, 4_000, 8_000, 16_000, 30_000)
"""Five retries within 60 s. Mixpanel does not say how it divides them."""

Members = dict[str, dict[str, Any]]
"""By Mixpanel's distinct id: the properties that are exported beside it."""
Name = Annotated[str, Field(min_length=1)]


class CohortOrder(Order):
    """`PUT /_emulator/cohorts`: the cohort is like this from now on."""

    cohort_id: Name
    name: Name
    members: Members
    description: str = ""


class SyncOrder(Order):
    """`PUT /_emulator/syncs`: sync a cohort to a webhook, at once and, if dynamic, every 30 minutes. For a sync that is
    there: change it, and start it again with a full copy."""

    cohort_id: Name
    url: Annotated[str, Field(pattern=r"^https?://")]
    user: str = ""
    password: Annotated[str, Field(repr=False)] = ""
    cadence: Literal["dynamic", "one_time"] = "dynamic"


class SyncNowOrder(Order):
    """`POST /_emulator/syncs`: do not wait for the next half hour."""

    cohort_id: Name


@dataclass(slots=True)
class _Export:
    """One sync that is under way: the cohort as it was at its begin, and the calls that are left."""

    members: Members
    calls: list[Post]
    tries: int = 0


@dataclass(slots=True)
class _Sync:
    order: SyncOrder
    next_at_ms: int | None
    """When the next export begins, or the next try of this one; None: never."""
    state: Literal["active", "paused", "failed", "done"] = "active"
    sent: Members | None = None
    """The members of the last complete export."""
    sent_at_ms: int = 0
    export: _Export | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"completed": 0, "failed": 0, "mails": 0, "unexpected": 0})
    last_status: int | None = None
    message: str = ""

    def shown(self) -> dict[str, Any]:
        """No user and no password."""
        return {
            "cohort_id": self.order.cohort_id,
            "url": self.order.url,
            "cadence": self.order.cadence,
            "state": self.state,
            "next_at_ms": self.next_at_ms,
            "calls_left": 0 if self.export is None else len(self.export.calls),
            "last_status": self.last_status,
            "message": self.message,
            **self.counts,
        }


class Cohorts:
    """An `Outbox`. One webhook per cohort."""

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self.reset()

    def reset(self) -> None:
        self._cohorts: dict[str, CohortOrder] = {}
        self._syncs: dict[str, _Sync] = {}

    @property
    def calls(self) -> Mapping[tuple[str, str], OrderCall]:
        return {
            ("GET", "cohorts"): lambda _, __: {
                "records": [each.model_dump(mode="json") for each in self._cohorts.values()]
            },
            ("PUT", "cohorts"): self._set_cohort,
            ("GET", "syncs"): lambda _, __: {"records": [sync.shown() for sync in self._syncs.values()]},
            ("PUT", "syncs"): self._start,
            ("POST", "syncs"): self._sync_now,
        }

    def _set_cohort(self, content: Any, _: int) -> dict[str, Any]:
        order = TypeAdapter(CohortOrder).validate_python(content)
        self._cohorts[order.cohort_id] = order
        return {}

    def _start(self, content: Any, now_ms: int) -> dict[str, Any]:
        order = TypeAdapter(SyncOrder).validate_python(content)
        if order.cohort_id not in self._cohorts:
            raise WrongOrder(f"no cohort of this id: there are {', '.join(self._cohorts) or 'none'}")
        self._syncs[order.cohort_id] = _Sync(order, next_at_ms=now_ms)
        return {}

    def _sync_now(self, content: Any, now_ms: int) -> dict[str, Any]:
        order = TypeAdapter(SyncNowOrder).validate_python(content)
        sync = self._syncs.get(order.cohort_id)
        if sync is None:
            raise WrongOrder(f"no sync of this cohort: there are {', '.join(self._syncs) or 'none'}")
        if sync.state == "paused":
            raise WrongOrder("the sync is paused: PUT it again to start it")
        sync.state, sync.next_at_ms = "active", now_ms
        return {}

    def due(self, now_ms: int) -> Post | None:
        for sync in self._syncs.values():
            if sync.next_at_ms is None or sync.next_at_ms > now_ms:
                continue
            if sync.export is None:
                sync.export = self._begun(sync, now_ms)
            return sync.export.calls[0]
        return None

    def answered(self, post: Post, reply: Reply, now_ms: int) -> None:
        for sync in self._syncs.values():
            export = sync.export
            if export is None or export.calls[0] is not post:
                continue
            sync.last_status = reply.status
            if reply.is_good:
                _go_on(sync, export, post, reply, now_ms)
            elif reply.is_worth_another_try:
                _try_again(sync, export, now_ms)
            else:
                _pause(sync, reply)

    def _begun(self, sync: _Sync, now_ms: int) -> _Export:
        """The difference to the last complete export where Mixpanel still knows it, else a full copy."""
        cohort = self._cohorts[sync.order.cohort_id]
        members = dict(cohort.members)
        session = str(uuid.uuid4())
        if sync.sent is None or now_ms - sync.sent_at_ms > SNAPSHOT_MS_MAX:
            actions = {"members": members}
        else:
            joined = {user: fields for user, fields in members.items() if user not in sync.sent}
            left = {user: fields for user, fields in sync.sent.items() if user not in members}
            actions = {"add_members": joined, "remove_members": left}
        calls = [
            _post(sync.order, action, self._parameters(cohort, session, page, pages, chosen))
            for action, found in actions.items()
            for page, pages, chosen in _pages(found)
        ]
        return _Export(members, calls)

    def _parameters(
        self, cohort: CohortOrder, session: str, page: int, pages: int, members: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "mixpanel_project_id": self._project_id,
            "mixpanel_cohort_id": cohort.cohort_id,
            "mixpanel_cohort_name": cohort.name,
            "mixpanel_cohort_description": cohort.description,
            "mixpanel_session_id": session,
            "page_info": {"total_pages": pages, "page_count": page},
            "members": members,
        }


def _go_on(sync: _Sync, export: _Export, post: Post, reply: Reply, now_ms: int) -> None:
    """The next call; after the last one the snapshot moves."""
    sync.counts["unexpected"] += not _is_documented(post.kind, reply.body)
    export.tries = 0
    del export.calls[0]
    if export.calls:
        sync.next_at_ms = now_ms
        return
    sync.sent, sync.sent_at_ms, sync.export = export.members, now_ms, None
    sync.counts["completed"] += 1
    _wait(sync, now_ms, "done")


def _try_again(sync: _Sync, export: _Export, now_ms: int) -> None:
    """Five times, then the next sync begins from its first page. The snapshot stays what it was."""
    if export.tries < len(RETRY_AFTER_MS):
        sync.next_at_ms = now_ms + RETRY_AFTER_MS[export.tries]
        export.tries += 1
        return
    sync.export = None
    sync.counts["failed"] += 1
    _wait(sync, now_ms, "failed")


def _wait(sync: _Sync, now_ms: int, state: Literal["done", "failed"]) -> None:
    """For the next half hour, or for nothing more."""
    if sync.order.cadence == "dynamic":
        sync.next_at_ms = now_ms + INTERVAL_MS
    else:
        sync.state, sync.next_at_ms = state, None


def _pause(sync: _Sync, reply: Reply) -> None:
    """A fault of the set-up: nothing is sent until somebody starts the sync again, and people get a mail."""
    sync.state, sync.next_at_ms, sync.export = "paused", None, None
    sync.counts["failed"] += 1
    sync.counts["mails"] += 1
    sync.message = _message(reply.body)


def _pages(members: Members) -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
    """Number, count and members of each page. Without members it is one empty page: the call is still made."""
    found = [{"mixpanel_distinct_id": user, **fields} for user, fields in members.items()]
    pages = max(1, -(-len(found) // PAGE_MEMBERS_MAX))
    for page in range(pages):
        yield page + 1, pages, found[page * PAGE_MEMBERS_MAX : (page + 1) * PAGE_MEMBERS_MAX]


def _post(order: SyncOrder, action: str, parameters: dict[str, Any]) -> Post:
    headers = {}
    if order.user or order.password:
        secret = base64.b64encode(f"{order.user}:{order.password}".encode()).decode()
        headers["Authorization"] = f"Basic {secret}"
    return Post(action, order.url, orjson.dumps({"action": action, "parameters": parameters}), headers)


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_documented(action: str, body: bytes) -> bool:
    content = _content(body)
    return (content.get("action"), content.get("status")) == (action, "success")


def _message(body: bytes) -> str:
    """The receiver's own words, which Mixpanel shows to people."""
    error = _content(body).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else ""

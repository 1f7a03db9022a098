"""A sink's part around Braze's composer, without Kafka: records go through the real encoder, rows are remembered."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streams.delivery.composer import Change, Composed, Heard, Item
from streams.delivery.contract import Rejected, Remark, Request
from streams.destinations.braze.destination import BrazeDestination
from streams.destinations.braze.settings import BrazeSettings
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schemas import shipped
from streams.wayback import rows
from streams.wayback.memory import member_groups
from streams.wayback.records import Attributes, Event, Malformed, Membership, Page, Purchase, Record, encode

NOW_S = 1_790_000_000
TIME_MS = 1_789_997_600_123
KEYS = ["x" * 16]
COHORTS: dict[str, Any] = {"kind": "mixpanel_cohorts", "auth": {"passwords": KEYS}}
RECEIVE: dict[str, Any] = {
    "cohorts": {**COHORTS, "create_users": True},
    "ids": {**COHORTS, "attribute": "Ids", "value": "id"},
    "import": {**COHORTS, "as": "cohort_api"},
    "both": {**COHORTS, "as": "both", "attribute": "Both"},
    "audiences": {"kind": "mparticle_audiences", "keys": KEYS, "send_segments_as": ["single", "array", "per_segment"]},
    "data": {"kind": "mparticle_events", "keys": KEYS, "app_ids": {"ios": "app-ios", "web": "app-web"}},
}
COHORT_API = {"partner_api_key": "partner-api-key", "data_import_key": "data-import-key"}


def settings(**given: Any) -> BrazeSettings:
    content = {"base_url": "http://braze", "rest_key": "rest-key", "cohort_api": COHORT_API, "receive": RECEIVE}
    return BrazeSettings.model_validate(content | given)


def common(user: str, entry: str, **given: Any) -> dict[str, Any]:
    return {"id": "1", "entry": entry, "external_user_id": user, "time_ms": TIME_MS, "received_ms": TIME_MS, **given}


def attributes(user: str = "ann", /, *, message_type: str = "attributes", **changes: Any) -> Attributes:
    return Attributes(**common(user, "data"), changes=json.dumps(changes), message_type=message_type)


def event(record_id: str, user: str = "ann", /, **given: Any) -> Event:
    return Event(**common(user, "data", id=record_id), **{"name": "Played", **given})


def purchase(record_id: str, user: str = "ann", /, **given: Any) -> Purchase:
    content = {"product_id": "sku", "currency": "EUR", "price": 1.0, **given}
    return Purchase(**common(user, "data", id=record_id), **content)


def word(group: str, user: str = "ann", /, change: Any = "add", *, name: str = "", **given: Any) -> Membership:
    """`group` is `<entry>/<id>`."""
    entry, _, group_id = group.partition("/")
    return Membership(**common(user, entry), group_id=group_id, group_name=name or group_id, change=change, **given)


def page(group: str, session: str = "s", /, number: int = 1, pages: int = 1, **given: Any) -> Page:
    entry, _, group_id = group.partition("/")
    content = {"group_name": group_id, "request": f"{session}-{number}", **given}
    return Page(**common("", entry), group_id=group_id, session=session, page=number, pages=pages, **content)


def present(group: str, user: str, session: str = "s", number: int = 1, **given: Any) -> Membership:
    content = {"session": session, "page": number, "request": f"{session}-{number}", **given}
    return word(group, user, "present", **content)


def malformed(record_id: str) -> Malformed:
    return Malformed(**common("", "data", id=record_id), reason="a member is not a JSON object", body="7")


class Desk:
    """One partition: what is remembered of it, and what the composer makes of its records."""

    def __init__(self, **given: Any) -> None:
        self.destination = BrazeDestination(settings(**given))
        self.composer = self.destination.composer
        self.rows: dict[bytes, bytes] = {}
        self.seen: set[str] = set()
        self.copies: dict[str, set[tuple[str, int, str]]] = {}
        self.offset = 100

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from [(key, self.rows[key]) for key in sorted(self.rows) if key.startswith(prefix)]

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        return self.seen.intersection(event_ids)

    def members(self, group: str) -> Iterator[str]:
        found = (rows.user_of(key) for key, value in self.rows.items() if self._is_in(key, value, group))
        yield from sorted((user for user in found if user is not None), key=str.encode)

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:
        found = {user for user, page, request in self.copies.get(copy, ()) if versions.get(page) == request}
        yield from sorted(found, key=str.encode)

    def staged_users(self) -> Iterator[str]:
        yield from [user for members in self.copies.values() for user, _, _ in members]

    def encoded(self, record: Record) -> Any:
        schema = shipped().by_event_type(f"wayback.{type(record).__name__}")
        assert schema is not None
        encoder = self.destination.encoder(schema)
        assert encoder is not None
        return encoder(encode(record), SINGLE_OBJECT_HEADER_BYTES)

    def item(self, record: Record, *, place: int | None = None, again: str = "") -> Item:
        """At the next offset."""
        encoding = self.encoded(record)
        assert not isinstance(encoding, Rejected), encoding
        body = encoding.body if isinstance(encoding, Remark) else encoding[1]
        self.offset += 1
        return Item(body, self.offset, self.offset if place is None else place, again)

    def compose(self, *records: Record | Item, scope: str = "default", keeps: bool = True) -> Composed:
        """A request of all of them, or of as many as it takes. With `keeps` it is delivered."""
        items = [each if isinstance(each, Item) else self.item(each) for each in records]
        composed = self.composer.compose(scope, items, self, NOW_S)
        if keeps:
            self.settle(composed.changes, set(range(composed.taken)))
            self.seen |= set(composed.events.values())
        return composed

    def hear(self, record: Record | Item, *, now_s: int = NOW_S) -> Heard:
        item = record if isinstance(record, Item) else self.item(record)
        return self.heard(self.composer.hear(item, self, now_s))

    def heard(self, heard: Heard) -> Heard:
        """Remembers what a remark does, with everything that it derives as a list."""
        derived = list(heard.derived)
        for staged in heard.stage:
            self.copies.setdefault(staged.copy, set()).add((staged.user, staged.page, staged.request))
        self.settle(heard.changes, set())
        for copy in heard.unstage:
            self.copies.pop(copy, None)
        for copy, members in self.copies.items():
            self.copies[copy] = {member for member in members if member[0] not in heard.unstage_users}
        return replace(heard, derived=derived)

    def settle(self, changes: Sequence[Change], settled: set[int]) -> None:
        """Applies what depends on settled positions alone."""
        for change in changes:
            if not settled.issuperset(change.of):
                continue
            if change.value is None:
                self.rows.pop(change.key, None)
            else:
                self.rows[change.key] = change.value

    @staticmethod
    def _is_in(key: bytes, value: bytes, group: str) -> bool:
        return rows.user_of(key) is not None and group in member_groups(value)


def content(request: Request | None) -> Any:
    """The body of a request, which there must be."""
    assert request is not None
    return json.loads(request.body)

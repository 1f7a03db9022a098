"""A small destination that composes, for tests: a notebook that keeps a page for each user.

Events of `users.behaviors.CustomEvent` say by `name` what they are, and by `properties` (JSON) the rest:

| name | properties | is |
|---|---|---|
| `set` | `{"colour": "red"}` | attributes of the user |
| `join`, `leave` | `{"group": "g"}` | a membership |
| anything else | | an event, which must not be noted twice |
| `present` | `{"copy": "s", "page": 1, "request": "r"}` | a member of a full copy of group `g`: a remark |
| `page` | the same and `"pages": 2` | the page is complete: a remark that waits |
| `malformed` | | rejected |
| `torn` | | a remark that is parked |

With `"scope": "second"` among the properties it goes by that scope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from streams.delivery.composer import Change, Composed, Derived, Heard, InDoubt, Item, Memory, Staged
from streams.delivery.contract import (
    Delivered,
    Destination,
    Encoder,
    Encoding,
    Limits,
    Misconfigured,
    Refused,
    Rejected,
    Remark,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
    decoded,
)
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.wayback.copies import changes_of, member_came, page_came, time_passed
from streams.wayback.memory import Sent, Standing, UserMemory, hash_of, user_memory
from streams.wayback.rows import copies, copies_to_bytes, group_row, user_row

EVENT_TYPE = "users.behaviors.CustomEvent"
GROUP = "lists/g"
TITLE = b"title"
DOUBT = b"doubt/"


def record(user: str, name: str, event_id: str = "", **properties: Any) -> bytes:
    """A record of the notebook's, as it stands on a topic."""
    schema = shipped().by_event_type(EVENT_TYPE)
    assert schema is not None
    values = {"external_user_id": user, "name": name, "properties": orjson.dumps(properties).decode()}
    sample = sample_record(EVENT_TYPE, Random(5), 1_795_000_000)
    return encode_single_object(schema, {**sample, **values, "id": event_id or f"{user}-{name}"})


def said(request: Request) -> list[list[Any]]:
    """What a request notes, in order."""
    content = orjson.loads(request.body)
    assert isinstance(content, list)
    return content


@dataclass(frozen=True)
class NotebookComposer:
    """Notes what differs from what was noted last. `objects_max` in a request."""

    in_doubt: InDoubt = "resend"
    objects_max: int = 5
    has_title: bool = False
    """The title is sent before the first note."""
    tallies: Sequence[str] = ("notes", "dropped")

    def compose(self, scope: str, items: Sequence[Item], memory: Memory, now_s: int) -> Composed:
        notes: list[list[Any]] = []
        layout: dict[tuple[str, int], tuple[int, ...]] = {}
        users: dict[str, UserMemory] = {}
        said_by: dict[str, tuple[int, ...]] = {}
        skipped: dict[int, str] = {}
        events: dict[int, str] = {}
        changes: list[Change] = []
        taken = 0
        for position, item in enumerate(items):
            if len(notes) == self.objects_max:
                break
            taken += 1
            content = orjson.loads(item.body)
            user, name, properties = content["user"], content["name"], content["properties"]
            if name in ("set", "join", "leave"):
                if user not in users:
                    users[user] = user_memory(memory.get(user_row(user)))
                users[user], change, stale = _heard(users[user], name, properties, item, memory, now_s)
                if stale:
                    skipped[position] = "stale"
                    continue
                said_by[user] = (*said_by.get(user, ()), position)
                changes.append(Change(user_row(user), users[user].to_bytes(), said_by[user]))
                if not change and not item.again:
                    skipped[position] = "unchanged"
                    continue
                place = next((at for at, note in enumerate(notes) if note[:2] == ["user", user]), None)
                if place is None:
                    layout["notes", len(notes)] = (position,)
                    notes.append(["user", user, {**change}])
                else:
                    notes[place][2].update(change)
                    layout["notes", place] = (*layout["notes", place], position)
            elif (memory.seen_among([content["id"]]) and not item.again) or content["id"] in events.values():
                skipped[position] = "duplicate"
            else:
                events[position] = content["id"]
                layout["notes", len(notes)] = (position,)
                notes.append(["event", user, content["id"]])
        request = before = None
        if notes:
            request = Request("POST", f"https://notebook.test/{scope}", {}, orjson.dumps(notes), layout)
            if self.has_title and memory.get(TITLE) is None:
                title = orjson.dumps([["title"]])
                before = Request("POST", f"https://notebook.test/{scope}", {}, title, layout)
                changes.append(Change(TITLE, b"{}", tuple(at for at in range(taken) if at not in skipped)))
        tally = {"notes": len(notes)} if notes else {}
        doubts = [Change(DOUBT + user.encode(), b"{}", positions) for user, positions in said_by.items()]
        return Composed(request, taken, skipped, changes, events, tally, before, doubts)

    def hear(self, item: Item, memory: Memory, now_s: int) -> Heard:
        content = orjson.loads(item.body)
        properties = content["properties"]
        if content["name"] == "torn":
            return Heard("", rejected="torn: cannot be noted")
        copy, page, request = properties["copy"], properties["page"], properties["request"]
        before = copies(memory.get(group_row(GROUP)))
        if content["name"] == "present":
            turn = member_came(before, copy, item.place, now_s)
            stage = () if turn.is_stale else (Staged(copy, content["user"], page, request),)
            changes = () if turn.copies == before else (_copies_change(turn.copies),)
            reason = "stale" if turn.is_stale else "staged"
            tally = {"dropped": len(turn.dropped)} if turn.dropped else {}
            return Heard(reason, stage, turn.dropped, changes, tally=tally)
        turn = page_came(before, copy, page, properties["pages"], request, item.place, now_s)
        if turn.complete is None:
            return Heard("stale" if turn.is_stale else "page", (), turn.dropped, [_copies_change(turn.copies)])
        versions = {**before.open[copy].versions, page: request} if copy in before.open else {page: request}
        floor = turn.copies.floor
        derived = (
            Derived(user.encode(), record(user, "join" if joins else "leave", group="g"), floor)
            for user, joins in changes_of(memory.staged(copy, versions), memory.members(GROUP))
        )
        ended = (*turn.dropped, turn.complete)
        return Heard("page", (), ended, [_copies_change(turn.copies)], derived)

    def reread_from(self, memory: Memory) -> int | None:
        opened = copies(memory.get(group_row(GROUP))).open
        return min((copy.first_place for copy in opened.values()), default=None)

    def open_copies(self, memory: Memory) -> Mapping[str, int]:
        return {name: copy.began_s for name, copy in copies(memory.get(group_row(GROUP))).open.items()}

    def gone(self, memory: Memory, before: int, now_s: int) -> Heard | None:
        known = copies(memory.get(group_row(GROUP)))
        gone = tuple(name for name, copy in known.open.items() if copy.first_place < before)
        if not gone:
            return None
        opened = {name: copy for name, copy in known.open.items() if name not in gone}
        after = replace(known, open=opened, ended={**known.ended, **dict.fromkeys(gone, now_s)})
        return Heard("gone", (), gone, [_copies_change(after)], tally={"dropped": len(gone)})

    def expired(self, memory: Memory, now_s: int) -> Heard | None:
        turn = time_passed(copies(memory.get(group_row(GROUP))), now_s)
        if not turn.dropped:
            return None
        return Heard("", (), turn.dropped, [_copies_change(turn.copies)], tally={"dropped": len(turn.dropped)})


def _copies_change(known: Any) -> Change:
    return Change(group_row(GROUP), copies_to_bytes(known))


def _heard(
    user: UserMemory, name: str, properties: Mapping[str, Any], item: Item, memory: Memory, now_s: int
) -> tuple[UserMemory, dict[str, Any], bool]:
    """The user as remembered from now on, what is to be noted, and whether the word is stale."""
    if name == "set":
        words = {key: value for key, value in properties.items() if key != "scope"}
        if any(key in user.attributes and item.place < user.attributes[key].place for key in words):
            return user, {}, True
        change = {
            key: value
            for key, value in words.items()
            if key not in user.attributes or user.attributes[key].hash != hash_of(value) or item.again
        }
        sent = {key: Sent(hash_of(value), item.place) for key, value in words.items()}
        return user.with_attributes(sent), change, False
    standing = user.groups.get(GROUP)
    floor = copies(memory.get(group_row(GROUP))).floor
    if item.place < max(floor, standing.place if standing else 0):
        return user, {}, True
    is_member = name == "join"
    is_new = standing is None or standing.is_member != is_member
    after = user.with_standing(GROUP, Standing(is_member, "g", item.place, item.place, now_s))
    return after, {"in g": is_member} if is_new else {}, False


LIMITS = Limits(
    batch_records_max=10,
    batch_bytes_max=100_000,
    record_bytes_max=10_000,
    requests_in_flight_max=8,
    retry_base_seconds=1.0,
    records_per_second=None,
)


@dataclass(frozen=True)
class Notebook(Destination):
    """The destination. `writer` stands for a secret that is part of nothing."""

    kept: NotebookComposer = field(default_factory=NotebookComposer)
    limits: Limits = LIMITS
    scopes: tuple[str, ...] = ("default", "second")

    def encoder(self, source: WriterSchema) -> Encoder | None:
        return decoded(source, _encode)

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        raise AssertionError("a destination that composes is never asked for a plain request")

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        held = {position for positions in request.layout.values() for position in positions}
        assert records == len(held), f"{records} items for a request that holds {sorted(held)}"
        status = response.status
        match status:
            case 200 if not response.body:
                return Delivered()
            case 200:
                details, apart = {}, set[int]()
                for place in orjson.loads(response.body):
                    positions = request.layout["notes", place]
                    if len(positions) > 1:
                        apart |= set(positions)
                    else:
                        details[positions[0]] = "refused by name"
                return Refused(details, frozenset(apart))
            case 400:
                return Undetermined("something is wrong", 400)
            case 401:
                return Unauthorised(401, "unknown writer")
            case 429 | 408:
                return Retry(f"status {status}", is_throttling=status == 429, status=status)
            case _ if status >= 500:
                return Retry(f"status {status}", is_server_error=True, status=status)
            case _:
                return Misconfigured(f"status {status}")

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        return Request("GET", f"https://notebook.test/{scope}/{nonce}", {}, b"")

    @property
    def composer(self) -> NotebookComposer:
        return self.kept


def _encode(event: Mapping[str, Any]) -> Encoding:
    properties = orjson.loads(event["properties"] or b"{}")
    content = {"user": event["external_user_id"], "name": event["name"], "id": event["id"], "properties": properties}
    body = orjson.dumps(content)
    match event["name"]:
        case "present" | "torn":
            return Remark(body)
        case "page":
            return Remark(body, waits=True)
        case "malformed":
            return Rejected("malformed")
        case _:
            return properties.get("scope", "default"), body, 0

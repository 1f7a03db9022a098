"""Whatever comes in whatever order, Braze ends with the vendor's last complete word.

A partition's log is made at random: words about single users, full copies whose pages are shuffled, repeated, changed
and left out, copies that overlap. It is read as a sink will read it: words are parked and come back late, answers are
lost after Braze took them, the process dies before it remembers. Then Braze's ledger is compared with the truth, which
is worked out from the log alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.adapters.scratch import Scratch
from streams.destinations.braze.objects import BrazeObject
from streams.destinations.braze.requests import track
from streams.emulators.braze.options import BrazeOptions, Limits
from streams.emulators.braze.server import BrazeServer
from streams.emulators.call import Call
from streams.wayback import rows
from streams.wayback.copies import GroupCopies, changes_of, member_came, page_came
from streams.wayback.entries import Entry
from streams.wayback.memberships import Word, difference, heard
from streams.wayback.memory import user_memory

RUNS = int(os.environ.get("CONVERGENCE_RUNS", "60"))
SEED = int(os.environ.get("CONVERGENCE_SEED", "0")) or Random().randrange(1, 10**9)
NOW_S = 1_790_000_000
KEY = BrazeOptions().rest_keys[0].key
USERS = [f"user-{number}" for number in range(6)]
GROUPS = {"cohorts/7": "VIP", "cohorts/8": "VIP", "cohorts/9": "New", "audiences/1": "Cats", "audiences/2": "Dogs"}
ENTRIES: dict[str, Any] = {
    "cohorts": TypeAdapter[Any](Entry).validate_python(
        {"kind": "mixpanel_cohorts", "auth": {"passwords": ["x" * 16]}, "create_users": True}
    ),
    "audiences": TypeAdapter[Any](Entry).validate_python(
        {
            "kind": "firehose",
            "keys": ["x" * 16],
            "send_segments_as": ["single", "array", "per_segment"],
            "create_users": True,
        }
    ),
}


@dataclass(frozen=True)
class Said:
    """A word about one user. `place` is where it was first read, its own offset where None."""

    group: str
    user: str
    is_member: bool
    place: int | None = None


@dataclass(frozen=True)
class Staged:
    group: str
    session: str
    page: int
    request: str
    user: str


@dataclass(frozen=True)
class Marker:
    group: str
    session: str
    page: int
    pages: int
    request: str


LogRecord = Said | Staged | Marker


@dataclass
class Script:
    """What the vendor does, as a log. Each block is one request, whose records stay together."""

    random: Random
    log: list[LogRecord] = field(default_factory=list)

    def write(self, steps: int) -> None:
        waiting: list[list[LogRecord]] = []
        opened = dict.fromkeys(GROUPS, 0)
        for step in range(steps):
            group = self.random.choice(list(GROUPS))
            if self.random.random() < 0.2 and opened[group] < 4:
                opened[group] += 1
                waiting += self._copy(group, f"s{step}")
            elif waiting and self.random.random() < 0.6:
                self.log += waiting.pop(self.random.randrange(len(waiting)))
            else:
                self.log.append(Said(group, self.random.choice(USERS), self.random.random() < 0.6))
        self.random.shuffle(waiting)
        for block in waiting:
            if self.random.random() < 0.8:  # others never come: their copies stay open
                self.log += block

    def _copy(self, group: str, session: str) -> list[list[LogRecord]]:
        members = [user for user in USERS if self.random.random() < 0.5]
        pages = self.random.randint(1, 3)
        blocks = []
        for page in range(1, pages + 1):
            for attempt in range(self.random.choice((1, 1, 2))):
                request = f"{session}-{page}-{attempt}"
                block: list[LogRecord] = [
                    Staged(group, session, page, request, user)
                    for place, user in enumerate(members)
                    if place % pages == page - 1
                ]
                blocks.append([*block, Marker(group, session, page, pages, request)])
        self.random.shuffle(blocks)
        return blocks


def truth(log: list[LogRecord]) -> dict[str, set[str]]:
    """Each group's members by the log alone: the complete copy that began last, and the words since it began."""
    found: dict[str, set[str]] = {}
    for group in GROUPS:
        first: dict[str, int] = {}
        versions: dict[str, dict[int, str]] = {}
        needed: dict[str, int] = {}
        base, floor = set[str](), 0
        for offset, record in enumerate(log):
            if isinstance(record, Said) or record.group != group:
                continue
            first.setdefault(record.session, offset)
            if not isinstance(record, Marker) or first[record.session] < floor or first[record.session] == -1:
                continue
            needed[record.session] = record.pages
            versions.setdefault(record.session, {})[record.page] = record.request
            if len(versions[record.session]) == record.pages:
                floor = first[record.session]
                base = {
                    staged.user
                    for staged in log[:offset]
                    if isinstance(staged, Staged)
                    and staged.session == record.session
                    and versions[record.session].get(staged.page) == staged.request
                }
                first[record.session] = -1
        for record in log[floor:]:
            if isinstance(record, Said) and record.group == group:
                (base.add if record.is_member else base.discard)(record.user)
        found[group] = base
    return found


class Sink:
    """A sink's memory and decisions around the emulated Braze, one record at a time."""

    def __init__(self, random: Random, path: Path, log: list[LogRecord]) -> None:
        self.random = random
        self.path = path
        self.log = list(log)
        self.braze = BrazeServer(BrazeOptions(limits=Limits(requests_per_window=10**9)))
        self.scratch = Scratch(path)
        self.copies: dict[str, GroupCopies] = {}
        self.parked: list[Said] = []
        self.kept: dict[bytes, bytes] = {}
        self.trouble = True

    def run(self) -> None:
        offset = 0
        while offset < len(self.log):
            self._read(self.log[offset], offset)
            offset += 1
            if offset == len(self.log) and self.parked:
                self._redrive()
        self.scratch.close()

    def _read(self, record: LogRecord, offset: int) -> None:
        copies = self.copies.get(record.group, GroupCopies())
        match record:
            case Said():
                self._say(record, offset, copies.floor)
            case Staged():
                turn = member_came(copies, record.session, offset, NOW_S)
                self.copies[record.group] = turn.copies
                if not turn.is_stale:
                    self.scratch.stage(record.session, [(record.user, record.page, record.request)])
            case Marker():
                turn = page_came(copies, record.session, record.page, record.pages, record.request, offset, NOW_S)
                if turn.complete is not None:
                    self._derive(
                        record,
                        {**copies.open[record.session].versions, record.page: record.request}
                        if record.session in copies.open
                        else {record.page: record.request},
                        turn.copies.floor,
                    )
                self.copies[record.group] = turn.copies
                for session in (*turn.dropped, *((turn.complete,) if turn.complete else ())):
                    self.scratch.unstage(session)

    def _derive(self, record: Marker, versions: dict[int, str], floor: int) -> None:
        staged = self.scratch.staged(record.session, versions)
        changes = list(changes_of(staged, self.scratch.members(record.group)))
        self.log += [Said(record.group, user, joins, floor) for user, joins in changes]

    def _say(self, record: Said, offset: int, floor: int) -> None:
        place = offset if record.place is None else record.place
        if self.trouble and self.random.random() < 0.2:
            self.parked.append(Said(record.group, record.user, record.is_member, place))
            return
        attempts = self.random.choice((1, 1, 1, 2)) if self.trouble else 1
        for attempt in range(attempts):
            key = b"user/" + record.user.encode()
            before = user_memory(self.scratch.get(key))
            word = heard(before, Word(record.group, GROUPS[record.group], record.is_member, place, floor))
            if word.skip is None:
                found = difference(before, word.memory, ENTRIES, [record.group])
                if found.attributes:
                    self._send(BrazeObject("attributes", record.user, False, found.attributes))
            if attempt == attempts - 1:  # before the last attempt the process died, and nothing was remembered
                self.kept[key] = word.memory.to_bytes()
                self.scratch.apply([(key, self.kept[key])], offset + 1)
        if self.trouble and self.random.random() < 0.05:
            self._die()

    def _die(self) -> None:
        """The next owner has no file: it fills a new one from the rows that Kafka keeps."""
        staged = self.scratch._connection.execute("SELECT * FROM staged").fetchall()
        self.scratch.close()
        self.copies = {group: rows.copies(rows.copies_to_bytes(each)) for group, each in self.copies.items()}
        self.path.write_bytes(self.random.randbytes(5_000))
        self.scratch = Scratch(self.path)
        assert self.scratch.next_offset == 0
        self.scratch.apply(self.kept.items(), len(self.log))
        for session, user, page, request in staged:  # the connector's topic is read again from the copy's first offset
            self.scratch.stage(session, [(user, page, request)])

    def _redrive(self) -> None:
        """Letters come back in order, behind whatever came meanwhile."""
        self.trouble = self.trouble and self.random.random() < 0.3
        self.log += self.parked
        self.parked = []

    def _send(self, made: BrazeObject) -> None:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        answer = self.braze.receive(Call("POST", "/users/track", {}, headers, track([made]).body, "", None), NOW_S)
        assert answer.status == 201, answer.body


@pytest.mark.parametrize("run", range(RUNS))
def test_braze_ends_with_the_vendors_last_complete_word(run: int, tmp_path: Path) -> None:
    seed = SEED + run
    print(f"CONVERGENCE_SEED={seed} CONVERGENCE_RUNS=1 repeats this run alone")
    random = Random(seed)
    script = Script(random)
    script.write(random.randint(5, 120))
    sink = Sink(random, tmp_path / "partition.sqlite", script.log)
    sink.run()
    members = truth(script.log)
    view = sink.braze.view("query")
    assert view is not None
    users = {row["external_id"]: row["attributes"] for row in view["rows"]}
    for user in USERS:
        attributes = users.get(user, {})
        names = {name for group, name in GROUPS.items() if group.startswith("cohorts") and user in members[group]}
        ids = {group.partition("/")[2] for group in GROUPS if group.startswith("audiences") and user in members[group]}
        text = attributes.get("SegmentMembership")
        assert set(attributes.get("Mixpanel_Cohorts", [])) == names
        assert set(text.split(",") if text else []) == {f"'{each}'" for each in ids}
        assert set(attributes.get("SegmentMembershipArray", [])) == ids
        for group in ("audiences/1", "audiences/2"):
            assert attributes.get(f"In {GROUPS[group]}", False) == (user in members[group])

"""A sink of one partition without Kafka and without threads: the real composer, overlay and scratch file, and trouble.

What a transaction writes is there or not: rows, letters, derived records and the offset up to which all is settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from streams.adapters.scratch import Scratch
from streams.delivery.composer import Composed, Derived, Heard, Item, Staged
from streams.delivery.contract import Delivered, Remark, Request, Response
from streams.delivery.sent_rows import Seen
from streams.destinations.braze.destination import BrazeDestination
from streams.emulators.braze.options import BrazeOptions, Limits
from streams.emulators.braze.server import BrazeServer
from streams.emulators.call import Call
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schemas import shipped
from streams.ports.memory import NO_EVENTS, Row
from streams.wayback.records import Record, encode
from streams.workers.sink.composition.composed_batch import ComposedBatch, split
from streams.workers.sink.composition.remembered import Remembered
from tests.destinations.braze_desk import settings

NOW_S = 1_790_000_000
KEYS = ["x" * 16]
COHORTS = {"kind": "mixpanel_cohorts", "auth": {"passwords": KEYS}, "create_users": True}
RECEIVE = {
    "cohorts": COHORTS,
    "both": {**COHORTS, "as": "both", "attribute": "Both"},
    "audiences": {
        "kind": "firehose", "keys": KEYS, "create_users": True, "send_segments_as": ["single", "array", "per_segment"],
    },
    "data": {"kind": "mparticle_events", "keys": KEYS},
}  # fmt: skip
SCOPES = ("default", "cohorts")
Logged = tuple[bytes, int]
"""A value and its place."""


class FileMemory:
    """The `PartitionMemory` in a scratch file that nothing else writes."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.get = scratch.get
        self.rows_under = scratch.rows_under
        self.members = scratch.members
        self.staged = scratch.staged
        self.staged_users = scratch.staged_users
        self.unstage_users = scratch.unstage_users

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        return self.scratch.seen_at(event_ids)  # of a day that does not end

    def apply(self, rows: Sequence[Row], events: Mapping[bytes, Seen] = NO_EVENTS) -> None:
        self.scratch.apply(rows)

    def stage(self, members: Iterable[Staged]) -> None:
        for each in members:
            self.scratch.stage(each.copy, [(each.user, each.page, each.request)])

    def unstage(self, copies: Iterable[str]) -> None:
        for copy in copies:
            self.scratch.unstage(copy)


class OneSink:
    """Reads a log to its end. While there is `trouble`, letters are parked, answers lost, and processes die."""

    def __init__(self, random: Random, path: Path, log: Sequence[Record], users: Sequence[str]) -> None:
        self.random = random
        self.path = path
        self.log: list[Logged] = [(encode(record), offset) for offset, record in enumerate(log)]
        self.trouble = True
        self.died: Counter[str] = Counter()
        self.braze = BrazeServer(BrazeOptions(limits=Limits(requests_per_window=10**9), users=tuple(users)))
        self.destination = BrazeDestination(settings(rest_key=BrazeOptions().rest_keys[0].key, receive=RECEIVE))
        schemas = {schema.fingerprint: schema for schema in shipped()}
        self.encoders: dict[bytes, Any] = {
            fingerprint: encoder
            for fingerprint, schema in schemas.items()
            if (encoder := self.destination.encoder(schema)) is not None
        }
        self.kept: dict[bytes, bytes] = {}
        self.committed = 0
        self.parked: list[Logged] = []
        self.forgotten: set[int] = set()
        """Offsets of what was sent by a process that died before it could remember it."""
        self._begin()

    def run(self) -> None:
        while True:
            if self.position < len(self.log) and (not any(self.queues.values()) or self.random.random() < 0.7):
                self._read()
            elif any(self.queues.values()):
                self._send(self.random.choice([scope for scope in SCOPES if self.queues[scope]]))
            elif self.letters or self.parked:
                self._commit()
                self._redrive()
            else:
                self._commit()
                return
            if self._happens(0.1):
                self._commit()
            if self._happens(0.03):
                self._die()

    # What a process does.

    def _read(self) -> None:
        offset = self.position
        encoding = self._encoded(offset)
        self.position += 1
        if isinstance(encoding, Remark):
            self._remark(offset, encoding)
            return
        assert isinstance(encoding, tuple), encoding
        scope, body, _ = encoding
        self.unsettled.add(offset)
        self.queues[scope].append(Item(body, offset, self.log[offset][1]))

    def _remark(self, offset: int, remark: Remark) -> None:
        item = Item(remark.body, offset, self.log[offset][1])
        if not remark.waits:
            self._apply(self.composer.hear(item, self.remembered, NOW_S))
            return
        while any(self.queues.values()):
            died = sum(self.died.values())
            self._send(next(scope for scope in SCOPES if self.queues[scope]))
            if sum(self.died.values()) > died:
                return
        self.position = offset
        self._commit()
        self.position = offset + 1
        heard = self.composer.hear(item, self.remembered, NOW_S)
        derived = list(heard.derived)
        if derived and self._happens(0.1):
            self._derive(derived[: len(derived) // 2])  # in a transaction of its own, and then the process dies
            self._die("deriving")
            return
        self._derive(derived)
        self._apply(heard)
        self._commit()

    def _send(self, scope: str) -> None:
        """One request: delivered, delivered though its answer is lost, or parked."""
        queue = self.queues[scope]
        items = queue[: self.random.randint(1, 12)]
        composed = self.composer.compose(scope, items, self.remembered, NOW_S)
        parts = split(composed, len(items))
        self.remembered.change(parts.changes)
        self._settle(items[position] for position in parts.settled)
        del queue[: composed.taken]
        if composed.request is None:
            return
        composition = ComposedBatch(composed, parts.sent, parts.beside)
        outcome = self._outcome(items)
        if outcome == "parked":
            if self.random.random() < 0.5:  # its answer was lost before
                self._call(composed)
                composition.was_in_doubt = True
                self.delivered |= {item.offset for item in items}
                self.remembered.change(composition.doubts(()))
            self._park(items, composition, queue)
            return
        if outcome != "delivered":
            self._call(composed)
        if outcome == "dies" and self.random.random() < 0.3:
            self.delivered |= {item.offset for item in items}
            self._die("in flight")
            return
        self._call(composed)
        self.remembered.change(composition.changes(composition.sent))
        if events := composition.events(composition.sent):
            self.remembered.deliver(events.values(), items[max(events)].offset)
        self.delivered |= {items[position].offset for position in composition.sent}
        self._settle(items[position] for position in (*composition.sent, *composition.skipped))

    def _outcome(self, items: Sequence[Item]) -> str:
        """What was sent and forgotten with its process is not parked before it is sent again: nobody could tell that
        Braze has it, and a later word that says the same as what is remembered would not be sent."""
        if not self.trouble:
            return "delivered"
        outcome = self.random.choice(("delivered", "delivered", "lost", "parked", "dies"))
        is_forgotten = any(item.offset in self.forgotten for item in items)
        return "delivered" if outcome == "parked" and is_forgotten else outcome

    def _park(self, items: Sequence[Item], composition: ComposedBatch, queue: list[Item]) -> None:
        """The scope's key is refused: what is sent becomes letters; what was skipped with it is composed again."""
        for position in composition.sent:
            self.letters[items[position].offset] = self.log[items[position].offset]
        self._settle(items[position] for position in composition.sent)
        queue[:0] = [items[position] for position in composition.skipped]

    def _call(self, composed: Composed) -> None:
        for request in (composed.before, composed.request):
            if request is None:
                continue
            answer = self._answer(request)
            verdict = self.destination.interpret(answer, request, composed.taken)
            assert isinstance(verdict, Delivered), verdict

    def _answer(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.removeprefix("http://braze")
        answer = self.braze.receive(Call("POST", path, {}, headers, request.body, "", None), NOW_S * 1_000)
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    # What is kept.

    def _begin(self) -> None:
        """A new owner."""
        self.scratch = Scratch(self.path)
        self.memory = FileMemory(self.scratch)
        self.remembered = Remembered(self.memory)  # type: ignore[arg-type]
        self.composer = self.destination.composer
        self.position = self.committed
        self.queues: dict[str, list[Item]] = {scope: [] for scope in SCOPES}
        self.unsettled: set[int] = set()
        self.letters: dict[int, Logged] = {}
        self.delivered: set[int] = set()
        """Since the last commit."""

    def _commit(self) -> None:
        self.remembered.flush()
        rows = self.remembered.to_write(NOW_S)
        for key, value in rows:
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value
        self.remembered.committed()
        self.delivered.clear()
        self.committed = min(self.unsettled, default=self.position)
        for offset in [offset for offset in self.letters if offset < self.committed]:
            self.parked.append(self.letters.pop(offset))

    def _die(self, where: str = "anywhere") -> None:
        """The next owner has the file, a damaged one or none, and reads open copies again."""
        self.died[where] += 1
        self.forgotten |= self.delivered
        self.scratch.close()
        damage = self.random.random()
        if damage < 0.3:
            self.path.write_bytes(self.random.randbytes(5_000))
        self._begin()
        if damage < 0.3:
            self.memory.apply(list(self.kept.items()))
        self.scratch.unstage_all()
        start = self.composer.reread_from(self.remembered)
        for offset in range(self.committed if start is None else start, self.committed):
            encoding = self._encoded(offset)
            if isinstance(encoding, Remark) and not encoding.waits:
                item = Item(encoding.body, offset, self.log[offset][1])
                self.memory.stage(self.composer.hear(item, self.remembered, NOW_S).stage)

    def _redrive(self) -> None:
        """Letters come back in order, behind whatever came meanwhile, each with its place."""
        self.trouble = self.trouble and self.random.random() < 0.5
        self.log += self.parked
        self.parked = []

    def _derive(self, derived: Sequence[Derived]) -> None:
        self.log += [(one.value, one.place) for one in derived]

    def _apply(self, heard: Heard) -> None:
        self.remembered.stage(heard.stage)
        self.remembered.unstage(heard.unstage)
        self.remembered.change(heard.changes)

    def _settle(self, items: Iterable[Item]) -> None:
        self.unsettled -= {item.offset for item in items}

    def _encoded(self, offset: int) -> Any:
        value = self.log[offset][0]
        return self.encoders[value[2:SINGLE_OBJECT_HEADER_BYTES]](value, SINGLE_OBJECT_HEADER_BYTES)

    def _happens(self, share: float) -> bool:
        return self.trouble and self.random.random() < share

    # What Braze has.

    def users(self) -> Mapping[str, Mapping[str, Any]]:
        view = self.braze.view("query")
        assert view is not None
        return {row["external_id"]: row for row in _rows(view)}


def _rows(view: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from view.get("rows") or view.get("records") or ()

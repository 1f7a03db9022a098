"""One connector as the state topic tells it: the same view for its keeper, its sinks and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streams.state.records import (
    PURGED,
    REJECTED,
    WAITS_FRESH_MS_MAX,
    Answer,
    BackOff,
    ConnectorState,
    Copy,
    Cursor,
    Deletion,
    Imported,
    Job,
    KnownTopic,
    Partition,
    PartitionWait,
    Record,
    Request,
    ScopeState,
    SettledBlock,
    StateError,
    Suspect,
    Term,
    Told,
    Totals,
    Waits,
    parse,
)
from streams.state.settled import SettledLetters

CONNECTOR_SCOPE = "-"
"""Stands for the connector as a whole where a suspect's scope is expected."""


class Standing:
    """The newest record of each key, gathered one by one with `apply`."""

    def __init__(self, connector: str) -> None:
        self.connector = connector
        self.term: Term | None = None
        self.state = ConnectorState()
        self.scopes: dict[str, ScopeState] = {}
        self.cursors: dict[Partition, int] = {}
        self.settled: dict[Partition, SettledLetters] = {}
        self.known_topics: dict[str, KnownTopic] = {}
        """By letters; `DELIVERIES` is the connector's own."""
        self.totals = Totals()
        self.told = Told()
        self.copies: dict[str, Copy] = {}
        """By topic."""
        self.deletion: Deletion | None = None
        """While bytes of settled letters could not be deleted."""
        self.imported: dict[str, Imported] = {}
        self.suspects: dict[tuple[str, str], Suspect] = {}
        """By scope and instance."""
        self.waits: dict[str, Waits] = {}
        """By instance."""
        self.requests: dict[str, Request] = {}
        """Those without an answer, oldest first."""
        self.answers: dict[str, Answer] = {}
        self.jobs: dict[str, Job] = {}
        """Oldest first."""

    def scope(self, name: str) -> ScopeState:
        """A scope's state; VALID where none was ever written."""
        return self.scopes.get(name, ScopeState())

    def cursor(self, partition: Partition) -> int:
        """The offset before which everything is settled; 0 where there is no cursor."""
        return self.cursors.get(partition, 0)

    def back_offs(self, now_ms: int) -> dict[str, BackOff]:
        """By scope: of its processes' back-offs, the one that ends first. Scopes without a back-off are absent."""
        found: dict[str, BackOff] = {}
        for waits in self._fresh(now_ms):
            for scope, one in waits.back_offs.items():
                if scope not in found or one.next_try < found[scope].next_try:
                    found[scope] = one
        return found

    def back_off(self, scope: str, now_ms: int) -> BackOff | None:
        return self.back_offs(now_ms).get(scope)

    def partition_waits(self, now_ms: int) -> dict[str, PartitionWait]:
        """Partitions that wait, by `<topic>/<partition>`."""
        return {place: wait for waits in self._fresh(now_ms) for place, wait in waits.partitions.items()}

    def _fresh(self, now_ms: int) -> Iterator[Waits]:
        return (waits for waits in self.waits.values() if now_ms - waits.at <= WAITS_FRESH_MS_MAX)

    def is_settled(self, partition: Partition, offset: int) -> bool:
        """Whether a letter was replayed, redriven, purged or expired."""
        if offset < self.cursor(partition):
            return True
        letters = self.settled.get(partition)
        return letters is not None and offset in letters

    def of_other_topics(self, ids: Mapping[str, str]) -> list[str]:
        """Letters whose topic is another one than it was; `ids` are those of now, by letters."""
        known = self.known_topics
        return sorted(name for name, topic_id in ids.items() if name in known and known[name].topic_id != topic_id)

    def places_of(self, letters: str) -> dict[Partition, frozenset[int]]:
        """What is known of letters: per partition the numbers of the settled blocks."""
        names = (REJECTED, PURGED) if letters == REJECTED else (letters,)
        return {place: settled.blocks() for place, settled in self.settled.items() if place[0] in names}

    def forget_letters(self, letters: str) -> None:
        """Their topic was deleted: no cursor and no settled letter means anything any more."""
        for place in self.places_of(letters):
            del self.settled[place]
        for place in [place for place in self.cursors if place[0] == letters]:
            del self.cursors[place]

    @property
    def imported_letters(self) -> dict[str, int]:
        """Letters that imports wrote, by cause."""
        counts: dict[str, int] = {}
        for imported in self.imported.values():
            for cause, count in imported.letters.items():
                counts[cause] = counts.get(cause, 0) + count
        return counts

    def apply(self, record_key: str, value: bytes | None) -> None:
        """Take one record of the topic; records of other connectors change nothing. Raises `StateError`."""
        kind, _, rest = record_key.partition("/")
        connector, _, name = rest.partition("/")
        if connector != self.connector:
            return
        record = None if value is None else parse(record_key, value)
        if value is None:
            self._take_back(kind, name)
        elif record is not None:
            self._put(record_key, name, record)

    def _put(self, record_key: str, name: str, record: Record) -> None:
        match record:
            case Term():
                self.term = record
            case ConnectorState():
                self.state = record
            case ScopeState():
                self.scopes[name] = record
            case Cursor():
                self.cursors[_partition(record_key, name)] = record.offset
            case SettledBlock():
                place, _, block = name.rpartition("/")
                letters = self.settled.setdefault(_partition(record_key, place), SettledLetters())
                try:
                    letters.put(int(block), record.bits)
                except ValueError as error:
                    raise StateError(f"{record_key}: {error}") from None
            case KnownTopic():
                self.known_topics[name] = record
            case Totals():
                self.totals = record
            case Told():
                self.told = record
            case Copy():
                self.copies[name] = record
            case Deletion():
                self.deletion = record
            case Imported():
                self.imported[name] = record
            case Suspect():
                scope, _, instance = name.partition("/")
                self.suspects[scope, instance] = record
            case Waits():
                self.waits[name] = record
            case Request():
                if name not in self.answers:
                    self.requests[name] = record
            case Answer():
                self.answers[name] = record
                self.requests.pop(name, None)
            case Job():
                self.jobs[name] = record
            case _:
                raise StateError(f"{record_key}: of no known kind")

    def _take_back(self, kind: str, name: str) -> None:
        match kind:
            case "scope":
                self.scopes.pop(name, None)
            case "cursor":
                self.cursors.pop(_partition(name, name), None)
            case "settled":
                place, _, block = name.rpartition("/")
                letters = self.settled.get(_partition(name, place))
                if letters is not None and block.isdigit():
                    letters.drop(int(block))
            case "deletion":
                self.deletion = None
            case "imported":
                self.imported.pop(name, None)
            case "suspect":
                scope, _, instance = name.partition("/")
                self.suspects.pop((scope, instance), None)
            case "waits":
                self.waits.pop(name, None)
            case "request":
                self.requests.pop(name, None)
            case "answer":
                self.answers.pop(name, None)
            case "job":
                self.jobs.pop(name, None)
            case _:
                pass  # the others are never taken back


def _partition(record_key: str, name: str) -> Partition:
    letters, _, number = name.rpartition("/")
    if not letters or not number.isdigit():
        raise StateError(f"{record_key}: names no partition of dead letters")
    return letters, int(number)


def added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Both, summed by name."""
    summed = dict(counts)
    for name, count in more.items():
        if count:
            summed[name] = summed.get(name, 0) + count
    return summed

"""One connector, as the state topic describes it. Its keeper, its sinks and the command line use the same view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streams.delivery.account import RouterCounts
from streams.delivery.handover import HandedOver
from streams.delivery.late_counts import Late
from streams.delivery.metadata import records_counted
from streams.state.kinds import parse
from streams.state.records import (
    PURGED,
    REJECTED,
    Answer,
    ConnectorState,
    Copy,
    Cursor,
    Deletion,
    Imported,
    Job,
    KnownTopic,
    LeaseHolder,
    Partition,
    Record,
    Request,
    Retired,
    ScopeState,
    SettledBlock,
    StateError,
    Told,
    Totals,
)
from streams.state.settled import SettledLetters
from streams.state.worker_records import (
    WAITS_FRESH_MS_MAX,
    BackOff,
    Began,
    Dropped,
    LastCommit,
    PartitionWait,
    Suspect,
    Waits,
    Withheld,
)

CONNECTOR_SCOPE = "-"
"""The whole connector, in a place where the scope of a suspect is expected."""


class StateView:
    """The newest record of each key. `apply` takes them one by one."""

    def __init__(self, connector: str) -> None:
        self.connector = connector
        self.holder: LeaseHolder | None = None
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
        self.last_commits: dict[Partition, LastCommit] = {}
        """By topic and partition number, of topics that were deleted."""
        self.began: dict[Partition, Began] = {}
        """By Currents topic and partition number, of topics that were made again; of `source` only."""
        self.retired: dict[str, Retired] = {}
        """By Currents topic; of `source` only."""
        self.deletion: Deletion | None = None
        """Set while bytes of settled letters cannot be deleted."""
        self.imported: dict[str, Imported] = {}
        self.suspects: dict[tuple[str, str], Suspect] = {}
        """By scope and instance."""
        self.waits: dict[str, Waits] = {}
        """By instance."""
        self.dropped: dict[str, Dropped] = {}
        """By partition."""
        self.withheld: dict[str, Withheld] = {}
        """By partition."""
        self.requests: dict[str, Request] = {}
        """Requests without an answer, oldest first."""
        self.answers: dict[str, Answer] = {}
        self.jobs: dict[str, Job] = {}
        """Oldest first."""

    def forget(self) -> None:
        """As before the first record."""
        self.__dict__.update(StateView(self.connector).__dict__)

    def scope(self, name: str) -> ScopeState:
        """A scope's state; VALID if none was ever written."""
        return self.scopes.get(name, ScopeState())

    def cursor(self, partition: Partition) -> int:
        """The offset before which everything is settled; 0 if there is no cursor."""
        return self.cursors.get(partition, 0)

    def back_offs(self, now_ms: int) -> dict[str, BackOff]:
        """For each scope, the back-off that ends first of all its processes. Scopes without a back-off are left out."""
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
        """Letters whose topic was made again. `ids` are the ids that the topics have now, by letters."""
        known = self.known_topics
        return sorted(name for name, topic_id in ids.items() if name in known and known[name].topic_id != topic_id)

    def places_of(self, letters: str) -> dict[Partition, frozenset[int]]:
        """The numbers of the settled blocks of these letters, by partition."""
        names = (REJECTED, PURGED) if letters == REJECTED else (letters,)
        return {place: settled.blocks() for place, settled in self.settled.items() if place[0] in names}

    def forget_letters(self, letters: str) -> None:
        """Forget cursors and settled letters, because their topic was deleted."""
        for place in self.places_of(letters):
            del self.settled[place]
        for place in [place for place in self.cursors if place[0] == letters]:
            del self.cursors[place]

    @property
    def handed_over(self) -> dict[tuple[str, int], HandedOver]:
        """What the source's keeper took over of the router's commits, by Currents topic and partition."""
        return {
            (topic, int(number)): handed
            for topic, record in self.retired.items()
            for number, handed in record.partitions.items()
            if number.isdigit()
        }

    @property
    def late(self) -> dict[Partition, Late]:
        """What routers told of Currents topics that were deleted, if the next topic of the name may have begun without
        it. Of `source` only. Raises `MetadataError`."""
        found = {}
        for place, last in self.last_commits.items():
            told = RouterCounts.from_metadata(last.metadata)
            begun_with = RouterCounts.from_metadata(self.began[place].metadata if place in self.began else None)
            if told.read > begun_with.read and told.topic != begun_with.topic:
                found[place] = Late(told, begun_with)
        return found

    @property
    def imported_letters(self) -> dict[str, int]:
        """How many letters imports wrote, by cause."""
        counts: dict[str, int] = {}
        for imported in self.imported.values():
            for cause, count in imported.letters.items():
                counts[cause] = counts.get(cause, 0) + count
        return counts

    def apply(self, record_key: str, value: bytes | None) -> None:
        """Take one record of the topic. Records of other connectors are ignored. Raises `StateError`."""
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
            case LeaseHolder():
                self.holder = record
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
            case LastCommit():
                partition = _partition(record_key, name)
                if not _is_older(record, self.last_commits.get(partition)):
                    self.last_commits[partition] = record
            case Began():
                self.began[_partition(record_key, name)] = record
            case Retired():
                self.retired[name] = record
            case Deletion():
                self.deletion = record
            case Imported():
                self.imported[name] = record
            case Suspect():
                scope, _, instance = name.partition("/")
                self.suspects[scope, instance] = record
            case Waits():
                self.waits[name] = record
            case Dropped():
                self.dropped[name] = record
            case Withheld():
                self.withheld[name] = record
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
                pass  # records of other kinds are never removed


def _is_older(commit: LastCommit, known: LastCommit | None) -> bool:
    """Two processes may have told of one partition: counts only grow, so the one that counted less is older."""
    return known is not None and records_counted(commit.metadata) < records_counted(known.metadata)


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

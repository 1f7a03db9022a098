"""What the next transaction of an inlet holds: records of one object or several, and how far each object is then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import orjson

from streams.events.schema import WriterSchema
from streams.inlets.objects import StoredObject
from streams.inlets.progress import Counts, Entry
from streams.ports.errors import RecordsRefused
from streams.ports.meters import InletMeter
from streams.state.audit import Line
from streams.workers.bisection import Bisection
from streams.workers.ingest import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BATCH_SECONDS_MAX
from streams.workers.inlet.lease import InletLease, Outgoing

OBJECTS_MAX = 500
"""Objects whose progress one transaction writes, where they have no records of their own."""


class Batch:
    """One transaction after the other. A refused one leaves nothing: its objects are read again, in smaller parts."""

    def __init__(self, is_known: Callable[[bytes], bool], monotonic: Callable[[], float], meter: InletMeter) -> None:
        self._is_known = is_known
        self._monotonic = monotonic
        self._meter = meter
        self._written_schemas = set[bytes]()
        self._bisection = Bisection(BATCH_RECORDS_MAX)
        self.refused = dict[tuple[str, int], str]()
        """Records that Kafka does not take, by object and number, and why."""
        self.clear()

    def clear(self) -> None:
        """Forget what was not committed."""
        self._records: list[Outgoing] = []
        self._entries = dict[str, Entry]()
        self._objects = dict[str, StoredObject]()
        self._places: list[tuple[str, int]] = []
        self._schemas = dict[bytes, bytes]()
        self._topics = Counter[str]()
        self._counts = Counts()
        self._audit: list[Line] = []
        self._bytes = 0
        self._began = 0.0

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def is_due(self) -> bool:
        """Whether it is full, or old. It may hold records of an object whose progress was not put yet: put it then."""
        return bool(self._places or self._entries) and (
            len(self._places) >= self._bisection.items_max
            or self._bytes >= BATCH_BYTES_MAX
            or len(self._entries) >= OBJECTS_MAX
            or self._monotonic() - self._began >= BATCH_SECONDS_MAX
        )

    def entry(self, key: str) -> Entry | None:
        """How an object stands once this batch is committed."""
        return self._entries.get(key)

    def holds(self, sha256: bytes) -> bool:
        """Whether a container with these bytes is in this batch, whole."""
        return any(one.sha256 == sha256 and one.is_done for entry in self._entries.values() for one in entry.containers)

    def add(self, one: StoredObject, number: int, topic: str, key: bytes | None, value: bytes) -> None:
        """A record, by its number within its object."""
        self._begin()
        self._places.append((one.key, number))
        self._records.append((topic, value, key))
        self._topics[topic] += 1
        self._bytes += len(value)

    def use(self, schema: WriterSchema) -> None:
        """Records with this schema follow."""
        mark = schema.fingerprint
        if mark not in self._written_schemas and not self._is_known(mark):
            self._schemas[mark] = orjson.dumps(schema.definition)

    def put(self, one: StoredObject, entry: Entry, counts: Counts = Counts(), audit: Line | None = None) -> None:  # noqa: B008 - frozen
        """How the object stands with the records so far."""
        self._begin()
        self._objects[one.key] = one
        self._entries[one.key] = entry
        self._counts = self._counts.plus(counts)
        if audit is not None:
            self._audit.append(audit)

    def commit(self, lease: InletLease) -> list[StoredObject]:
        """One transaction. Gives the objects to read again, where Kafka refused a record."""
        schemas: list[Outgoing] = [
            (lease.topics.schemas, definition, mark.hex().encode()) for mark, definition in self._schemas.items()
        ]
        counts = self._counts.plus(Counts(records=len(self._places)))
        try:
            lease.commit(self._entries, records=[*schemas, *self._records], counts=counts, audit=self._audit)
        except RecordsRefused as error:
            if not self._places:
                raise  # a record of our own: nothing smaller can be tried
            objects = list(self._objects.values())
            if self._bisection.refused(len(self._places)):
                self.refused[self._places[0]] = str(error)
            self.clear()
            return objects
        self._bisection.passed()
        self._written_schemas |= self._schemas.keys()
        self._meter.committed(self._topics, counts.of_objects())
        self.clear()
        return []

    def _begin(self) -> None:
        if not self._places and not self._entries:
            self._began = self._monotonic()

"""In which order a lane's batches go: any, or that of each partition."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from streams.delivery.batch import Batch
from streams.delivery.ledger import Ledger

Source = TypeVar("Source")


JOINED_MAX: Final = 2_000
"""Events of batches that become one while they wait. A request takes the first of them and leaves the others, which
would be less than it could take."""


class Queue(Protocol[Source]):
    """Batches of one lane that wait. Seconds are of the monotonic clock."""

    def __bool__(self) -> bool: ...

    def __iter__(self) -> Iterator[Batch[Source]]: ...

    def add(self, batch: Batch[Source]) -> None:
        """A new one."""
        ...

    def put_back(self, batches: Iterable[Batch[Source]]) -> None:
        """These were taken, or are parts of one that was; they go before new ones."""
        ...

    def try_again(self, batch: Batch[Source]) -> None:
        """It failed: it goes again once its wait is over."""
        ...

    def due(self, now: float) -> Batch[Source] | None:
        """The next that may go; it stays in the queue."""
        ...

    def soonest(self) -> Batch[Source] | None:
        """The one that may go first as far as time decides; None: an answer must come first."""
        ...

    def take(self, batch: Batch[Source]) -> None:
        """It goes now."""
        ...

    def answered(self, batch: Batch[Source]) -> None:
        """Its answer came, or it did not go after all."""
        ...

    def holds(self, batch: Batch[Source]) -> bool: ...

    def drop_closed(self) -> None:
        """Partitions were taken away: forget what waits of them."""
        ...

    def clear(self) -> list[Batch[Source]]:
        """Empty it; gives what was there."""
        ...


class AnyOrder(Generic[Source]):
    """Whatever is due goes: keys of the destination make order needless.

    What comes back after its partitions were taken away is forgotten: their next owner reads it again.
    """

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: deque[Batch[Source]] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def __iter__(self) -> Iterator[Batch[Source]]:
        return iter(self._batches)

    def add(self, batch: Batch[Source]) -> None:
        self._batches.append(batch)

    def put_back(self, batches: Iterable[Batch[Source]]) -> None:
        self._batches.extendleft(reversed(list(_open(batches))))

    def try_again(self, batch: Batch[Source]) -> None:
        self._batches.extend(_open((batch,)))

    def due(self, now: float) -> Batch[Source] | None:
        return next((batch for batch in self._batches if batch.not_before <= now), None)

    def soonest(self) -> Batch[Source] | None:
        return min(self._batches, key=_not_before, default=None)

    def take(self, batch: Batch[Source]) -> None:
        self._batches.remove(batch)

    def answered(self, batch: Batch[Source]) -> None:
        """Nothing waits for it."""

    def holds(self, batch: Batch[Source]) -> bool:
        return batch in self._batches

    def drop_closed(self) -> None:
        self._batches = deque(_open(self._batches))

    def clear(self) -> list[Batch[Source]]:
        batches = list(self._batches)
        self._batches.clear()
        return batches


class PartitionOrder(Generic[Source]):
    """Each batch is of one partition. The first of a partition may go while none of it is on its way; what is put back
    takes the place that its records had. Partitions take turns. New events join those that wait."""

    __slots__ = ("_on_the_way", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Ledger[Source], list[Batch[Source]]] = {}
        self._on_the_way: dict[Ledger[Source], Batch[Source]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Batch[Source]]:
        return (batch for batches in self._waiting.values() for batch in batches)

    def add(self, batch: Batch[Source]) -> None:
        waiting = self._waiting.get(_partition(batch))
        last = waiting[-1] if waiting else None
        if (
            last is None
            or _first(last) > _first(batch)
            or len(last) + len(batch) > JOINED_MAX
            or not last.take_in(batch)
        ):
            self.put_back((batch,))

    def put_back(self, batches: Iterable[Batch[Source]]) -> None:
        for batch in batches:
            if not _partition(batch).is_closed:  # else its next owner reads it again
                insort(self._waiting.setdefault(_partition(batch), []), batch, key=_first)

    def try_again(self, batch: Batch[Source]) -> None:
        self.put_back((batch,))

    def due(self, now: float) -> Batch[Source] | None:
        return next((batch for batch in self._heads() if batch.not_before <= now), None)

    def soonest(self) -> Batch[Source] | None:
        return min(self._heads(), key=_not_before, default=None)

    def take(self, batch: Batch[Source]) -> None:
        partition = _partition(batch)
        batches = self._waiting.pop(partition)
        batches.remove(batch)
        if batches:
            self._waiting[partition] = batches  # behind the others
        self._on_the_way[partition] = batch

    def answered(self, batch: Batch[Source]) -> None:
        self._on_the_way.pop(_partition(batch), None)

    def holds(self, batch: Batch[Source]) -> bool:
        return batch in self._waiting.get(_partition(batch), ())

    def drop_closed(self) -> None:
        kept = list(_open(self))
        self._waiting = {}
        self.put_back(kept)

    def clear(self) -> list[Batch[Source]]:
        batches = list(self)
        self._waiting = {}
        return batches

    def _heads(self) -> Iterator[Batch[Source]]:
        return (batches[0] for partition, batches in self._waiting.items() if partition not in self._on_the_way)


def _open(batches: Iterable[Batch[Source]]) -> Iterator[Batch[Source]]:
    return (kept for batch in batches if (kept := batch.without_closed()) is not None)


def _partition(batch: Batch[Source]) -> Ledger[Source]:
    return batch.spans[0].ledger


def _first(batch: Batch[Source]) -> int:
    return batch.spans[0].first


def _not_before(batch: Batch[Source]) -> float:
    return batch.not_before

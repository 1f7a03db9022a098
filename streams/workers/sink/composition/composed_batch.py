"""What a composer made of a batch: which of its items are in the request, and what is so once this is delivered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from streams.delivery.batch import Batch
from streams.delivery.composer import Change, Composed, Item, Items
from streams.delivery.contract import Delivered, Refused, Verdict
from streams.delivery.letter import again_of
from streams.ports.kafka import Message
from streams.workers.sink.composition.places import Places


def item_of(body: bytes, message: Message, places: Places) -> Item:
    """An item as the composer takes it."""
    return Item(body, message.offset(), places.of(message), again_of(message.headers() or ()) or "")


class BatchItems(Items):
    """The items of a batch, each made when it is looked at: a request takes a tenth of a full batch."""

    def __init__(self, batch: Batch[Message], places: Places) -> None:
        self._places = places
        self._messages = batch.sources
        self.bodies = batch.bodies

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        return item_of(self.bodies[index], self._messages[index], self._places)

    def came_back(self, first: int, end: int) -> bool:
        """As their headers say: whatever was here before has some."""
        return any(message.headers() for message in self._messages[first:end])


@dataclass(slots=True, eq=False)
class ComposedBatch:
    """A request that waits or is on its way. `sent` are the positions of its batch's items, in their order.

    `beside` holds items, at the positions `skipped`, that are skipped and share a change with sent ones.
    """

    composed: Composed
    sent: tuple[int, ...]
    skipped: tuple[int, ...] = ()
    beside: Batch[Message] | None = None
    is_in_doubt: bool = False
    """Whether an earlier sending may have been processed, and that is not counted yet."""
    is_before: bool = False
    """Whether the request that has to be delivered before the items' own goes now."""
    was_in_doubt: bool = False
    """Whether an earlier sending may have been processed."""

    def by_index(self, verdict: Verdict) -> Verdict:
        """A verdict that names positions, by indices of the batch. Others than those in the request are ignored."""
        if not isinstance(verdict, Refused):
            return verdict
        index = {position: index for index, position in enumerate(self.sent)}
        details = {index[position]: detail for position, detail in verdict.details.items() if position in index}
        return Refused(details, frozenset(index[position] for position in verdict.apart if position in index))

    def delivered(self, verdict: Verdict) -> frozenset[int]:
        """The positions that a verdict by indices settles as delivered."""
        match verdict:
            case Delivered():
                return frozenset(self.sent)
            case Refused(details=details, apart=apart):
                refused = {self.sent[index] for index in (*details, *apart)}
                return frozenset(self.sent) - refused
            case _:
                return frozenset()

    def changes(self, delivered: Collection[int]) -> list[Change]:
        """What is to be remembered once these are delivered, and nothing else of the request is.

        What depends on settled items alone is remembered already.
        """
        if not self.composed.changes:
            return []
        done = {*delivered, *self.composed.skipped}
        settled = self.composed.skipped.keys() - {*self.skipped}
        return [
            change
            for change in self.composed.changes
            if done.issuperset(change.of) and not settled.issuperset(change.of)
        ]

    def doubts(self, delivered: Collection[int]) -> list[Change]:
        """What is to be remembered once the request is no more and only these are delivered."""
        if not self.was_in_doubt:
            return []
        return [change for change in self.composed.doubts if not set(delivered).issuperset(change.of)]

    def events(self, positions: Collection[int]) -> Mapping[int, str]:
        """Ids of the events at these positions."""
        if len(positions) == len(self.sent):  # then all that were sent, and no other has an id
            return self.composed.events
        return {position: one for position, one in self.composed.events.items() if position in positions}


@dataclass(frozen=True, slots=True)
class Split:
    """The items of a batch, as a composer parted them: indices, which are positions for those that were taken."""

    sent: tuple[int, ...]
    settled: tuple[int, ...]
    """Skipped, whatever becomes of the request."""
    beside: tuple[int, ...]
    """Skipped, and decided with those that are sent."""
    changes: tuple[Change, ...]
    """Of those that are settled."""


def split(composed: Composed, items: int) -> Split:
    """Part the items of a batch."""
    assert 1 <= composed.taken <= items, f"a composer took {composed.taken} of {items} items"
    if not composed.skipped and not composed.changes:  # nearly all requests of events are so
        return Split(tuple(range(composed.taken)), (), (), ())
    skipped = composed.skipped.keys()
    sent = tuple(position for position in range(composed.taken) if position not in skipped)
    assert bool(sent) == (composed.request is not None), "a request holds every item that is taken and not skipped"
    shared = {position for change in composed.changes for position in change.of if not skipped >= set(change.of)}
    settled = tuple(sorted(skipped - shared))
    return Split(
        sent=sent,
        settled=settled,
        beside=tuple(sorted(skipped & shared)),
        changes=tuple(change for change in composed.changes if set(settled).issuperset(change.of)),
    )

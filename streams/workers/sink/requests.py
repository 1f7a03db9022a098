"""What of a batch goes out, and as which request: all of it, as it was encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.delivery.batch import Batch
from streams.delivery.contract import Destination, Request, Verdict
from streams.delivery.lane import Lane
from streams.delivery.letter import again_of
from streams.ports.kafka import Message
from streams.workers.sink.encoders import EncoderCache


@dataclass(slots=True)
class Current:
    """The destination with its secrets as they are now; `generation` counts how often that changed what is sent."""

    destination: Destination
    generation: int = 0


class Requests(Protocol):
    """Stands between lanes and the transport. Seconds are of the monotonic clock."""

    def next(self, lane: Lane[Message], now: float) -> Batch[Message] | None:
        """The lane's next batch, in flight from here on, with its request."""
        ...

    def commits_next(self, now: float) -> bool:
        """Whether requests are due that may need a commit before they go."""
        ...

    def depart(self, batches: Sequence[Batch[Message]]) -> Sequence[Batch[Message]]:
        """All that is to go now. Gives those that may go; the others wait again."""
        ...

    def judged(self, lane: Lane[Message], batch: Batch[Message], verdict: Verdict, now: float) -> Verdict | None:
        """The same verdict, by indices of the batch. None: the lane has the batch again, for its next request."""
        ...

    def answered(self, lane: Lane[Message], batch: Batch[Message], verdict: Verdict) -> None:
        """The lane has settled the batch by this verdict, or queued it again."""
        ...


class WholeBatches:
    """The `Requests` of a destination that takes each batch as it is."""

    def __init__(self, current: Current, encoders: EncoderCache) -> None:
        self._current = current
        self._encoders = encoders

    def next(self, lane: Lane[Message], now: float) -> Batch[Message] | None:
        batch = lane.next(now)
        if batch is not None and (batch.request is None or batch.generation != self._current.generation):
            encode_again(batch, self._current, self._encoders)
            batch.request = self._request(batch)
        return batch

    def commits_next(self, _now: float) -> bool:
        return False

    def depart(self, batches: Sequence[Batch[Message]]) -> Sequence[Batch[Message]]:
        return batches

    def judged(self, _lane: Lane[Message], _batch: Batch[Message], verdict: Verdict, _now: float) -> Verdict | None:
        return verdict

    def answered(self, lane: Lane[Message], batch: Batch[Message], verdict: Verdict) -> None:
        """Nothing is remembered of it."""

    def _request(self, batch: Batch[Message]) -> Request:
        destination = self._current.destination
        vetting = destination.vetting if batch.alone else None
        if vetting is not None:
            return vetting.request(batch.scope, batch.bodies[0])
        return destination.request(batch.scope, batch.bodies)


def encode_again(batch: Batch[Message], current: Current, encoders: EncoderCache) -> None:
    """Other credentials since it was encoded: they may be part of what is sent (a project's token is)."""
    if batch.generation == current.generation:
        return
    batch.generation = current.generation
    again = current.destination.again
    for index, message in enumerate(batch.sources):
        encoder, start = encoders.find(message, message.value() or b"")
        encoding = encoder(message.value() or b"", start)
        assert type(encoding) is tuple, "an event that was encoded before is encoded again"
        body = encoding[1]
        if again is not None and (job := again_of(message.headers() or ())):
            body = again(body, job)
        batch.bodies[index] = body

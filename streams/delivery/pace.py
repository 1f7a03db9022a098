"""How fast a scope may be sent to: requests in flight that adapt, and a configured rate that is never exceeded."""

from __future__ import annotations

from typing import Protocol

SLOW_FACTOR = 4.0
SLOW_SECONDS_MIN = 1.0
"""An answer is slow when it takes 4 x the quickest lately and over a second: below that, jitter looks like load."""
QUICKEST_FORGETS = 1.02
"""Each answer lets the quickest grow by 2 %, so that the limit adapts to a destination that stays slower."""
RATE_USED_HIGH = 0.95


class InFlightLimit:
    """Requests in flight: one more per round of quick answers, half on throttling, a tenth less on slow answers."""

    __slots__ = ("_limit", "_maximum", "_quickest_seconds")

    def __init__(self, maximum: int) -> None:
        self._maximum = float(maximum)
        self._limit = min(2.0, self._maximum)
        self._quickest_seconds: float | None = None

    @property
    def value(self) -> int:
        """Requests that may be in flight now; at least 1."""
        return max(1, int(self._limit))

    def succeeded(self, seconds: float, rate_used: float | None = None) -> None:
        """An answer came after `seconds`; the destination says that `rate_used` of its rate is in use."""
        quickest = seconds if self._quickest_seconds is None else self._quickest_seconds * QUICKEST_FORGETS
        self._quickest_seconds = max(min(quickest, seconds), 1e-4)
        is_slow = seconds > SLOW_SECONDS_MIN and seconds > SLOW_FACTOR * self._quickest_seconds
        if is_slow or (rate_used is not None and rate_used >= RATE_USED_HIGH):
            self._limit = max(1.0, self._limit * 0.9)
        else:
            self._limit = min(self._maximum, self._limit + 1.0 / self._limit)

    def throttled(self) -> None:
        """The destination said 429, or did not answer in time."""
        self._limit = max(1.0, self._limit / 2.0)


BURST_SECONDS = 0.5
"""Half a second's worth may go at once: destinations count over a second, and requests arrive in bunches."""


class TokenBucket:
    """Records per second, in bursts of half a second's worth; `None` rate lets everything pass."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, records_per_second: float | None, now: float) -> None:
        self._rate = records_per_second
        self._tokens = 0.0 if records_per_second is None else records_per_second * BURST_SECONDS
        self._at = now

    def set_rate(self, records_per_second: float | None, now: float) -> None:
        """A new share of the account's rate, as partitions came or went."""
        self._refill(now)
        self._rate = records_per_second
        if records_per_second is not None:
            self._tokens = min(self._tokens, records_per_second * BURST_SECONDS)

    def seconds_until(self, records: int, now: float) -> float:
        """How long until `records` may be sent; 0.0: now. More than a burst waits for a full bucket."""
        if self._rate is None:
            return 0.0
        if self._rate <= 0.0:
            return float("inf")
        self._refill(now)
        missing = min(float(records), self._rate * BURST_SECONDS) - self._tokens
        return max(0.0, missing / self._rate)

    def take(self, records: int, now: float) -> None:
        """`records` are sent now. The bucket may go into debt, so that a batch over a burst is paid for."""
        if self._rate is None:
            return
        self._refill(now)
        self._tokens -= records

    def _refill(self, now: float) -> None:
        if self._rate is not None:
            self._tokens = min(self._rate * BURST_SECONDS, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Share(Protocol):
    """What may be taken of a rate."""

    def seconds_until(self, records: int, now: float) -> float: ...

    def take(self, records: int, now: float) -> None: ...

    def leave(self) -> None:
        """Nothing is wanted for now: others need not wait."""
        ...


TURN_SECONDS = 0.1
"""So long somebody else's turn is waited for; then it is asked again."""
WANTS_SECONDS = 5.0
"""Who did not ask for so long wants nothing any more."""


class SharedBucket:
    """One rate for several, each by a name of its own: who had less goes first, so each gets the same where all want.

    It pays by records and not by turns, for some take more at once than others. What somebody did not take while it
    could is not owed to it later. One that can take but little at a time is waited for, too.
    """

    __slots__ = ("_asked_at", "_bucket", "_granted", "_had")

    def __init__(self, records_per_second: float | None, now: float) -> None:
        self._bucket = TokenBucket(records_per_second, now)
        self._had: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._granted: set[str] = set()
        """Those that could have taken something since they took last."""

    def of(self, name: str) -> Share:
        """The share of one of those that take."""
        return _ShareOf(self, name)

    def seconds_until(self, name: str, records: int, now: float) -> float:
        """As of a bucket, and not before those that wait and had less."""
        self._forgive(name, now)
        self._asked_at[name] = now
        seconds = self._bucket.seconds_until(records, now)
        rivals = [one for one in self._others(name, now) if one not in self._granted]
        if seconds == 0.0 and all(self._had[one] >= self._had[name] for one in rivals):
            self._granted.add(name)
            return 0.0
        return seconds or TURN_SECONDS

    def take(self, name: str, records: int, now: float) -> None:
        self._bucket.take(records, now)
        self._had[name] = self._had.get(name, 0.0) + records
        self._granted.discard(name)

    def leave(self, name: str) -> None:
        self._asked_at.pop(name, None)

    def _others(self, name: str, now: float) -> list[str]:
        return [one for one, at in self._asked_at.items() if one != name and now - at <= WANTS_SECONDS]

    def _forgive(self, name: str, now: float) -> None:
        """Who was away, or took nothing when it could, begins level with the others."""
        had = self._had.get(name, 0.0)
        is_new = now - self._asked_at.get(name, float("-inf")) > WANTS_SECONDS
        if is_new or name in self._granted:
            had = max(had, min((self._had[one] for one in self._others(name, now)), default=had))
        self._had[name] = had
        self._granted.discard(name)


class _ShareOf:
    __slots__ = ("_bucket", "_name")

    def __init__(self, bucket: SharedBucket, name: str) -> None:
        self._bucket = bucket
        self._name = name

    def seconds_until(self, records: int, now: float) -> float:
        return self._bucket.seconds_until(self._name, records, now)

    def take(self, records: int, now: float) -> None:
        self._bucket.take(self._name, records, now)

    def leave(self) -> None:
        self._bucket.leave(self._name)

"""The contract of a destination: data and pure functions, no I/O.

A destination encodes an event, builds a request from a batch and interprets the response. All waiting, retrying,
parking and committing is written once, in the sink worker. So a vendor is one folder and one registry line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.events.schema import WriterSchema

Encoded = tuple[str, str, bytes, int]
"""An event ready to send: credential scope, kind, JSON bytes, strings cut. A bare tuple: one is made per event.

The kind names what was vetted once it was accepted alone (event type and mapping); "" where nothing is vetted.
"""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not sent on purpose; `reason` is one of the sink's closed set (`no_credentials_for_feed`, ...)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Breaks a rule of the destination, or is no readable event: parked `rejected`, never sent.

    `detail` names the rule and the place, never a value of the event.
    """

    detail: str


Encoding = Encoded | Skipped | Rejected


@dataclass(frozen=True, slots=True)
class Limits:
    """What the destination takes. Bytes are of the uncompressed body (256 kB = 256,000)."""

    batch_records_max: int
    batch_bytes_max: int
    record_bytes_max: int
    requests_in_flight_max: int
    retry_base_seconds: float
    records_per_second: float | None
    """Rate of the account in records per second; None: the destination's own answers steer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `headers` hold the credentials: never log them (repr hides them, and the body)."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Timeout, connection error or an answer cut off: nobody knows whether it arrived.

    `is_misconfigured` marks what no retry mends: a certificate that is not trusted, a proxy that refuses.
    """

    detail: str
    is_misconfigured: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """Every record of the batch is accounted for."""

    rate_used: float | None = None
    """Share of the account's rate in use, where the destination tells it (1.0 = at the limit)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The records at these positions were refused by name (position -> detail); the others are delivered."""

    details: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Undetermined:
    """Some record is at fault, the answer does not say which: halve; alone, park `rejected` with `detail`."""

    detail: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The destination is at fault: wait, then send the same bytes. `retry_after` is the header as sent, if any."""

    detail: str
    retry_after: str | None = None
    is_throttling: bool = False
    is_server_error: bool = False
    """5xx: a batch that gets it for 10 min while others succeed is halved."""
    status: int = 0
    """0: no answer came."""


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """401 or 403: perhaps the credentials of this scope."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The configuration or a proxy is at fault: the connector is suspended, nothing is parked."""

    detail: str


Verdict = Delivered | Refused | Undetermined | Retry | Unauthorised | Misconfigured


class Encoder(Protocol):
    """Turns datums of one writer's schema into what the destination takes. Made once per schema."""

    def __call__(self, value: bytes, start: int, /) -> Encoding:
        """Encode the Avro datum that begins at `start` of `value`.

        The start is 10 after a single-object header, 5 after Confluent's, 0 for bare Avro. Never raises on bad
        bytes: an unreadable datum is `Rejected("undecodable: ...")`.
        """
        ...


class Destination(Protocol):
    """One configured connector's vendor side. Immutable; made anew when its secrets change."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Credential scopes, the connector's own names (`default`, or `ios`, `android`, `web`, `unbound`)."""
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def vets_kinds(self) -> bool:
        """Whether the first event of each (kind, scope) after a start is sent alone, where a refusal is visible."""
        ...

    @property
    def marks_again(self) -> bool:
        """Whether a copy of a delivered event must be told apart from a duplicate, or the destination swallows it."""
        ...

    def again(self, body: bytes, job: str) -> bytes:
        """An encoded event as `replay --again` sends it: with an id of its own that the job gives."""
        ...

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        """The encoder for this writer's schema; None: the destination has no mapping for its event type."""
        ...

    def request(self, scope: str, bodies: Sequence[bytes], *, alone: bool) -> Request:
        """One request with these encoded events; the same bodies give the same bytes. `alone`: the vetting form."""
        ...

    def interpret(self, response: Response, records: int, *, alone: bool) -> Verdict:
        """What an answer to a request of `records` events means. Details carry no secret and no personal data."""
        ...

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        """A harmless request: 2xx means the scope's credentials are good, 401/403 bad, anything else says nothing."""
        ...

"""The contract of a destination: data and pure functions, no I/O.

A destination encodes an event, builds a request from a batch and interprets the response. All waiting, retrying,
parking and committing is written once, in the sink worker. So a vendor is one folder and one registry line.

`Destination` is what every destination has. What only some need is a capability, absent by default: `again`,
`vetting`, `sign_in`, `composer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streams.events.schema import WriterSchema

if TYPE_CHECKING:
    from streams.delivery.composer import Composer

Encoded = tuple[str, bytes, int]
"""An event ready to send: credential scope, the bytes to send, strings cut. A bare tuple: one is made per event."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not sent on purpose; `reason` is one of the sink's closed set (`no_credentials_for_feed`, ...)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Breaks a rule of the destination, or is not a readable event: parked `rejected`, never sent.

    `detail` names the rule and the place, never a value of the event.
    """

    detail: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Never sent: it only changes what is remembered, whatever the credentials are (`composer.Composer.hear`).

    `waits`: it is heard once every record before it in its partition is settled.
    """

    body: bytes
    waits: bool = False


Encoding = Encoded | Skipped | Rejected | Remark
"""A `Remark` only from a destination that has a `composer`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the destination takes. Bytes are of the uncompressed body (256 kB = 256,000).

    A body of n events is `envelope_bytes` and, for each event, its bytes and `separator_bytes`. The defaults fit a
    JSON array.
    """

    batch_records_max: int
    batch_bytes_max: int
    record_bytes_max: int
    requests_in_flight_max: int
    """Of one scope, whatever the partition. For a destination that composes at most one of each partition is sent."""
    retry_base_seconds: float
    records_per_second: float | None
    """Rate of the account in records per second; None: the destination's own answers steer."""
    separator_bytes: int = 1
    envelope_bytes: int = 2
    requests_per_second: float | None = None
    """The same in requests, for a destination that counts these; at most one of the two is set."""


Layout = Mapping[tuple[str, int], Sequence[int]]
"""Place in a body (name of an array, index) -> positions in the batch of the records that were merged there."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `headers` hold the credentials: never log them (repr hides them, and the body).

    `layout` says which records of the batch stand at a place of the body (name of an array, index), for a body whose
    order is not the batch's. `interpret` gets the request back, and so the layout.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    layout: Layout = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Timeout, connection error or an answer cut off: it is unknown whether the request arrived.

    `is_misconfigured` marks what no retry fixes: a certificate that is not trusted, a proxy that refuses.
    """

    detail: str
    is_misconfigured: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """Every record of the batch is accounted for."""

    rate_used: float | None = None
    """Share of the account's rate in use, where the destination tells it (1.0 = at the limit)."""
    unaccounted: int = 0
    """How many of them the answer calls refused without naming one, where none may be sent again: counted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The records at these positions were refused by name (position -> detail); the others are delivered.

    Those of `apart` were merged with a refused one, and are not delivered: each is sent again on its own.
    """

    details: Mapping[int, str]
    apart: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Undetermined:
    """Some record is at fault, the answer does not say which: halve; alone, park `rejected` with `detail`."""

    detail: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The destination is at fault: wait, then send the same bytes.

    `retry_after` is the header as sent, if any: seconds, a date, or a moment in seconds since 1970.
    """

    detail: str
    retry_after: str | None = None
    is_throttling: bool = False
    is_server_error: bool = False
    """5xx: a batch that gets it for 10 min while others succeed is halved."""
    status: int = 0
    """0: no answer came."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether the request may have been processed, although no answer says so."""
        return self.status in (0, 408) or self.is_server_error


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """401 or 403: perhaps the credentials of this scope."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The configuration or a proxy is at fault: the connector is suspended, nothing is parked."""

    detail: str
    is_in_doubt: bool = False
    """Whether the request may have been processed: it was answered with success, in words that are not the
    destination's."""


Verdict = Delivered | Refused | Undetermined | Retry | Unauthorised | Misconfigured


class Encoder(Protocol):
    """Turns the events of one writer's schema into what the destination takes. Made once per schema."""

    def __call__(self, value: bytes, start: int, /) -> Encoding:
        """Encode the event whose datum begins at `start` of `value`.

        Never raises on bad bytes: an unreadable datum is `Rejected("undecodable: ...")`. `decoded` makes an encoder
        from a function of the decoded event; reading the bytes by a table is the faster way.
        """
        ...


def decoded(schema: WriterSchema, encode: Callable[[Mapping[str, object]], Encoding]) -> Encoder:
    """An encoder from a function of the decoded event."""

    def encoder(value: bytes, start: int, /) -> Encoding:
        try:
            event = schema.decode(value, start)
        except ValueError:
            return Rejected("undecodable: the datum does not fit its schema")
        return encode(event)

    return encoder


class Vetting(Protocol):
    """For a destination whose answer to a batch hides refusals: the first event of each event type and scope after a
    start goes alone, in a form whose answer shows them."""

    def request(self, scope: str, body: bytes) -> Request: ...


@dataclass(frozen=True, slots=True)
class Token:
    """What signs requests of a scope, for so many seconds."""

    text: str = field(repr=False)
    seconds: float


class SignIn(Protocol):
    """For a destination that wants a token, fetched over HTTP, in place of the credentials themselves.

    The sink fetches one before the scope's first request, again before it expires, and after a 401.
    """

    def ask(self, scope: str) -> Request:
        """The request for a token."""
        ...

    def read(self, response: Response) -> Token | Retry | Unauthorised | Misconfigured:
        """The token, or why there is none. `Unauthorised`: the scope's credentials are refused."""
        ...

    def sign(self, request: Request, token: Token) -> Request:
        """The same request with the token; its body stays as it is."""
        ...


class Destination(Protocol):
    """One configured connector's vendor side. Immutable; built again when its secrets change.

    Inherit from it: a capability that the class does not define is absent.
    """

    @property
    def scopes(self) -> tuple[str, ...]:
        """Credential scopes, the connector's own names (`default`, or `ios`, `android`, `web`, `unbound`)."""
        ...

    @property
    def limits(self) -> Limits: ...

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        """The encoder for events of this schema; None: the destination has no mapping for its event type."""
        ...

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        """One request with these encoded events; the same bodies give the same bytes."""
        ...

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        """What the answer to a request with `records` events means. Details carry no secret and no personal data.

        The rows that destinations share are in `streams.destinations.answers`.
        """
        ...

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        """A harmless request: 2xx means the scope's credentials are good, 401/403 bad, anything else says nothing."""
        ...

    @property
    def again(self) -> Callable[[bytes, str], bytes] | None:
        """An encoded event as `replay --again` sends it, with an id of its own that the job gives: for a destination
        that swallows what it has seen."""
        return None

    @property
    def vetting(self) -> Vetting | None:
        return None

    @property
    def sign_in(self) -> SignIn | None:
        return None

    @property
    def composer(self) -> Composer | None:
        return None

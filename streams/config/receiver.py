"""The `receiver` section: the HTTP server that vendors send to, and which entries it serves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StrictInt, StrictStr, WithJsonSchema, model_validator

from streams.config.inlets import PATH as CURRENTS_PATH
from streams.config.kafka import Section
from streams.values import Bytes, HttpUrl, Seconds

if TYPE_CHECKING:
    from streams.config.connector import Connector
    from streams.wayback.entries import Entry

PATH = "/receive"
"""Every address begins so; then come the connector's and the entry's name."""
BODY_BYTES_LEAST = 256_000
"""mParticle's batches reach this, and it never sends again what was answered 413."""
BODY_BYTES_MOST = 16_000_000
ANSWER_SECONDS_MIN = 1.0
ANSWER_SECONDS_MAX = 30.0
FILE = "file:"


def _is_body(size: int) -> int:
    if not BODY_BYTES_LEAST <= size <= BODY_BYTES_MOST:
        raise ValueError("must be 256kB to 16MB: mParticle does not send a body again that was too large")
    return size


def _is_answer(seconds: float) -> float:
    if not ANSWER_SECONDS_MIN <= seconds <= ANSWER_SECONDS_MAX:
        raise ValueError("must be 1s to 30s")
    return seconds


def _is_file(text: str) -> str:
    if not text.startswith(FILE) or len(text) == len(FILE):
        raise ValueError("must be file:/path: certificates are read from files, and again when they change")
    return text


FileReference = Annotated[
    StrictStr,
    AfterValidator(_is_file),
    WithJsonSchema({"type": "string", "pattern": f"^{FILE}.+", "examples": ["file:/tls/tls.crt"]}),
]


class Tls(Section):
    """TLS that ends at the receiver itself."""

    certificate: Annotated[FileReference, Field(description="Certificate and what signed it, in PEM.")]
    key: Annotated[FileReference, Field(description="Its private key, in PEM.")]

    @property
    def files(self) -> tuple[Path, Path]:
        """Certificate and key."""
        return Path(self.certificate.removeprefix(FILE)), Path(self.key.removeprefix(FILE))


class Receiver(Section):
    """What vendors send to. It runs where a connector has entries under `receive`."""

    port: Annotated[StrictInt, Field(ge=0, le=65_535, description="Port; 0 takes any free one.")] = 8088
    public_url: Annotated[
        HttpUrl | None,
        Field(
            description="Address at which vendors reach it. It is used only to print the addresses to type there.",
            examples=["https://streams.example.com"],
        ),
    ] = None
    body_max: Annotated[
        Annotated[Bytes, AfterValidator(_is_body)],
        Field(description="Largest body, as received and as inflated: 256kB to 16MB. Larger ones are answered 413."),
    ] = 4_000_000
    memory: Annotated[
        Bytes,
        Field(
            description="Bodies that are held at once. With no room left a request is answered 503. With an inlet of "
            "kind `http` at least 32MB, which then is the default."
        ),
    ] = 12_000_000
    connections_max: Annotated[
        StrictInt, Field(ge=1, le=10_000, description="Connections. Requests on further ones are answered 503.")
    ] = 64
    answer_within: Annotated[
        Annotated[Seconds, AfterValidator(_is_answer)],
        Field(description="From the whole body to the answer: 1s to 30s. Then a request is answered 503."),
    ] = 10.0
    tls: Annotated[Tls | None, Field(description="TLS of its own. Default: it ends before the receiver.")] = None

    @model_validator(mode="after")
    def _holds_a_body(self) -> Receiver:
        if self.memory < self.body_max:
            raise ValueError("memory must be at least body_max: else the largest body never fits")
        return self

    def address(self, connector: str, entry: str) -> str:
        """What to type at the vendor."""
        return f"{self._base}{PATH}/{connector}/{entry}"

    def inlet_address(self, inlet: str) -> str:
        """What to type at Braze for an HTTP inlet."""
        return f"{self._base}{CURRENTS_PATH}/{inlet}"

    @property
    def _base(self) -> str:
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")


Entries = Mapping[str, Mapping[str, "Entry"]]
"""By the connector's name, then by the entry's."""


def entries_of(connectors: Mapping[str, Connector]) -> dict[str, Mapping[str, Entry]]:
    """What each connector receives; connectors that receive nothing are left out."""
    found = {name: getattr(connector.settings, "receive", None) for name, connector in connectors.items()}
    return {name: entries for name, entries in found.items() if entries}

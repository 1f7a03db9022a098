"""The `console` section: the web pages for people on call, and who may open and use them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from streams.config.kafka import Section
from streams.config.receiver import Tls
from streams.values import HttpUrl, Seconds, Secret

HISTORY_SECONDS_MIN = 600.0
HISTORY_SECONDS_MAX = 7 * 86_400.0
SAMPLE_SECONDS = 10.0
"""Between two samples of one connector. A week of them for 20 connectors is some 60 MB at most."""
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,59}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}")


def _is_history(seconds: float) -> float:
    if not HISTORY_SECONDS_MIN <= seconds <= HISTORY_SECONDS_MAX:
        raise ValueError("must be 10m to 7d")
    return seconds


def _are_users(tokens: Mapping[str, Secret]) -> Mapping[str, Secret]:
    if not tokens:
        raise ValueError("must name at least one person or team, with a token")
    for name in tokens:
        if not _USER.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name: letters, digits and . _ @ -, at most 60 of them")
    return tokens


def _is_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("must be the name of a header: letters, digits and dashes")
    return name


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Address = Annotated[HttpUrl | None, BeforeValidator(_none_if_empty)]
HeaderName = Annotated[StrictStr, AfterValidator(_is_header)]


class ConsoleProxy(Section):
    """A proxy before the console that knows who asks. Its secret proves that a request came through it."""

    user_header: Annotated[HeaderName, Field(description="Header in which the proxy names who asks.")] = (
        "X-Forwarded-User"
    )
    secret_header: Annotated[HeaderName, Field(description="Header in which the proxy sends the secret.")] = (
        "X-Proxy-Secret"  # noqa: S105 - a header's name
    )
    secret: Annotated[Secret, Field(description="What only the proxy knows. Requests without it are refused.")]


class ConsoleAuth(Section):
    """Who may open the console: people with tokens, or a proxy that signs them in. One of the two."""

    tokens: Annotated[
        Annotated[Mapping[StrictStr, Secret], AfterValidator(_are_users)] | None,
        Field(description="Name and token of each person or team. The name is written to the audit."),
    ] = None
    proxy: Annotated[ConsoleProxy | None, Field(description="A proxy that signs people in.")] = None

    @model_validator(mode="after")
    def _is_one(self) -> ConsoleAuth:
        if (self.tokens is None) == (self.proxy is None):
            raise ValueError("must have either tokens or proxy")
        return self


class Console(Section):
    """`streams run console`: web pages over the same operations as the command line."""

    host: Annotated[StrictStr, Field(description="Address to listen on. Any but loopback needs `auth`.")] = "127.0.0.1"
    port: Annotated[StrictInt, Field(ge=0, le=65_535, description="Port; 0 takes any free one.")] = 8090
    public_url: Annotated[
        Address,
        Field(
            description="Address at which browsers reach it, behind a proxy. Requests for other hosts are refused.",
            examples=["https://console.example.com"],
        ),
    ] = None
    write: Annotated[
        StrictBool,
        Field(
            description="Whether people may act: probe, suspend, extend, replay, purge, retry, forget and so on. "
            "false: look only."
        ),
    ] = False
    reveal: Annotated[
        StrictBool,
        Field(description="Whether people may see the personal data of one letter. Each time is audited."),
    ] = False
    auth: Annotated[ConsoleAuth | None, Field(description="Who may open it. Without it: only this machine.")] = None
    history: Annotated[
        Annotated[Seconds, AfterValidator(_is_history)],
        Field(description="How long samples for charts are kept in memory, one each 10 s and connector: 10m to 7d."),
    ] = 86_400.0
    prometheus: Annotated[
        Address,
        Field(description="A Prometheus to draw longer charts from.", examples=["http://prometheus:9090"]),
    ] = None
    tls: Annotated[Tls | None, Field(description="TLS of its own. Default: it ends before the console.")] = None

    @model_validator(mode="after")
    def _is_guarded(self) -> Console:
        if self.auth is None and not is_loopback(self.host):
            raise ValueError(
                f"auth is missing: on host {self.host} anyone could open the console; set auth.tokens or auth.proxy, "
                "or host 127.0.0.1"
            )
        return self

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it over https, as far as the configuration tells."""
        return self.tls is not None or (self.public_url or "").startswith("https://")

    @property
    def public_host(self) -> str:
        """What browsers send as Host behind the proxy; empty without a `public_url`."""
        return urlsplit(self.public_url).netloc.lower() if self.public_url else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"

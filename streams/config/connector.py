"""The `connectors` section: what every connector has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StrictInt, StrictStr, WithJsonSchema, model_validator

from streams.config.kafka import Section
from streams.config.privacy import PrivacyKeys
from streams.delivery.contract import Destination, Limits
from streams.destinations import DestinationKind
from streams.values import Host, HttpUrl, Seconds, Secret

DEFAULT_SCOPE = "default"
"""The credential scope of a connector with one key pair."""
CONNECTOR_NAME_PATTERN = r"[a-z][a-z0-9-]{0,39}"


def _is_positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be more than 0")
    return seconds


Duration = Annotated[Seconds, AfterValidator(_is_positive)]


ADDRESS_PATTERN = r'([^\s@,;<>()"]+@[^\s@,;<>()"]+)?'


def _is_address(text: str) -> str:
    if not re.fullmatch(ADDRESS_PATTERN, text):
        raise ValueError("must be one mail address: name@example.com")
    return text


Address = Annotated[
    StrictStr,
    AfterValidator(_is_address),
    WithJsonSchema({"type": "string", "pattern": f"^{ADDRESS_PATTERN}$"}),
]


class Retry(Section):
    """What happens to a record that the destination does not take for a long time."""

    give_up_after: Annotated[
        Duration | None,
        Field(description="Park records with cause `gave-up` after this long. Default: never."),
    ] = None


class FloodBreaker(Section):
    """When a connector that rejects too much is suspended, before it empties itself into dead letters."""

    share: Annotated[
        float, Field(gt=0, le=1, allow_inf_nan=False, description="Share of rejected records above which it trips.")
    ] = 0.2
    records: Annotated[StrictInt, Field(ge=1, description="It never trips on fewer records than this.")] = 1_000
    window: Annotated[Duration, Field(description="How far back it looks.")] = 300.0


class Smtp(Section):
    """A mail server for alerts."""

    host: Annotated[Host, Field(description="Mail server; without one no mail is sent.")] = ""
    port: Annotated[StrictInt, Field(ge=1, le=65_535, description="Port of the mail server.")] = 587
    username: Annotated[StrictStr | None, Field(description="User, where the server wants one.")] = None
    password: Annotated[Secret | None, Field(description="Password of the user.")] = None
    sender: Annotated[Address, Field(description="Address that alerts come from. Default: the one they go to.")] = ""

    @model_validator(mode="after")
    def _user_has_a_password(self) -> Smtp:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both or neither")
        return self


class CommonNotify(Section):
    """What the alerts of all connectors share."""

    smtp: Annotated[
        Smtp, Field(description="The mail server of every connector that names none in its own `notify.smtp`.")
    ] = Smtp()


class Notify(Section):
    """Who gets the alerts of a connector."""

    webhook: Annotated[Secret | None, Field(description="Slack-compatible webhook. Its address is a secret.")] = None
    email: Annotated[
        Address,
        Field(
            description="Address that alerts go to; it needs a mail server, here or in `notify.smtp` at the top. "
            "Default: the `contact`, where there is a mail server."
        ),
    ] = ""
    smtp: Annotated[
        Smtp,
        Field(
            description="Mail server of this connector. With `host`, nothing of `notify.smtp` at the top is used; "
            "without, the keys set here replace those at the top."
        ),
    ] = Smtp()
    runbooks: Annotated[
        HttpUrl | None,
        Field(
            description="Address of the folder that holds the runbooks; each alert names its page there. Default: the "
            "page's path in this repository.",
            examples=["https://git.example.com/streams/blob/main/docs/runbooks"],
        ),
    ] = None

    def resolved(self, common: CommonNotify, contact: str) -> Notify:
        """With what comes from elsewhere: the mail server of all connectors, and the contact as recipient."""
        own = self.smtp
        # A host of its own never gets the password of another server.
        smtp = (
            own if own.host else common.smtp.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
        )
        return self.model_copy(update={"smtp": smtp, "email": self.email or (contact if smtp.host else "")})


class CommonKeys(Section):
    """Keys of every connector. A destination adds its own keys and may give other defaults."""

    destination: Annotated[StrictStr, Field(description="Kind of outside system.")]
    contact: Annotated[
        Address,
        Field(
            description="Address of the people who own the connector. `connectors show` and every alert name it. Where "
            "a mail server is set and `notify.email` is not, alerts go to it by mail.",
            examples=["growth-team@example.com"],
        ),
    ] = ""
    rate: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Records per second that the account allows."),
    ] = None
    grace: Annotated[
        Duration,
        Field(description="How long dead letters of a credential scope live while its credentials are invalid."),
    ] = 48 * 3600.0
    redrive_rate: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Dead letters per second that go back automatically when credentials are valid again. "
            "Default: half of the connector's rate, else 1000.",
        ),
    ] = None
    flood_breaker: Annotated[FloodBreaker, Field(description="When rejecting too much suspends the connector.")] = (
        FloodBreaker()
    )
    retry: Annotated[Retry, Field(description="When to stop retrying a record.")] = Retry()
    notify: Annotated[Notify, Field(description="Who gets the alerts of this connector.")] = Notify()
    privacy: Annotated[
        PrivacyKeys, Field(description="What of an event leaves to the destination. Default: all that it maps.")
    ] = PrivacyKeys()


class ConnectorKeys(CommonKeys):
    """Keys of every connector that events are routed to."""

    events: Annotated[
        tuple[StrictStr, ...] | None,
        Field(
            min_length=1,
            description="Group names, event types or globs; `all` is every type that the destination maps. "
            "Default: the types that Braze's own connector to this destination sends.",
            examples=[["message_engagement", "users.behaviors.*"]],
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Connector:
    """One configured connector. `settings` is the destination's own settings model, with the common keys."""

    name: str
    kind: DestinationKind
    settings: BaseModel
    event_types: frozenset[str]
    rate_per_second: float | None
    grace_seconds: float
    redrive_rate_per_second: float | None
    flood_breaker: FloodBreaker
    give_up_after_seconds: float | None
    notify: Notify
    """With the mail server and the recipient that alerts really have."""
    contact: str = ""
    privacy: PrivacyKeys = PrivacyKeys()  # noqa: RUF009 - frozen

    @property
    def destination(self) -> str:
        """The destination's name in the registry."""
        return self.kind.name

    @property
    def scopes(self) -> tuple[str, ...]:
        """Its credential scopes; where secrets cannot be read here, as the references tell."""
        try:
            return self.build().scopes
        except ValueError:
            scopes: Callable[[], Mapping[str, str]] | None = getattr(self.settings, "scopes", None)
            return tuple(dict.fromkeys(scopes().values())) if scopes is not None else (DEFAULT_SCOPE,)

    @property
    def scratch(self) -> Path | None:
        """The folder of what its sink remembers; None where it remembers nothing."""
        folder = getattr(self.settings, "scratch", None) if self.kind.is_received else None
        return None if folder is None else Path(folder) / self.name

    def limits(self) -> Limits:
        """The vendor's limits; where secrets cannot be read here, those of the vendor's example."""
        try:
            return self.build().limits
        except ValueError:
            return self.kind.build(self.kind.example()).limits

    def build(self) -> Destination:
        """The vendor side, with the secrets as they are now. Raises `ValueError` if one cannot be read."""
        return self.build_with(self.settings)

    def build_with(self, settings: BaseModel) -> Destination:
        """As `build`, with other settings of the destination: what leaves is hidden by this connector's rules."""
        if self.privacy.is_empty or self.kind.private is None:
            return self.kind.build(settings)
        return self.kind.private(settings, self.privacy.rules())

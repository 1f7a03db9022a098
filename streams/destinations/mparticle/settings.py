"""An mParticle connector's own keys of the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from streams.destinations.mparticle.mapping import EVENTS
from streams.values import HttpUrl, Seconds, Secret

Pod = Literal["us1", "us2", "eu1", "au1"]
Feed = Literal["ios", "android", "web", "unbound"]
Identity = Literal[
    "customer_id", "email", "mobile_number", "phone_number_2", "phone_number_3", "alias", "other", "other_id_2",
    "other_id_3", "other_id_4", "other_id_5", "other_id_6", "other_id_7", "other_id_8", "other_id_9", "other_id_10",
    "facebook", "facebook_custom_audience_id", "google", "microsoft", "twitter", "yahoo",
]  # fmt: skip
"""Every type that mParticle's schema has for `user_identities`."""
FEEDS: tuple[Feed, ...] = get_args(Feed)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class FeedCredentials(_Section):
    """Key and secret of one server-to-server input."""

    key: Annotated[Secret, Field(description="Key of the input.")]
    secret: Annotated[Secret, Field(description="Secret of the input.")]

    def identity(self) -> tuple[object, object]:
        """What tells two inputs apart: the keys themselves, else the references where they cannot be read here."""
        try:
            return self.pair()
        except ValueError:
            return self.key, self.secret

    def pair(self) -> tuple[str, str]:
        return self.key.reveal(), self.secret.reveal()


def _are_event_names(names: object) -> object:
    if isinstance(names, dict):
        for event_type, name in names.items():
            if event_type not in EVENTS:
                raise ValueError(f"{event_type} is not an event type that mParticle has a mapping for")
            if not name.strip():
                raise ValueError(f"the name for {event_type} must not be blank")
    return names


class MParticleSettings(_Section):
    """Keys of a connector to mParticle."""

    pod: Annotated[Pod, Field(description="Where the account's data lives.")] = "us1"
    base_url: Annotated[HttpUrl | None, Field(description="Address instead of the pod's: a proxy, or an emulator.")] = (
        None
    )
    environment: Annotated[
        Literal["production", "development"], Field(description="mParticle environment of every event.")
    ] = "production"
    feeds: Annotated[
        dict[Feed, FeedCredentials],
        Field(min_length=1, description="Inputs by feed. The same keys for several feeds make one feed of them."),
    ]
    apps: Annotated[dict[StrictStr, Feed], Field(description="Feed of each Braze app, by app_id.")] = {}
    identity: Annotated[Identity, Field(description="Identity type that gets the external user id.")] = "customer_id"
    wire: Annotated[
        Literal["schema", "braze"],
        Field(description="`schema`: as mParticle's schema has it; `braze`: Braze's spelling, `customerid`."),
    ] = "schema"
    event_names: Annotated[
        Literal["current", "classic"] | dict[StrictStr, StrictStr],
        AfterValidator(_are_event_names),
        Field(description="`current`, `classic` (names and attributes of 2021), or other names for event types."),
    ] = "current"
    feed_fallback: Annotated[
        Literal["unbound", "skip"], Field(description="Where events of a feed without credentials go.")
    ] = "unbound"
    phone_attribute: Annotated[
        StrictBool, Field(description="Keep the phone number under its own name too, in addition to `$mobile`.")
    ] = True
    grace: Annotated[Seconds, Field(description="How long dead letters live while credentials are invalid.")] = (
        5 * 86_400.0
    )

    @model_validator(mode="after")
    def _has_a_fallback(self) -> MParticleSettings:
        if self.feed_fallback == "unbound" and "unbound" not in self.feeds:
            raise ValueError("feeds has no unbound, where others fall back to: add it, or set feed_fallback: skip")
        return self

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return (self.base_url or f"https://s2s.{self.pod}.mparticle.com").rstrip("/")

    def scopes(self) -> Mapping[str, str]:
        """The credential scope of each feed that has credentials: the first feed with the same key pair."""
        scopes: dict[str, str] = {}
        first: dict[tuple[object, object], str] = {}
        for feed in FEEDS:
            if feed in self.feeds:
                scopes[feed] = first.setdefault(self.feeds[feed].identity(), feed)
        return scopes

    def warnings(self) -> tuple[str, ...]:
        """What works and should be known: path, sentence."""
        fate = "are skipped" if self.feed_fallback == "skip" else "go to unbound"
        found = [
            f"apps: {feed} has no credentials in feeds, so the events of its apps {fate}"
            for feed in sorted(set(self.apps.values()) - self.feeds.keys())
        ]
        if "unbound" not in self.feeds:
            found.append("feeds: without unbound, e-mail, SMS, campaign and Canvas events are skipped")
        return tuple(found)

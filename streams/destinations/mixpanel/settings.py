"""A Mixpanel connector's own keys of the configuration file."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    model_validator,
)

from streams.destinations.mixpanel.mapping import EVENTS, UNTRACKED_NAMES
from streams.values import HttpUrl, Secret

BASES = {"us": "https://api.mixpanel.com", "eu": "https://api-eu.mixpanel.com", "in": "https://api-in.mixpanel.com"}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServiceAccount(_Section):
    """A service account and the project that it imports into."""

    username: Annotated[StrictStr, Field(min_length=1, description="User name of the service account.")]
    secret: Annotated[Secret, Field(description="Secret of the service account.")]
    project_id: Annotated[StrictStr, Field(pattern=r"^\d+$", description="Number of the project, in quotes.")]


class Auth(_Section):
    """How requests are authenticated; without it the project token does."""

    api_secret: Annotated[
        Secret | None, Field(description="API secret of the project. Mixpanel retires it on 2027-03-03.")
    ] = None
    service_account: Annotated[ServiceAccount | None, Field(description="A service account.")] = None

    @model_validator(mode="after")
    def _is_one(self) -> Auth:
        if (self.api_secret is None) == (self.service_account is None):
            raise ValueError("set api_secret or service_account, one of the two; leave auth out to use the token")
        return self


def _is_token(secret: Secret, info: ValidationInfo) -> Secret:
    if secret.is_reference and not (info.context or {}).get("reads_secrets", True):
        return secret
    if not re.fullmatch(r"[0-9a-f]{32}", secret.reveal()):
        raise ValueError("must be a project token: 32 hexadecimal digits, in lower case")
    return secret


def _are_event_names(names: dict[str, str]) -> dict[str, str]:
    for event_type, name in names.items():
        if event_type not in EVENTS:
            raise ValueError(f"{event_type} is not an event type that Mixpanel has a mapping for")
        if not name.strip():
            raise ValueError(f"the name for {event_type} must not be blank")
    return names


class MixpanelSettings(_Section):
    """Keys of a connector to Mixpanel."""

    region: Annotated[Literal["us", "eu", "in"], Field(description="Where the project's data lives.")] = "us"
    base_url: Annotated[
        HttpUrl | None, Field(description="Address instead of the region's: a proxy, or an emulator.")
    ] = None
    project_token: Annotated[
        Secret, AfterValidator(_is_token), Field(description="Token of the project, 32 hexadecimal digits.")
    ]
    auth: Annotated[Auth | None, Field(description="How requests are authenticated. Default: the project token.")] = (
        None
    )
    event_names: Annotated[
        dict[StrictStr, StrictStr],
        AfterValidator(_are_event_names),
        Field(description="Other names for event types.", examples=[{"users.messages.line.Send": "LINE Send"}]),
    ] = {}
    device_properties: Annotated[
        StrictBool, Field(description="Also send device_model as `$device` and os_version as `$os`.")
    ] = False

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return (self.base_url or BASES[self.region]).rstrip("/")

    def warnings(self) -> tuple[str, ...]:
        """What works and should be known: path, sentence."""
        found = []
        if self.auth is not None and self.auth.api_secret is not None:
            found.append("auth.api_secret: Mixpanel retires API secrets on 2027-03-03; use a service account")
        for event_type, name in self.event_names.items():
            if EVENTS[event_type].name in UNTRACKED_NAMES and name not in UNTRACKED_NAMES:
                found.append(
                    f"event_names: {event_type} leaves the events that do not count as monthly tracked users "
                    f"({EVENTS[event_type].name!r} became {name!r})"
                )
        return tuple(found)

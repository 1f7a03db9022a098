"""Destinations that only these tests know, so that a vendor's change does not change what is asked here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from streams.delivery.contract import Destination
from streams.destinations import DestinationKind
from streams.destinations.table import MappedEvent
from streams.values import Seconds, Secret

OPEN = "users.messages.email.Open"
CLICK = "users.messages.email.Click"
SENT = "users.messages.sms.Send"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Keys(Section):
    key: Secret
    secret: Secret


class AcmeSettings(Section):
    """An analytics product."""

    region: Annotated[Literal["us", "eu"], Field(description="Where the project lies.")] = "us"
    project_token: Annotated[Secret, Field(description="Token of the project.")]
    auth: Annotated[Keys | None, Field(description="Service account.")] = None


class BolterSettings(Section):
    """A customer data platform."""

    feeds: Annotated[dict[str, Keys], Field(min_length=1, description="Key pairs by feed.")]
    rate: Annotated[float, Field(gt=0, description="Batches per second.")] = 270.0
    grace: Annotated[Seconds, Field(description="How long dead letters live.")] = 5 * 86_400.0


def _build(settings: BaseModel) -> Destination:
    raise AssertionError("tests of the configuration send nothing")


def _example() -> BaseModel:
    raise AssertionError("tests of the configuration send nothing")


def _events(*names: str, default: set[str]) -> dict[str, MappedEvent]:
    return {name: MappedEvent(name, name, name in default) for name in names}


REGISTRY = {
    "acme": DestinationKind(
        name="acme",
        settings=AcmeSettings,
        build=_build,
        events=_events(OPEN, CLICK, SENT, default={OPEN}),
        example=_example,
    ),
    "bolter": DestinationKind(
        name="bolter",
        settings=BolterSettings,
        build=_build,
        events=_events(OPEN, CLICK, default={OPEN, CLICK}),
        example=_example,
    ),
}


class ScopedDestination:
    """A destination of which only its credential scopes are asked."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        self.scopes = scopes

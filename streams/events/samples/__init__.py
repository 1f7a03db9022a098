"""Sample events of our own: realistic, drawn from a seed, for every event type of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, repeat
from random import Random
from types import MappingProxyType
from typing import Any

from streams.events.encodings import encode_single_object
from streams.events.samples.fields import BY_EVENT_TYPE, FIELDS, Maker, Moment
from streams.events.samples.properties import CUSTOM_EVENTS
from streams.events.samples.world import world
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped

MIX: Mapping[str, int] = MappingProxyType(
    {
        "users.messages.email.Send": 22,
        "users.messages.email.Open": 14,
        "users.messages.email.Click": 4,
        "users.messages.pushnotification.Send": 16,
        "users.messages.inappmessage.Impression": 8,
        "users.messages.contentcard.Impression": 7,
        "users.messages.sms.Send": 4,
        "users.behaviors.CustomEvent": 12,
        "users.behaviors.Purchase": 2,
        "users.behaviors.app.SessionStart": 8,
        "users.canvas.Entry": 3,
    }
)
"""Eleven event types and how many of a hundred events are of each: what `streams demo` sends."""

AGE_SECONDS_MAX = 300
"""The greatest age of a sample's time."""
CAMPAIGN_SHARE = 0.6
"""How many of the messages belong to a campaign; the others belong to a canvas."""

_OF_CAMPAIGN = frozenset({"campaign_id", "campaign_name", "message_variation_id", "message_variation_name"})
_CUSTOM_EVENT_NAMES = tuple(CUSTOM_EVENTS)
_NULL_SHARE = 0.5
_NULL_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "external_user_id": 0.0,
        "user_id": 0.0,
        "app_group_id": 0.0,
        "campaign_id": 0.1,
        "canvas_id": 0.1,
        "app_id": 0.1,
        "platform": 0.1,
        "timezone": 0.2,
    }
)
"""Optional fields that are seldom null. The others are null in half of the events."""


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """One sample: `value` is `record` in single-object encoding, `key` its external_user_id, else its user_id."""

    event_type: str
    key: bytes | None
    value: bytes = field(repr=False)
    record: dict[str, Any] = field(repr=False)


def sample_record(event_type: str, random: Random, now_s: int, *, anonymous_share: float = 0.0) -> dict[str, Any]:
    """One record that fits the shipped schema of an event type, in the last five minutes before `now_s`.

    `anonymous_share` of the records have no external_user_id, as those of people who never logged in.
    Raises `ValueError` for an event type that the catalogue does not hold.
    """
    plan = _plan(event_type)
    draw = random.random
    company = world()
    belongs_to_campaign = draw() < plan.campaign_share
    moment = Moment(
        random=random,
        world=company,
        person=random.choice(company.people_on_ios if plan.is_ios_only else company.people),
        campaign=random.choice(company.campaigns),
        canvas=random.choice(company.canvases),
        time_s=now_s - random.randrange(AGE_SECONDS_MAX),
        event_name=random.choice(_CUSTOM_EVENT_NAMES),
    )
    record: dict[str, Any] = {}
    for name, make, null_share, belonging in plan.fields:
        if null_share and (draw() < null_share or (belonging is not None and belonging is not belongs_to_campaign)):
            record[name] = None
        else:
            record[name] = make(moment)
    if anonymous_share and draw() < anonymous_share and "external_user_id" in record:
        record["external_user_id"] = None
    return record


def sample_events(
    count: int,
    *,
    seed: int,
    now_s: int,
    event_types: Sequence[str] | None = None,
    anonymous_share: float = 0.0,
) -> Iterator[SampleEvent]:
    """`count` events, the same for the same arguments. Event types take turns; without any, `MIX` draws them.

    Raises `ValueError` for an event type that the catalogue does not hold.
    """
    random = Random(seed)  # noqa: S311 - samples, not secrets
    names = _mixed(random) if event_types is None else cycle(event_types)
    for _, name in zip(repeat(None, count), names, strict=False):
        record = sample_record(name, random, now_s, anonymous_share=anonymous_share)
        user = record.get("external_user_id") or record.get("user_id")
        key = user.encode() if user else None
        yield SampleEvent(name, key, encode_single_object(_plan(name).schema, record), record)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How records of one event type are made.

    Per field: its name, what makes it, how often it is null, and whether it belongs to a campaign (True), to a
    canvas (False) or to neither (None).
    """

    schema: WriterSchema
    fields: tuple[tuple[str, Maker, float, bool | None], ...]
    campaign_share: float
    is_ios_only: bool


@cache
def _plan(event_type: str) -> _Plan:
    schema = shipped().by_event_type(event_type)
    if schema is None:
        raise ValueError(f"no samples of event type {event_type!r}: the catalogue does not contain it")
    fields = tuple(
        (
            field.name,
            BY_EVENT_TYPE.get((event_type, field.name)) or FIELDS[field.name],
            _NULL_SHARES.get(field.name, _NULL_SHARE) if field.nullable else 0.0,
            _belonging(field.name),
        )
        for field in schema.fields
    )
    return _Plan(
        schema,
        fields,
        campaign_share=_campaign_share(event_type),
        is_ios_only="IosForeground" in event_type or "liveactivity" in event_type,
    )


def _campaign_share(event_type: str) -> float:
    if event_type.startswith("users.campaigns."):
        return 1.0
    return 0.0 if event_type.startswith("users.canvas") else CAMPAIGN_SHARE


def _belonging(field_name: str) -> bool | None:
    if field_name in _OF_CAMPAIGN:
        return True
    return False if field_name.startswith("canvas_") else None


def _mixed(random: Random) -> Iterator[str]:
    names, weights = tuple(MIX), tuple(MIX.values())
    while True:
        yield from random.choices(names, weights, k=100)

"""Records of the way back as items for the composer, as remarks, or as letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, get_args

from streams.delivery.contract import Encoder, Encoding, Rejected, Remark
from streams.destinations.braze import items
from streams.destinations.braze.derived import FOR_A_NAME
from streams.destinations.braze.items import packed, packed_object
from streams.destinations.braze.objects import BrazeObject, Made, of_attributes, of_event, of_purchase
from streams.destinations.braze.plain_events import plain_events
from streams.destinations.braze.privacy import private
from streams.destinations.braze.settings import COHORTS, DEFAULT, BrazeSettings
from streams.destinations.braze.values import Losses
from streams.destinations.braze.words import split
from streams.destinations.event_encoder import UNDECODABLE_DETAIL
from streams.destinations.privacy import EVERYTHING, NO_JSON, Privacy
from streams.events.schema import WriterSchema
from streams.wayback.entries import DataKeys, Firehose, MixpanelCohorts, MParticleAudiences
from streams.wayback.memory import group_key
from streams.wayback.records import (
    Attributes,
    Event,
    Malformed,
    Membership,
    Page,
    Purchase,
    Purpose,
    Record,
    Target,
    reader,
)

ListEntry = MixpanelCohorts | Firehose | MParticleAudiences
EVENT = "wayback.Event"
NEWER = "not known here; a newer version of streams wrote it"
JOINS: Mapping[str, bool] = {"add": True, "remove": False}


def encoder(schema: WriterSchema, settings: BrazeSettings, privacy: Privacy = EVERYTHING) -> Encoder | None:
    """None where it is not a record of the way back."""
    read = reader(schema)
    if read is None:
        return None
    every = Items(settings, privacy)
    make = every.of(schema.event_type)
    if privacy != EVERYTHING:
        make = _private(make, privacy)

    def encode(value: bytes, start: int, /) -> Encoding:
        try:
            record = read(value, start)
        except ValueError:
            return Rejected(UNDECODABLE_DETAIL)
        return make(record)

    if schema.event_type == EVENT and privacy == EVERYTHING:
        return plain_events(schema, every.data, encode)
    return encode


def _private(make: Callable[[Any], Encoding], privacy: Privacy) -> Callable[[Any], Encoding]:
    def make_private(record: Record) -> Encoding:
        shown = private(record, privacy)
        return Rejected(NO_JSON) if shown is None else make(shown)

    return make_private


class Items:
    """What each kind of record becomes with these settings."""

    def __init__(self, settings: BrazeSettings, privacy: Privacy = EVERYTHING) -> None:
        self._settings = settings
        self._privacy = None if privacy == EVERYTHING else privacy
        self._types = settings.property_types
        self.data = {name: entry for name, entry in settings.receive.items() if isinstance(entry, DataKeys)}
        self._lists = {name: entry for name, entry in settings.receive.items() if isinstance(entry, ListEntry)}

        self._lists_of = settings.membership_attributes()

    def of(self, event_type: str) -> Callable[[Any], Encoding]:
        makers: dict[str, Callable[[Any], Encoding]] = {
            EVENT: self.event,
            "wayback.Purchase": self.purchase,
            "wayback.Attributes": self.attributes,
            "wayback.Membership": self.membership,
            "wayback.Page": _page,
            "wayback.Malformed": _malformed,
        }
        return makers[event_type]

    def event(self, record: Event) -> Encoding:
        entry = self.data.get(record.entry)
        if entry is None:
            return _without(record)
        return _sent(items.EVENT, record, of_event(record, entry, self._types))

    def purchase(self, record: Purchase) -> Encoding:
        entry = self.data.get(record.entry)
        if entry is None:
            return _without(record)
        return _sent(items.PURCHASE, record, of_purchase(record, entry, self._types))

    def attributes(self, record: Attributes) -> Encoding:
        entry = self.data.get(record.entry)
        if entry is None:
            return _without(record)
        made, losses = of_attributes(record, entry, self._types)
        if isinstance(made, Rejected):
            return made
        content = {} if made is None else made.content if self._privacy is None else self._privacy.named(made.content)
        words = split(content)
        for name in self._lists_of & words.keys():  # what cohorts and audiences are written to holds nothing else
            del words[name]
            losses.add("reserved", name)
        head = (record.external_user_id, not entry.create_users, words, _counted(losses))
        return DEFAULT, packed(items.ATTRIBUTES, head), 0

    def membership(self, record: Membership) -> Encoding:
        if record.target not in get_args(Target):
            return Rejected(f"target: {NEWER}")
        group = group_key(record.entry, record.group_id, record.target)
        if record.change == "present":
            head: tuple[Any, ...] = (
                group, record.session or "", record.external_user_id, record.page or 1, record.request or "",
            )  # fmt: skip
            return Remark(packed(items.PRESENT, head))
        entry, joins = self._lists.get(record.entry), JOINS.get(record.change)
        if entry is None:
            return _without(record)
        if joins is None:
            return Rejected(f"change: {NEWER}")
        scope = COHORTS if record.target == "cohort" else DEFAULT
        if scope == COHORTS and self._settings.cohort_api is None:
            return Rejected("target: the cohort import has no keys any more: set cohort_api, then replay")
        again = record.again
        head = (
            record.external_user_id, not entry.create_users, group, record.group_name, joins,
            again is not None and not again.startswith(FOR_A_NAME), record.time_ms, again is not None,
        )  # fmt: skip
        return scope, packed(items.MEMBERSHIP, head), 0


def _page(record: Page) -> Encoding:
    if record.purpose not in get_args(Purpose):
        return Rejected(f"purpose: {NEWER}")
    head = (
        record.entry, record.group_id, record.group_name, record.purpose, record.session, record.page, record.pages,
        record.request or "", record.time_ms, record.received_ms,
    )  # fmt: skip
    return Remark(packed(items.PAGE, head), waits=True)


def _malformed(record: Malformed) -> Encoding:
    return Remark(packed(items.MALFORMED, (record.reason, record.id)))


def _sent(kind: int, record: Record, made: Made) -> Encoding:
    found, losses = made
    if not isinstance(found, BrazeObject):
        return found or Rejected("nothing is left to send")
    return DEFAULT, packed_object(kind, record.id, _counted(losses), found.json), 0


def _without(record: Record) -> Rejected:
    return Rejected(f"entry: receive.{record.entry} is gone, or takes no such records any more: add it, then replay")


def _counted(losses: Losses) -> dict[str, int]:
    """As `items.Losses`."""
    return dict(Counter(f"{why}/{name}" for why, name in losses.found)) if losses.found else {}

"""mParticle's audiences: membership changes of Firehose (both generations) and of its Kinesis output.

Sources: mParticle's samples and schemas of Firehose 3.2; its pages on Amazon Kinesis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streams.wayback.bodies.identities import identities, unreadable
from streams.wayback.bodies.taken import (
    BadBody,
    Taken,
    TooManyItems,
    items_of,
    milliseconds,
    require_few_items,
    text_of,
)
from streams.wayback.entries import DataKeys, Firehose, MParticleAudiences
from streams.wayback.records import Attributes, Membership, Page, Purpose

Audiences = Firehose | MParticleAudiences
MEMBERSHIP_REQUEST = "audience_membership_change_request"
SUBSCRIPTIONS: Mapping[str, Purpose] = {"add": "subscribe", "update": "subscribe", "remove": "unsubscribe"}
"""What mParticle says of an audience and this output, as a `Page` has it."""


@dataclass(frozen=True, slots=True)
class _Word:
    group_id: str
    name: str
    is_member: bool


def take_memberships(entry: Audiences, request: Mapping[str, Any], taken: Taken) -> None:
    """A Firehose membership request. One without profiles keeps the line alive."""
    profiles = request.get("user_profiles")
    if profiles is None:
        profiles = []
    if not isinstance(profiles, list):
        raise BadBody("user_profiles is not a list")
    message = text_of(request.get("id")) or taken.request
    time_ms = milliseconds(request.get("timestamp_ms")) or taken.received_ms
    for profile in profiles:
        if not isinstance(profile, dict):
            taken.malformed("a user profile is not a JSON object", profile)
            continue
        user = _external_id(entry, profile.get("user_identities"), profile.get("mpid"), profile, taken)
        if user is not None:
            _take_profile(entry, profile, user, message, time_ms, taken)


def take_subscription(entry: Firehose, request: Mapping[str, Any], taken: Taken) -> None:
    """An audience was connected to this output, changed, or taken off it: a word for `streams audiences list`."""
    group_id, action = text_of(request.get("audience_id")), request.get("action")
    if group_id is None and action is None:
        return  # it keeps the line alive
    if not group_id or not isinstance(action, str) or action not in SUBSCRIPTIONS:
        taken.malformed(f"a subscription needs audience_id, and an action of {', '.join(SUBSCRIPTIONS)}", request)
        return
    name = text_of(request.get("audience_name")) or ""
    if not entry.selects(group_id, name or group_id):
        taken.skipped["not_selected"] += 1
        return
    message = text_of(request.get("id")) or taken.request
    taken.records.append(
        Page(
            id=f"{message}/{group_id}", entry=taken.entry, received_ms=taken.received_ms, session=message,
            time_ms=milliseconds(request.get("timestamp_ms")) or taken.received_ms,
            group_id=group_id, group_name=name, purpose=SUBSCRIPTIONS[action], request=taken.request,
        )
    )  # fmt: skip


def take_kinesis(entry: MParticleAudiences, content: object, taken: Taken) -> None:
    """Records of the Kinesis output: one, a list, or Firehose's membership request. Raises `BadBody`.

    A bad item of a list is malformed, so that it takes nothing else of the list with it.
    """
    for item in items_of(content):
        try:
            _take_kinesis_item(entry, item, taken)
        except TooManyItems:
            raise
        except BadBody as error:
            if item is content:
                raise
            taken.malformed(str(error), item)


def _take_kinesis_item(entry: MParticleAudiences, item: object, taken: Taken) -> None:
    if not isinstance(item, dict):
        raise BadBody("an audience record is not a JSON object")
    if item.get("type") == MEMBERSHIP_REQUEST:
        take_memberships(entry, item, taken)
    else:
        _take_kinesis_record(entry, item, taken)


def lines(body: bytes) -> object:
    """A body as JSON: one value, or one a line. Raises `BadBody`."""
    require_few_items(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        found = [orjson.loads(line) for line in body.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        found = []
    if not found:
        raise BadBody("the body is not JSON")
    return found


def _take_kinesis_record(entry: MParticleAudiences, item: dict[str, Any], taken: Taken) -> None:
    group_id, is_member = text_of(item.get("AudienceId")), item.get("IsMember")
    if not group_id or not isinstance(is_member, bool):
        taken.malformed("an audience record needs AudienceId and IsMember", item)
        return
    user = _external_id(entry, item.get("UserIdentities"), item.get("MPID", item.get("Mpid")), item, taken)
    if user is None:
        return
    time_ms = milliseconds(item.get("MembershipChangedTimestamp")) or taken.received_ms
    word = _Word(group_id, text_of(item.get("AudienceName")) or group_id, is_member)
    _take_word(entry, word, user, f"k/{time_ms}/{int(is_member)}", time_ms, taken)


def _take_profile(
    entry: Audiences, profile: dict[str, Any], user: str, message: str, time_ms: int, taken: Taken
) -> None:
    for word in _words(profile, taken):
        _take_word(entry, word, user, message, time_ms, taken)
    found, odd = _attributes(profile)
    if not isinstance(entry, DataKeys):
        taken.leave_out(len(found))
        return
    for reason, item in odd:
        taken.malformed(reason, item)
    changes = {key: value for key, value in found.items() if entry.selects_attribute(key)}
    taken.leave_out(len(found) - len(changes))
    if changes:
        record = Attributes(
            id=f"{message}/attributes/{user}", entry=taken.entry, external_user_id=user, time_ms=time_ms,
            received_ms=taken.received_ms, changes=orjson.dumps(changes).decode(),
        )  # fmt: skip
        taken.put(record, profile)


def _words(profile: Mapping[str, Any], taken: Taken) -> Iterator[_Word]:
    """Both generations: `audiences` with an action each, or lists of added and removed audiences."""
    for key, action in (("audiences", None), ("added_audiences", "add"), ("removed_audiences", "delete")):
        given = profile.get(key)
        if not isinstance(given, list | None):
            taken.malformed(f"{key} is not a list", profile)
        for audience in given if isinstance(given, list) else []:
            group_id = text_of(audience.get("audience_id")) if isinstance(audience, dict) else None
            if not group_id:
                taken.malformed("an audience has no audience_id", audience)
                continue
            said = action or audience.get("action")
            if said in ("add", "delete", "remove"):
                yield _Word(group_id, text_of(audience.get("audience_name")) or group_id, said == "add")
            elif said != "attribute_update":
                taken.malformed("an audience's action is none of add, delete, attribute_update", audience)


def _attributes(profile: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, object]]]:
    """Attributes that come with audiences, the last word of each name, null where it is deleted; and what cannot be
    read, with the reason. An empty object says nothing: mParticle's own sample has one."""
    found: dict[str, Any] = {}
    odd: list[tuple[str, object]] = []
    audiences = profile.get("audiences")
    for audience in audiences if isinstance(audiences, list) else []:
        given = audience.get("user_attributes") if isinstance(audience, dict) else None
        if not isinstance(given, list | None):
            odd.append(("an audience's user_attributes are not a list", audience))
        for attribute in given if isinstance(given, list) else []:
            key = attribute.get("key") if isinstance(attribute, dict) else None
            if isinstance(key, str) and key:
                found[key] = None if attribute.get("action") == "delete" else attribute.get("value")
            elif attribute != {}:
                odd.append(("an attribute of an audience has no key", attribute))
    return found, odd


def _take_word(entry: Audiences, word: _Word, user: str, message: str, time_ms: int, taken: Taken) -> None:
    if not entry.selects(word.group_id, word.name):
        taken.skipped["not_selected"] += 1
        return
    taken.records.append(
        Membership(
            id=f"{message}/{word.group_id}/{user}", entry=taken.entry, external_user_id=user, time_ms=time_ms,
            received_ms=taken.received_ms, group_id=word.group_id, group_name=word.name,
            change="add" if word.is_member else "remove",
        )
    )  # fmt: skip


def _external_id(entry: Audiences, given: object, mpid: object, item: object, taken: Taken) -> str | None:
    if odd := unreadable(given):
        taken.malformed("an identity cannot be read", odd)
    found = identities(given, mpid).get(entry.external_identity)
    if found is not None and found.is_hashed:
        taken.skipped["hashed_identity"] += 1
        return None
    user = None if found is None else found.value
    return user if taken.is_usable(user, item) else None

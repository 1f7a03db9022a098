"""mParticle's audiences: membership changes of Firehose (both generations) and of its Kinesis output.

Sources: mParticle's samples and schemas of Firehose 3.2; its pages on Amazon Kinesis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streams.wayback.bodies.identities import identities
from streams.wayback.bodies.taken import BadBody, Taken, milliseconds, text_of
from streams.wayback.entries import DataKeys, Firehose, MParticleAudiences
from streams.wayback.records import Attributes, Membership

Audiences = Firehose | MParticleAudiences
MEMBERSHIP_REQUEST = "audience_membership_change_request"


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
        raise BadBody("user_profiles is no list")
    message = text_of(request.get("id")) or taken.request
    time_ms = milliseconds(request.get("timestamp_ms")) or taken.received_ms
    for profile in profiles:
        if not isinstance(profile, dict):
            taken.malformed("a user profile is no JSON object", profile)
            continue
        user = _external_id(entry, profile.get("user_identities"), profile.get("mpid"), profile, taken)
        if user is not None:
            _take_profile(entry, profile, user, message, time_ms, taken)


def take_kinesis(entry: MParticleAudiences, content: object, taken: Taken) -> None:
    """Records of the Kinesis output: one, a list, or Firehose's membership request."""
    for item in content if isinstance(content, list) else [content]:
        if not isinstance(item, dict):
            taken.malformed("an audience record is no JSON object", item)
        elif item.get("type") == MEMBERSHIP_REQUEST:
            take_memberships(entry, item, taken)
        else:
            _take_kinesis_record(entry, item, taken)


def lines(body: bytes) -> object:
    """A body as JSON: one value, or one a line. Raises `BadBody`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        found = [orjson.loads(line) for line in body.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        found = []
    if not found:
        raise BadBody("the body is no JSON")
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
    if isinstance(entry, DataKeys):
        changes = _attributes(entry, profile)
        if changes:
            taken.records.append(
                Attributes(
                    id=f"{message}/attributes/{user}", entry=taken.entry, external_user_id=user, time_ms=time_ms,
                    received_ms=taken.received_ms, changes=orjson.dumps(changes).decode(),
                )
            )  # fmt: skip


def _words(profile: Mapping[str, Any], taken: Taken) -> Iterator[_Word]:
    """Both generations: `audiences` with an action each, or lists of added and removed audiences."""
    for key, action in (("audiences", None), ("added_audiences", "add"), ("removed_audiences", "delete")):
        given = profile.get(key)
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


def _attributes(entry: DataKeys, profile: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that come with audiences, the last word of each name; null deletes."""
    found: dict[str, Any] = {}
    audiences = profile.get("audiences")
    for audience in audiences if isinstance(audiences, list) else []:
        given = audience.get("user_attributes") if isinstance(audience, dict) else None
        for attribute in given if isinstance(given, list) else []:
            key = attribute.get("key") if isinstance(attribute, dict) else None
            if isinstance(key, str) and key and entry.selects_attribute(key):
                found[key] = None if attribute.get("action") == "delete" else attribute.get("value")
    return found


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
    found = identities(given, mpid).get(entry.external_identity)
    if found is not None and found.is_hashed:
        taken.skipped["hashed_identity"] += 1
        return None
    user = None if found is None else found.value
    return user if taken.is_usable(user, item) else None

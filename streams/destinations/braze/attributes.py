"""A user's attributes at mParticle as attributes of Braze: identities, attributes, subscriptions, consent, push tokens.

What a record's `changes` hold is told by its message type, and names are mParticle's: see `streams.wayback.records`.
Source of the table: mParticle's and Braze's pages on their integration, and mParticle's own kits for Braze.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, assert_never

from streams.destinations.braze.values import Losses, PropertyTypes, attribute_value, detected, name_of
from streams.wayback.entries import DataKeys
from streams.wayback.records import AttributesMessage

STANDARD: Mapping[str, str] = {
    "$FirstName": "first_name",
    "$LastName": "last_name",
    "$Country": "country",
    "$City": "home_city",
    "$Mobile": "phone",
}
GENDERS = {"m": "M", "f": "F", "o": "O", "n": "N", "p": "P", "male": "M", "female": "F"}
SUBSCRIPTIONS = ("email_subscribe", "push_subscribe")
SUBSCRIPTION_STATES = ("opted_in", "subscribed", "unsubscribed")
TRUE = (True, "true", "True", "TRUE", 1, "1")
RESERVED = frozenset({"external_id", "braze_id", "user_alias"})
"""And whatever begins with an underscore: they say whom an object is about, or how it is applied."""
AGE_MAX = 150

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def braze_attributes(
    changes: Mapping[str, Any],
    message: AttributesMessage,
    entry: DataKeys,
    types: PropertyTypes,
    time_ms: int,
    platform: str | None,
    losses: Losses,
) -> dict[str, Any]:
    """The attributes to set, null to delete; empty where nothing is left to send."""
    match message:
        case "attributes":
            return _user_attributes(changes, entry, types, time_ms, losses)
        case "identities":
            return _identities(changes)
        case "opt_out":
            return {"email_subscribe": "unsubscribed" if changes.get("opted_out") in TRUE else "opted_in"}
        case "consent":
            return {entry.consent[name]: value in TRUE for name, value in changes.items() if name in entry.consent}
        case "push_registration":
            return _push_tokens(changes, entry, platform)
        case _:
            assert_never(message)


def _identities(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`email`, `facebook`, `twitter`: which identity is the e-mail is the entry's choice, made at receipt."""
    found: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "email":
                found["email"] = value
            case "facebook" | "twitter":
                found[name] = None if value is None else {"id": value}
            case _:
                pass  # other identities are not attributes of Braze
    return found


def _push_tokens(changes: Mapping[str, Any], entry: DataKeys, platform: str | None) -> dict[str, Any]:
    app_id = next((app_id for name, app_id in entry.app_ids.items() if name == platform), None)
    token = changes.get("token")
    if app_id is None or not isinstance(token, str) or not token:
        return {}
    device_id = changes.get("device_id")
    return {"push_tokens": [{"app_id": app_id, "token": token, **({"device_id": device_id} if device_id else {})}]}


def _user_attributes(
    changes: Mapping[str, Any], entry: DataKeys, types: PropertyTypes, time_ms: int, losses: Losses
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    groups: list[dict[str, str]] = []
    for name, value in changes.items():
        if name in entry.subscription_groups:
            state = "subscribed" if value in TRUE else "unsubscribed"
            groups.append({"subscription_group_id": entry.subscription_groups[name], "subscription_state": state})
        elif name not in entry.names and (name in STANDARD or name in _SPECIAL):
            found |= _standard(name, value, time_ms, losses)
        else:
            found |= _custom(name, value, entry, types, losses)
    if isinstance(changes.get("dob"), str) and "dob" not in entry.names:
        found |= _standard("dob", changes["dob"], time_ms, losses)  # whichever order: it wins over an age
    if groups:
        found["subscription_groups"] = groups
    return found


_SPECIAL = frozenset({"$Gender", "$Age", "dob", *SUBSCRIPTIONS})


def _standard(name: str, value: Any, time_ms: int, losses: Losses) -> dict[str, Any]:
    if name in STANDARD:
        text = value if value is None else attribute_value(name, _text(value), "scalar", losses)
        return {STANDARD[name]: text}
    match name:
        case "$Gender":
            good = GENDERS.get(value.strip().lower()) if isinstance(value, str) else None
            target = "gender"
        case "$Age":
            good, target = _birthday(value, time_ms), "dob"
        case "dob":
            good = value if isinstance(value, str) and _DATE.fullmatch(value) else None
            target = "dob"
        case _:
            good, target = (value if value in SUBSCRIPTION_STATES else None), name
            if value is None:  # a subscription has no "none"
                return {}
    if good is None and value is not None:
        losses.add("value", name)
        return {}
    return {target: good}


def _birthday(age: Any, time_ms: int) -> str | None:
    """1 January of the year that the age reaches back to."""
    years = detected(age)
    if isinstance(years, bool) or not isinstance(years, int | float) or not 0 <= years <= AGE_MAX:
        return None
    year = datetime.fromtimestamp(time_ms / 1000, UTC).year - int(years)
    return f"{year:04}-01-01"


def _custom(name: str, value: Any, entry: DataKeys, types: PropertyTypes, losses: Losses) -> dict[str, Any]:
    target = name_of(entry.names.get(name, name), losses)
    if target is None:
        return {}
    if target in RESERVED or target.startswith("_"):
        losses.add("reserved", name)
        return {}
    if value is None:
        return {target: None}
    if isinstance(value, list) and not entry.arrays and all(not isinstance(item, dict | list) for item in value):
        value = ",".join(_text(item) for item in value)
    elif name == "$Zip":
        value = _text(value)
    elif entry.detect_types in ("attributes", "both"):
        value = detected(value)
    good = attribute_value(target, value, types, losses)
    return {} if good is None else {target: good}


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)

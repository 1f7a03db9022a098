"""Requests to Braze: objects laid out in three arrays, the cohort import, and the probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streams.delivery.contract import Layout, Request
from streams.destinations.braze.objects import ARRAYS, Array, BrazeObject, iso
from streams.destinations.braze.settings import BrazeSettings, CohortApi

TRACK = "/users/track"
REQUEST_BYTES_MAX = 4_000_000
COHORT_IDS_MAX = 1_000
COHORT_PROBE = "streams-probe"
DEFAULT, COHORTS = "default", "cohorts"
"""Credential scopes."""


@dataclass(frozen=True, slots=True)
class Track:
    """The body of one request to `/users/track`, and which records of the batch stand where in it."""

    body: bytes
    layout: Layout


def track(objects: Sequence[BrazeObject]) -> Track:
    """One body with these objects, in their order; attributes of one user merge into one object, the last word wins.

    The same objects give the same bytes.
    """
    arrays: dict[Array, list[dict[str, Any]]] = {array: [] for array in ARRAYS}
    records: dict[Array, list[tuple[int, ...]]] = {array: [] for array in ARRAYS}
    of_user: dict[tuple[str, bool], int] = {}
    for position, each in enumerate(objects):
        key = (each.external_id, each.only_existing)
        if each.array == "attributes" and key in of_user:
            place = of_user[key]
            arrays["attributes"][place] = _merged(arrays["attributes"][place], each.content)
            records["attributes"][place] += (position,)
            continue
        if each.array == "attributes":
            of_user[key] = len(arrays["attributes"])
        arrays[each.array].append(each.body())
        records[each.array].append((position,))
    body = orjson.dumps({array: items for array, items in arrays.items() if items})
    layout: Layout = {(array, index): place for array in ARRAYS for index, place in enumerate(records[array])}
    return Track(body, layout)


def track_request(settings: BrazeSettings, sent: Track) -> Request:
    headers = {"Authorization": f"Bearer {settings.rest_key.reveal()}", "Content-Type": "application/json"}
    return Request("POST", f"{settings.base}{TRACK}", headers, sent.body, sent.layout)


def cohort_users_request(
    settings: BrazeSettings, cohort_id: str, joined: Sequence[str], left: Sequence[str]
) -> Request:
    """Members who joined and who left; together at most 1,000."""
    assert len(joined) + len(left) <= COHORT_IDS_MAX
    changes: list[dict[str, Any]] = []
    if joined:
        changes.append({"user_ids": list(joined)})
    if left:
        changes.append({"user_ids": list(left), "should_remove": True})
    return _cohort_request(settings, "/users", {"cohort_id": cohort_id, "cohort_changes": changes})


def cohort_name_request(settings: BrazeSettings, cohort_id: str, name: str, created_ms: int) -> Request:
    """Tells Braze of a cohort, or its new name."""
    return _cohort_request(settings, "", {"cohort_id": cohort_id, "name": name, "created_at": iso(created_ms)})


def probe(settings: BrazeSettings, scope: str) -> Request:
    """Harmless: it creates nobody, costs no data point, and needs no permission that the traffic does not."""
    if scope == COHORTS:
        return cohort_users_request(settings, COHORT_PROBE, (), ())
    user = {"external_id": settings.probe_user, "_update_existing_only": True, "language": "en"}
    return track_request(settings, Track(orjson.dumps({"attributes": [user]}), {}))


def _cohort_request(settings: BrazeSettings, path: str, content: Mapping[str, Any]) -> Request:
    keys = settings.cohort_api
    assert isinstance(keys, CohortApi), "the cohort import is configured, or nothing comes here"
    body = {"partner_api_key": keys.partner_api_key.reveal(), "client_secret": keys.data_import_key.reveal(), **content}
    url = f"{settings.base}/partners/{keys.partner}/cohorts{path}"
    return Request("POST", url, {"Content-Type": "application/json"}, orjson.dumps(body))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        before = merged.get(name)
        if _is_change(before) and _is_change(value):
            merged[name] = _both(before, value)
        elif name == "subscription_groups" and isinstance(before, list):
            merged[name] = list({each["subscription_group_id"]: each for each in [*before, *value]}.values())
        elif name == "push_tokens" and isinstance(before, list):
            merged[name] = list({(each["app_id"], each.get("device_id")): each for each in [*before, *value]}.values())
        else:
            merged[name] = value
    return merged


def _is_change(value: object) -> bool:
    """Whether it changes an array: `{"add": […]}`, `{"remove": […]}` or both."""
    return (
        isinstance(value, dict)
        and bool(value)
        and value.keys() <= {"add", "remove"}
        and all(isinstance(items, list) for items in value.values())
    )


def _both(first: Any, second: Any) -> dict[str, list[Any]]:
    """Two changes as one: what is added later is not removed, and the other way round."""
    word: dict[Any, str] = {}
    for change in (first, second):
        for kind in ("add", "remove"):
            for item in change.get(kind, ()):
                word.pop(item, None)
                word[item] = kind
    merged = {kind: [item for item, last in word.items() if last == kind] for kind in ("add", "remove")}
    return {kind: items for kind, items in merged.items() if items}

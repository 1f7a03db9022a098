"""Requests to Braze: objects laid out in three arrays, the cohort import, and the probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.delivery.contract import Layout, Request
from streams.destinations.braze.objects import iso
from streams.destinations.braze.settings import COHORTS, BrazeSettings, CohortApi

TRACK: Final = "/users/track"
REQUEST_BYTES_MAX: Final = 4_000_000
COHORT_IDS_MAX = 1_000
COHORT_PROBE = "streams-probe"


@dataclass(frozen=True, slots=True)
class Track:
    """The body of one request to `/users/track`, and which records of the batch stand where in it."""

    body: bytes
    layout: Layout


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

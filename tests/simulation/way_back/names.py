"""Names and numbers of the world of the way back, beside those of `tests.simulation.names`."""

from __future__ import annotations

from typing import Any

from streams.destinations.braze.settings import BrazeSettings
from streams.emulators.braze.options import BrazeOptions, CohortApi

SENT, RECEIVED = "streams.sent.growth", "streams.received"
RECEIVERS = ("receiver-0", "receiver-1")
SINKS = ("sink-0", "sink-1")
PROCESSES = (*RECEIVERS, *SINKS)
USERS = tuple(f"user-{number}" for number in range(6))
COHORT_NAMES = {"cohorts/7": "VIP", "cohorts/8": "VIP", "cohorts/9": "New", "both/7": "Both"}
"""By entry and id. Two of them write the same value."""
ATTRIBUTES = ("plan", "city", "visits")
SCOPES = ("default", "cohorts")
GRACE_SECONDS = 48 * 3_600.0
"""Longer than a plan takes: nothing is purged, so all that was accepted must come to Braze."""
BASE_URL = "http://braze.test"
NO_EMAIL = "nobody"
"""Braze refuses it, so the letter of it stays."""

_KEYS = ["x" * 16]
_COHORTS: dict[str, Any] = {"kind": "mixpanel_cohorts", "auth": {"passwords": _KEYS}, "create_users": True}
_OPTIONS, _COHORT_API = BrazeOptions(), CohortApi()
SETTINGS = BrazeSettings.model_validate(
    {
        "base_url": BASE_URL,
        "rest_key": _OPTIONS.rest_keys[0].key,
        "cohort_api": {
            "partner_api_key": _COHORT_API.partner_api_key,
            "data_import_key": _COHORT_API.data_import_key,
        },
        "receive": {
            "cohorts": _COHORTS,
            "both": {**_COHORTS, "as": "both", "attribute": "Both"},
            "data": {"kind": "mparticle_events", "keys": _KEYS},
        },
    }
)
PARKING = SETTINGS.model_copy(update={"in_doubt": "park"})
"""The same, but events whose answer is lost become letters."""

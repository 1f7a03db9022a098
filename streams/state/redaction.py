"""Hides personal data: every value, except those of a short list of harmless fields."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

MASK = "…"
SECRET = "(secret)"  # noqa: S105 - stands where one was
HARMLESS = frozenset(
    {
        # Currents: what happened, when, by which campaign. Never who, where, or what a customer wrote.
        "id",
        "time",
        "time_ms",
        "platform",
        "app_id",
        "app_group_id",
        "campaign_id",
        "campaign_name",
        "message_variation_id",
        "message_variation_name",
        "canvas_id",
        "canvas_name",
        "canvas_step_id",
        "canvas_step_name",
        "canvas_variation_id",
        "canvas_variation_name",
        "message_extras_name",
        "dispatch_id",
        "send_id",
        "sdk_version",
        # names that destinations use
        "event",
        "$insert_id",
        "$partner_id",
        "event_type",
        "event_name",
        "custom_event_type",
        "environment",
        "source_message_id",
        "source_request_id",
        "timestamp_unixtime_ms",
        "schema_version",
    }
)
SECRETS = frozenset({"token"})
"""Fields of payloads that hold credentials. They are never shown, not even with `--show-payload`."""


def masked(value: Any, *, shows_all: bool, name: str = "") -> Any:
    """The value as it may be printed. Keys, nulls and the shape stay. With `shows_all` only secrets are hidden."""
    if name in SECRETS:
        return SECRET
    match value:
        case Mapping():
            return {key: masked(item, shows_all=shows_all, name=str(key)) for key, item in value.items()}
        case list() | tuple():
            return [masked(item, shows_all=shows_all, name=name) for item in value]
        case None:
            return None
        case _ if not shows_all and name not in HARMLESS:
            return MASK
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value


def masked_text(value: bytes | None, *, shows_all: bool) -> str | None:
    """A key or a header's value: as text if it is text, else base64."""
    if value is None:
        return None
    if not shows_all:
        return MASK
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()

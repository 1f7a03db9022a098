"""A destination outside of streams: newline-delimited JSON, a token for client credentials, errors by line."""

from __future__ import annotations

from newline_destination.destination import NewlineDestination
from newline_destination.mapping import EVENTS
from newline_destination.settings import NewlineSettings

from streams.destinations import DestinationKind
from streams.values import Secret


def _example() -> NewlineSettings:
    return NewlineSettings(
        base_url="https://events.example", client_id="an-example", client_secret=Secret("an-example-secret")
    )


NEWLINE = DestinationKind("newline", NewlineSettings, NewlineDestination, EVENTS, _example)

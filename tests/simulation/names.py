"""Names and numbers of the simulated world."""

from __future__ import annotations

from collections.abc import Iterable

from streams.state.records import CREDENTIALS as CREDENTIALS_LETTERS
from streams.state.records import REJECTED as REJECTED_LETTERS

CONNECTOR = "growth"
OPEN = "users.messages.pushnotification.Open"
NOT_SELECTED = "users.messages.email.Click"
NO_MAPPING = "users.canvas.experimentstep.SplitEntry"
MAPPED = frozenset({OPEN, NOT_SELECTED})
SOURCE = "currents.events"
TOPIC = f"streams.connector.{CONNECTOR}"
REJECTED = f"streams.dead-letter.{CONNECTOR}.rejected"
CREDENTIALS = f"streams.dead-letter.{CONNECTOR}.credentials."
SOURCE_LETTERS = "streams.dead-letter.source"
STATE, AUDIT, FORGOTTEN = "streams.state", "streams.audit", "streams.forgotten"
ROUTERS, SINKS = "streams.router", f"streams.sink.{CONNECTOR}"

PROCESSES = ("router-0", "router-1", "sink-0", "sink-1")
PARTITIONS = 2
"""Of the Currents topic, the connector's and each of its dead letters."""
USERS = 4
GRACE_SECONDS = 600.0
CLOCKS_SECONDS = 15.0
"""Clocks that are right differ from the world's by so much at most, and from each other by 30 s."""
KEEPER_SECONDS_MAX = 120.0
"""A keeper whose clock differs more purges nothing."""
LARGE_BYTES = 20_000
"""What `large` records have more than others,"""
LIMIT_BYTES = 10_000
"""and what a topic takes while it is limited."""


def letter_topics(scopes: Iterable[str]) -> dict[str, str]:
    """The connector's topics of dead letters, by the name of the letters."""
    credentials = {CREDENTIALS_LETTERS + scope: CREDENTIALS + scope for scope in scopes}
    return {REJECTED_LETTERS: REJECTED} | credentials

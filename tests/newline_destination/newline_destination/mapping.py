"""Which events the server takes, and its name for each."""

from __future__ import annotations

from streams.destinations.table import MappedEvent

EVENTS = {
    "users.messages.email.Open": MappedEvent("users.messages.email.Open", "open"),
    "users.messages.email.Click": MappedEvent("users.messages.email.Click", "click"),
}

"""Alerts to people."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Sends alerts. Never raises."""

    def notify(self, title: str, text: str) -> bool:
        """Whether every configured channel took it, now or before. A channel that took a message does not get it again.

        May take some seconds."""
        ...

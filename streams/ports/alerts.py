"""How people are told."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Tells people. Never raises."""

    def notify(self, title: str, text: str) -> bool:
        """Whether every configured channel took it. May take some seconds."""
        ...

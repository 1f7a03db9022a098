"""`streams ingest`"""

from __future__ import annotations


def ingest() -> None:
    """Currents files onto Currents topics."""

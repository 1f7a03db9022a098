"""Avro container files as exports hold them, made by these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastavro

OPEN_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "dataexport.S3.inner.users.messages.email.Open",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "user_id", "type": ["null", "string"], "default": None},
        {"name": "external_user_id", "type": ["null", "string"], "default": None},
        {"name": "time", "type": "int"},
        {"name": "subject_of_tests", "type": ["null", "string"], "default": None},
    ],
}
"""A writer's schema that no release of ours holds."""


def opens(count: int, prefix: str = "event", began: int = 1_700_000_000) -> list[dict[str, Any]]:
    """Records of `OPEN_SCHEMA`, told apart by their ids; the first is of the second `began`."""
    return [
        {
            "id": f"{prefix}-{number}",
            "user_id": f"user-{number % 7}",
            "external_user_id": f"person-{number % 5}",
            "time": began + number,
            "subject_of_tests": "ä" * (number % 50),
        }
        for number in range(count)
    ]


def write_avro(
    path: Path,
    records: list[dict[str, Any]],
    schema: dict[str, Any] = OPEN_SCHEMA,
    *,
    codec: str = "deflate",
    sync_interval: int = 4_000,
) -> Path:
    """One file with several blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, schema, records, codec=codec, sync_interval=sync_interval, sync_marker=b"s" * 16)
    return path

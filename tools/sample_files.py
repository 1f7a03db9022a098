"""Writes `compose/currents.zip`: made-up Currents events in Avro files, as an export of Braze's would hold them.

    python tools/sample_files.py            writes it
    python tools/sample_files.py --check    changes nothing; exits with 1 where it is not current

The events are the samples that `streams demo` sends, drawn from a seed. Their time is long over: ingest them with
`--restamp`.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import fastavro

from streams.events.samples import sample_events
from streams.events.schemas import shipped

PLACE = Path(__file__).resolve().parents[1] / "compose" / "currents.zip"
EVENTS = 3_000
SEED = 1
TIME = 1_767_225_600
"""The first second of 2026."""
ANONYMOUS_SHARE = 0.03
DAY = "2026-01-01-00"


def files() -> dict[str, bytes]:
    """One Avro file for each event type, by its path."""
    records: dict[str, list[dict[str, object]]] = {}
    for event in sample_events(EVENTS, seed=SEED, now_s=TIME, anonymous_share=ANONYMOUS_SHARE):
        records.setdefault(event.event_type, []).append(dict(event.record))
    found = {}
    for event_type, of_type in sorted(records.items()):
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        content = io.BytesIO()
        # A fixed marker, so that the same events make the same bytes.
        fastavro.writer(content, schema.definition, of_type, codec="null", sync_marker=b"currents-samples")
        found[f"dataexport/event_type={event_type}/date={DAY}/part-0.avro"] = content.getvalue()
    return found


def write() -> None:
    """The archive, without times of its own."""
    with zipfile.ZipFile(PLACE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in files().items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)


def is_current() -> bool:
    """Whether the archive holds these files. Its compressed bytes depend on the library, so those are not compared."""
    if not PLACE.exists():
        return False
    with zipfile.ZipFile(PLACE) as archive:
        return {name: archive.read(name) for name in archive.namelist()} == files()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where it is not current")
    if parser.parse_args().check:
        sys.exit(None if is_current() else "run: python tools/sample_files.py")
    write()

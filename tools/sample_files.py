"""Writes `compose/currents.zip`, and `compose/exports/currents.zip` for the folder inlet: made-up Currents events.

They are in Avro files, as an export of Braze's would hold them.

    python tools/sample_files.py            writes them
    python tools/sample_files.py --check    changes nothing; exits with 1 where one is not current

The events are the samples that `streams demo` sends, drawn from a seed. Their time is long over: ingest the first with
`--restamp`. An inlet takes files as they are.
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

FOLDER = Path(__file__).resolve().parents[1] / "compose"
ARCHIVES = {"currents.zip": (3_000, 1), "exports/currents.zip": (600, 2)}
"""How many events each holds, and the seed that they are drawn from: an inlet would know the same files again."""
TIME = 1_767_225_600
"""The first second of 2026."""
ANONYMOUS_SHARE = 0.03
DAY = "2026-01-01-00"


def files(events: int, seed: int) -> dict[str, bytes]:
    """One Avro file for each event type, by its path."""
    records: dict[str, list[dict[str, object]]] = {}
    for event in sample_events(events, seed=seed, now_s=TIME, anonymous_share=ANONYMOUS_SHARE):
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
    """The archives, without times of their own."""
    for name, drawn in ARCHIVES.items():
        if not is_current(name):
            (FOLDER / name).parent.mkdir(exist_ok=True)
            with zipfile.ZipFile(FOLDER / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for path, content in files(*drawn).items():
                    archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)


def is_current(name: str) -> bool:
    """Whether the archive holds these files. Its compressed bytes depend on the library, so those are not compared."""
    if not (FOLDER / name).exists():
        return False
    with zipfile.ZipFile(FOLDER / name) as archive:
        return {path: archive.read(path) for path in archive.namelist()} == files(*ARCHIVES[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where one is not current")
    if parser.parse_args().check:
        sys.exit(None if all(map(is_current, ARCHIVES)) else "run: python tools/sample_files.py")
    write()

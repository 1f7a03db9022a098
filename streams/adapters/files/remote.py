"""Currents files under a URL of an object store, each downloaded while it is looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from streams.adapters.files.currents import Export, NoSuchFile, exports
from streams.inlets.layout import is_file
from streams.ports.errors import ObjectChanged, ObjectVanished
from streams.ports.objects import ObjectStore
from streams.workers.ingest import Broken

URL = re.compile(r"(s3|gs|az)://")
FOLDER = "file://"


def is_url(path: str) -> bool:
    """Whether a path of the command line names an object store."""
    return URL.match(path) is not None


def remote_exports(url: str, store: ObjectStore) -> Iterator[Export | Broken]:
    """Every Avro file below a URL. One is on this machine at a time, until the next one is asked for.

    Raises `NoSuchFile` where there is none, and `StoreUnavailable`.
    """
    is_empty = True
    for page in store.pages(""):
        for one in page:
            if not is_file(one.key):
                continue
            is_empty = False
            name = f"{url.rstrip('/')}/{one.key}"
            with NamedTemporaryFile(prefix="ingest-") as spool:
                try:
                    for chunk in store.read(one):
                        spool.write(chunk)
                except (ObjectVanished, ObjectChanged) as error:
                    yield Broken(name, str(error))
                    continue
                spool.flush()
                yield from exports(Path(spool.name), name)
    if is_empty:
        raise NoSuchFile(f"no Avro, gzip or zip files in {url}")

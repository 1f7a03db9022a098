"""Files with Currents events: found by path, folder or glob, opened through gzip and zip, read record by record."""

from __future__ import annotations

import glob
import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isal import igzip

from streams.events.encodings import ContainerError, read_container
from streams.workers.ingest import UnreadableFile

SUFFIXES = (".avro", ".gz", ".zip")
"""What is taken from a folder; a file that is named is taken whatever it is called."""
HASH_BYTES = 1 << 20
ARCHIVE_DEPTH_MAX = 3
"""A gzip in a zip is an export; more layers are a bomb or a mistake."""

_AVRO, _GZIP, _ZIP = b"Obj\x01", b"\x1f\x8b", b"PK\x03\x04"
_DAMAGE = (
    ContainerError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    zipfile.BadZipFile,
    RuntimeError,  # an encrypted or strangely compressed zip
)
"""What reading and unpacking raise on bytes that are not what they should be."""


class NoSuchFile(Exception):
    """A path or glob on the command line that names nothing, or something that is no file."""


Open = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Export:
    """One Avro container file, perhaps inside gzip or zip. `name` tells people where it lies."""

    name: str
    path: Path
    size_bytes: int
    """Its share of the bytes on disk, for progress."""
    open: Open

    @property
    def path_event_type(self) -> str | None:
        """The event type in a path of Braze's exports: `…/event_type=<type>/date=…/…`."""
        found = re.search(r"event_type=([^/!]+)", self.name)
        return None if found is None else found[1]

    def identity(self) -> str:
        """SHA-256 of the Avro file's bytes, so that a copy, moved or compressed, is the same file."""
        digest = hashlib.sha256()
        with _readable(), self.open() as file:
            while chunk := file.read(HASH_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def schema(self) -> dict[str, Any]:
        """The writer's schema, as the file holds it."""
        with _readable(), self.open() as file:
            definition, _ = read_container(file)
            return definition

    def datums(self) -> Iterator[bytes]:
        """Records in the file's order, as their bytes stand."""
        number = 1
        try:
            with self.open() as file:
                _, datums = read_container(file)
                for datum in datums:
                    yield datum
                    number += 1
        except _DAMAGE as error:
            raise UnreadableFile(number, _reason(error)) from None


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UnreadableFile(None, _reason(error)) from None


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that cannot even be opened."""

    name: str
    reason: str


def find(paths: Iterable[str]) -> list[Path]:
    """Files of these paths, folders and globs, each once, in a stable order. Raises `NoSuchFile`."""
    found: dict[Path, None] = {}
    for text in paths:
        if re.match(r"[a-z][a-z0-9]+://", text):
            raise NoSuchFile(f"{text}: only local files can be read; copy them here first")
        path = Path(text)
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_wanted(file, path)]
        elif path.is_file():
            files = [path]
        else:
            matches = (Path(match) for match in sorted(glob.glob(text, recursive=True)))  # noqa: PTH207 - absolute too
            files = [match for match in matches if match.is_file()]
            if not files:
                raise NoSuchFile(f"{text}: there is no such file, folder or glob with a match")
        found.update(dict.fromkeys(file.resolve() for file in files))
    return list(found)


def exports(path: Path) -> Iterator[Export | Broken]:
    """Every Avro container file in this file, known by its first bytes, whatever its name."""
    try:
        size_bytes = path.stat().st_size
        yield from _unpacked(str(path), path, size_bytes, partial(path.open, "rb"), ARCHIVE_DEPTH_MAX)
    except _DAMAGE as error:
        yield Broken(str(path), _reason(error))


def _unpacked(name: str, path: Path, size_bytes: int, opening: Open, depth: int) -> Iterator[Export | Broken]:
    with opening() as file:
        magic = file.read(4)
    if magic == _AVRO:
        yield Export(name, path, size_bytes, opening)
    elif depth == 0:
        yield Broken(name, "is packed too deeply")
    elif magic[:2] == _GZIP:
        yield from _unpacked(name, path, size_bytes, partial(_gunzipped, opening), depth - 1)
    elif magic == _ZIP:
        with opening() as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.is_dir() and member.filename.endswith(SUFFIXES):
                    inner = f"{name}!{member.filename}"
                    yield from _unpacked(inner, path, member.compress_size, partial(archive.open, member), depth - 1)
    else:
        yield Broken(name, "is no Avro container file, gzip or zip" if magic else "is empty")


@contextmanager
def _gunzipped(opening: Open) -> Iterator[Any]:
    with opening() as file, closing(igzip.GzipFile(fileobj=file)) as unpacked:  # type: ignore[no-untyped-call]
        yield unpacked


def _is_wanted(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    return not hidden and file.name.endswith(SUFFIXES)


def _reason(error: BaseException) -> str:
    """Damage in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

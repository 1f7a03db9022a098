"""Files with Currents events: found by path, folder or glob, opened through gzip and zip, read record by record."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from isal import igzip

from streams.events.encodings import ContainerError, Datum, read_container
from streams.workers.ingest import Broken, UnreadableFile

SUFFIXES = (".avro", ".gz", ".zip")
"""What is opened of a folder or an archive, in addition to files that start like Avro container files."""
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
        """The event type in a path of Braze's exports: `…/event_type=<type>/date=…/…`, by slashes of either kind."""
        found = re.search(r"event_type=([^/\\!]+)", self.name)
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

    def datums(self) -> Iterator[Datum]:
        """Records in the file's order, as their bytes stand and decoded."""
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


@dataclass(slots=True)
class Found:
    """What paths lead to: `files` to open, each once; what is `broken`; `passed_over`, which holds no events by its
    name and its first bytes."""

    files: list[Path] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def find(paths: Iterable[str]) -> Found:
    """Files of these paths, folders and globs, in a stable order. Raises `NoSuchFile`.

    Links are followed, to folders too; what several ways lead to is taken once, by the first.
    """
    found, seen = Found(), set[Path]()
    for text in paths:
        for path in _named(text):
            if _is(path, path.is_dir, found):
                _walk(path, found, seen)
            elif (real := path.resolve()) not in seen:
                seen.add(real)
                found.files.append(path)
    return found


def _named(text: str) -> list[Path]:
    if re.match(r"[a-z][a-z0-9]+://", text):
        raise NoSuchFile(f"{text}: this kind of address is not read; use s3://, gs://, az:// or file://")
    path = Path(text)
    if os.path.lexists(path):
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute too
    if not matches:
        raise NoSuchFile(f"{text}: there is no such file, folder or glob with a match")
    return matches


def _walk(folder: Path, found: Found, seen: set[Path]) -> None:
    """Everything below a folder, but what is hidden or begins with `_`. A folder is entered once: links may go
    round."""
    pending, files = [folder], []
    while pending:
        folder = pending.pop()
        if (real := folder.resolve()) in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            found.broken.append(Broken(str(folder), _reason(error)))
            continue
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if _is(entry, entry.is_dir, found):
                pending.append(entry)
            else:
                files.append(entry)
    for file in sorted(files):
        _sort_out(file, found, seen)


def _sort_out(file: Path, found: Found, seen: set[Path]) -> None:
    real = file.resolve()
    if real in seen:
        return
    seen.add(real)
    if not file.exists():
        found.broken.append(Broken(str(file), "is a link that leads nowhere"))
    elif not file.is_file():
        found.passed_over.append(str(file))
    elif file.name.endswith(SUFFIXES) or _begins_as_avro(partial(file.open, "rb")):
        found.files.append(file)
    else:
        found.passed_over.append(str(file))


def _is(path: Path, question: Callable[[], bool], found: Found) -> bool:
    try:
        return question()
    except OSError as error:
        found.broken.append(Broken(str(path), _reason(error)))
        return False


def _begins_as_avro(opening: Open) -> bool:
    try:
        with opening() as file:
            return bool(file.read(len(_AVRO)) == _AVRO)
    except _DAMAGE:
        return False


def exports(path: Path, name: str = "") -> Iterator[Export | Broken]:
    """Every Avro container file in this file, known by its first bytes, whatever its name.

    `name` is what people call it, where that is not its path.
    """
    told = name or str(path)
    try:
        size_bytes = path.stat().st_size
        yield from _unpacked(told, path, size_bytes, partial(path.open, "rb"), ARCHIVE_DEPTH_MAX)
    except _DAMAGE as error:
        yield Broken(told, _reason(error))


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
                yield from _member(name, path, archive, member, depth - 1)
    else:
        yield Broken(name, "is not an Avro container file, gzip or zip" if magic else "is empty")


def _member(
    name: str, path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, depth: int
) -> Iterator[Export | Broken]:
    """A file of an archive, by the rules of a folder. One that cannot be opened costs nothing but itself."""
    # Archives made on Windows may have backslashes; those of macOS have a folder `__MACOSX` of its own.
    inner = member.filename.replace("\\", "/")
    if member.is_dir() or inner.endswith("/") or any(part.startswith((".", "_")) for part in inner.split("/")):
        return
    opening = partial(archive.open, member)
    if not (inner.endswith(SUFFIXES) or _begins_as_avro(opening)):
        return
    try:
        yield from _unpacked(f"{name}!{inner}", path, member.compress_size, opening, depth)
    except _DAMAGE as error:
        yield Broken(f"{name}!{inner}", _reason(error))


@contextmanager
def _gunzipped(opening: Open) -> Iterator[Any]:
    with opening() as file, closing(igzip.GzipFile(fileobj=file)) as unpacked:  # type: ignore[no-untyped-call]
        yield unpacked


def _reason(error: BaseException) -> str:
    """Damage in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, RuntimeError) and "encrypted" in str(error):
        return "is encrypted"  # zipfile says so with the file's name
    return str(error) or type(error).__name__

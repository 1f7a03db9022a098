"""Files of exported dead letters: written whole or not at all, read line by line, in gzip where the name says so."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from isal import igzip
from isal.igzip_lib import IsalError

from streams.state.letter_file import LINE_BYTES_MAX, ExportError

GZIP_SUFFIX = ".gz"


class FileProblem(Exception):
    """The file cannot be written or read; the text says why."""


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name once everything is in it and on the disk. Raises `FileProblem`."""
    if path.exists():
        raise FileProblem(f"{path} exists already: choose another name")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "xb", opener=_for_the_owner) as raw:
            with _compressed(raw) if path.name.endswith(GZIP_SUFFIX) else _plain(raw) as file:
                yield file
            raw.flush()
            os.fsync(raw.fileno())
        partial.rename(path)
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends. Raises `FileProblem`, and `ExportError` where it is not sound gzip."""
    number = 0
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = _gzip(raw, "rb") if is_gzip else raw
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                yield line
    except (EOFError, zlib.error, igzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]  # a value in its stub
        raise ExportError(number + 1, f"the gzip file is not complete, or damaged ({type(error).__name__})") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror or error}") from error


def _for_the_owner(path: str, flags: int) -> int:
    """Letters hold personal data: nobody else reads them."""
    return os.open(path, flags, 0o600)


@contextmanager
def _plain(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    yield raw


@contextmanager
def _compressed(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    with _gzip(raw, "wb") as file:
        yield file


def _gzip(raw: IO[bytes], mode: str) -> IO[bytes]:
    """Without name and time, so that the same letters make the same bytes."""
    return cast(IO[bytes], igzip.IGzipFile(filename="", fileobj=raw, mode=mode, mtime=0))  # type: ignore[no-untyped-call]

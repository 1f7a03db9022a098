"""The file format of exported dead letters: one line per letter, nothing lost, and a check that the file is complete.

| line | holds |
|---|---|
| first | `{"format":"streams-dead-letters","v":1,"connector":…}` |
| each letter | `{"letters":…,"partition":n,"offset":n,"written":ms,"key":…,"value":…,"headers":[[name,value],…]}` |
| last | `{"count":n,"sha256":…}`: how many letters, and the SHA-256 of every line before, line ends included |

Keys, values and header values are base64, or null if there is none. Headers keep their order and their duplicates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

FORMAT = "streams-dead-letters"
VERSION = 1
LINE_BYTES_MAX = 8_000_000
"""A record of 2 MB is 2.7 MB of base64, and has headers. A longer line was not written by an export."""

Headers = tuple[tuple[str, bytes | None], ...]


class ExportError(ValueError):
    """The file is not complete, or was changed. `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


@dataclass(frozen=True, slots=True)
class ExportedLetter:
    """A dead letter as it was on the topic. `letters` is `rejected` or `credentials.<scope>`; `written_ms` is when it
    was written."""

    letters: str
    partition: int
    offset: int
    written_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class ExportWriter:
    """Makes the lines of a file, and computes its count and digest."""

    def __init__(self, connector: str) -> None:
        self._connector = connector
        self._digest = hashlib.sha256()
        self.count = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of all lines so far. Before `last` is called, it identifies the file."""
        return self._digest.hexdigest()

    def first(self) -> bytes:
        return self._line({"format": FORMAT, "v": VERSION, "connector": self._connector})

    def letter(self, letter: ExportedLetter) -> bytes:
        self.count += 1
        return self._line(
            {
                "letters": letter.letters,
                "partition": letter.partition,
                "offset": letter.offset,
                "written": letter.written_ms,
                "key": _encoded(letter.key),
                "value": _encoded(letter.value),
                "headers": [[name, _encoded(value)] for name, value in letter.headers],
            }
        )

    def last(self) -> bytes:
        return orjson.dumps({"count": self.count, "sha256": self.sha256}) + b"\n"

    def _line(self, content: dict[str, Any]) -> bytes:
        line = orjson.dumps(content) + b"\n"
        self._digest.update(line)
        return line


class ExportReader:
    """Reads the lines of a file. `connector` is known after the first line, `sha256` after the last."""

    def __init__(self) -> None:
        self.connector = ""
        self.sha256 = ""
        self.count = 0

    def read(self, lines: Iterable[bytes]) -> Iterator[ExportedLetter]:
        """The letters. Raises `ExportError` if the file was changed, at its end at the latest."""
        digest = hashlib.sha256()
        number = 0
        is_over = False
        for number, line in enumerate(lines, 1):
            if is_over:
                raise ExportError(number, "something stands after the last line")
            content = _content(number, line)
            if number == 1:
                self.connector = _connector(content)
            elif "sha256" in content:
                self._check(number, content, digest.hexdigest())
                is_over = True
                continue
            else:
                self.count += 1
                yield _letter(number, content)
            digest.update(line)
        if not is_over:
            raise ExportError(number + 1, "the file is not complete: its last line, with count and sha256, is missing")

    def _check(self, number: int, content: dict[str, Any], digest: str) -> None:
        if content.get("count") != self.count:
            raise ExportError(
                number, f"it says that there are {content.get('count')} letters, and there are {self.count}"
            )
        if content["sha256"] != digest:
            raise ExportError(number, "the file was changed after it was written: its sha256 does not match")
        self.sha256 = digest


def _content(number: int, line: bytes) -> dict[str, Any]:
    if len(line) > LINE_BYTES_MAX:
        raise ExportError(number, f"is longer than {LINE_BYTES_MAX:,} bytes: no letter is")
    if not line.endswith(b"\n"):
        raise ExportError(number, "the file ends within this line")
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise ExportError(number, "is not a JSON object")
    return content


def _connector(content: dict[str, Any]) -> str:
    connector = content.get("connector")
    if content.get("format") != FORMAT or not isinstance(connector, str):
        raise ExportError(1, "does not begin a file of `streams dlq export`")
    if content.get("v") != VERSION:
        raise ExportError(1, f"is of version {content.get('v')}, this program reads version {VERSION}")
    return connector


def _letter(number: int, content: dict[str, Any]) -> ExportedLetter:
    try:
        return ExportedLetter(
            letters=_text(content["letters"]),
            partition=_count(content["partition"]),
            offset=_count(content["offset"]),
            written_ms=_count(content["written"]),
            key=_decoded(content["key"]),
            value=_decoded(content["value"]),
            headers=tuple((_text(name), _decoded(value)) for name, value in content["headers"]),
        )
    except (KeyError, TypeError, ValueError):
        raise ExportError(number, "is not a letter as `streams dlq export` writes it") from None


def _encoded(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _decoded(text: Any) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("is not text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("is not a whole number")
    return value


LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""Names a further import of the same file."""

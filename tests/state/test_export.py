"""Exported letters come back byte for byte, or not at all."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.letter_file import LINE_BYTES_MAX, ExportedLetter, ExportError, ExportReader, ExportWriter

maybe_bytes = st.none() | st.binary(max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
letters = st.builds(
    ExportedLetter,
    letters=st.sampled_from(["rejected", "credentials.ios"]),
    partition=st.integers(0, 9),
    offset=st.integers(0, 2**62),
    written_ms=st.integers(-1, 2**62),
    key=maybe_bytes,
    value=maybe_bytes,
    headers=st.lists(st.tuples(names, maybe_bytes), max_size=5).map(tuple),
)


def lines(content: list[ExportedLetter]) -> list[bytes]:
    writer = ExportWriter("growth")
    return [writer.first(), *(writer.letter(one) for one in content), writer.last()]


def read(content: list[bytes]) -> list[ExportedLetter]:
    return list(ExportReader().read(content))


LETTER = ExportedLetter("rejected", 1, 17, 5, b"ada", b"\x00\xff", (("a", b"1"), ("a", None), ("b", b"")))
FILE = lines([LETTER, LETTER, LETTER])


@given(st.lists(letters, max_size=6))
def test_letters_come_back_as_they_were(content: list[ExportedLetter]) -> None:
    reader = ExportReader()
    assert list(reader.read(lines(content))) == content
    assert (reader.connector, reader.count, len(reader.sha256)) == ("growth", len(content), 64)


@given(st.data())
def test_whatever_byte_was_changed_the_file_is_refused(data: st.DataObject) -> None:
    whole = b"".join(FILE)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    edited = whole[:place] + bytes([byte]) + whole[place + 1 :]
    with pytest.raises(ExportError):
        read(BytesIO(edited).readlines())


@given(st.integers(0, len(b"".join(FILE)) - 1))
def test_a_file_that_was_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ExportError):
        read(BytesIO(b"".join(FILE)[:length]).readlines())


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ([], 1, "not complete"),
        (FILE[:-1], 5, "last line, with count and sha256, is missing"),
        ([FILE[0], FILE[1], FILE[1][:20]], 3, "ends within this line"),
        ([FILE[0], FILE[1], FILE[4]], 3, "there are 3 letters, and there are 1"),
        ([FILE[0], FILE[1].replace(b'"partition":1', b'"partition":2'), *FILE[2:]], 5, "changed"),
        ([*FILE, FILE[1]], 6, "after the last line"),
        ([b'{"format":"other"}\n'], 1, "does not begin"),
        ([FILE[0].replace(b'"v":1', b'"v":9')], 1, "version 9"),
        ([FILE[0], b"no JSON\n"], 2, "not a JSON object"),
        ([FILE[0], b"{}\n"], 2, "not a letter"),
        ([FILE[0], FILE[1].replace(b"YWRh", b"Y!Rh")], 2, "not a letter"),
        ([FILE[0], b"x" * (LINE_BYTES_MAX + 1)], 2, "longer than"),
    ],
)
def test_the_line_and_the_reason_are_named(content: list[bytes], line: int, reason: str) -> None:
    with pytest.raises(ExportError, match=reason) as caught:
        read(content)
    assert caught.value.line == line


def test_the_same_letters_make_the_same_file() -> None:
    assert lines([LETTER]) == lines([LETTER])

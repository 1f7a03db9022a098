"""Values with and without a header, and container files, whole and damaged."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.events.encodings import (
    CONFLUENT_HEADER_BYTES,
    SINGLE_OBJECT_HEADER_BYTES,
    ContainerError,
    confluent_header,
    encode_bare,
    encode_confluent,
    encode_single_object,
    read_container,
    single_object_header,
)
from streams.events.schemas import writer_schema

REAL_FILES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "currents-v10"

SCHEMA = writer_schema(
    {
        "type": "record",
        "name": "Seen",
        "namespace": "dataexport.S3.inner.users.behaviors",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "time", "type": "int"},
            {"name": "tags", "type": ["null", {"type": "array", "items": "string"}], "default": None},
        ],
    }
)
RECORD = {"id": "ab", "time": 1, "tags": ["c"]}
DATUM = bytes.fromhex("04 6162 02 02 02 02 63 00")
"""By the Avro specification: length 2 and ab; 1; branch 1, one item of length 1, c, end of the array."""


def container(records: list[dict[str, Any]], codec: str = "null", sync_interval: int = 200) -> bytes:
    stream = BytesIO()
    fastavro.writer(stream, SCHEMA.definition, records, codec=codec, sync_interval=sync_interval)
    return stream.getvalue()


def read_until_damage(content: bytes) -> tuple[list[bytes], str | None]:
    datums: list[bytes] = []
    try:
        _, given_datums = read_container(BytesIO(content))
        datums.extend(content for content, _ in given_datums)
    except ContainerError as error:
        return datums, str(error)
    return datums, None


RECORDS = [{"id": f"event-{number:04}", "time": number, "tags": None} for number in range(100)]
DATUMS = [encode_bare(SCHEMA, record) for record in RECORDS]


def test_a_single_object_value_is_mark_fingerprint_and_datum() -> None:
    value = encode_single_object(SCHEMA, RECORD)
    assert value == b"\xc3\x01" + SCHEMA.fingerprint + DATUM
    assert value[:SINGLE_OBJECT_HEADER_BYTES] == single_object_header(SCHEMA)


def test_a_confluent_value_is_a_zero_the_id_big_endian_and_the_datum() -> None:
    value = encode_confluent(258, SCHEMA, RECORD)
    assert value == b"\x00\x00\x00\x01\x02" + DATUM
    assert value[:CONFLUENT_HEADER_BYTES] == confluent_header(258)


def test_a_bare_value_is_the_datum() -> None:
    assert encode_bare(SCHEMA, RECORD) == DATUM


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"id": "secret@example.com", "time": "now"},
        {"id": 7, "time": 1},
        {"id": "x", "time": 1, "tags": 3},
        {"id": "x", "time": None},
    ],
)
def test_a_record_that_does_not_fit_is_refused_without_showing_it(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"does not fit the schema of users\.behaviors\.Seen") as raised:
        encode_single_object(SCHEMA, record)
    assert "secret" not in str(raised.value)


@given(st.text(), st.integers(-(2**31), 2**31 - 1), st.none() | st.lists(st.text(), max_size=4))
def test_what_is_encoded_is_read_back(event_id: str, time_s: int, tags: list[str] | None) -> None:
    record = {"id": event_id, "time": time_s, "tags": tags}
    stream = BytesIO(encode_single_object(SCHEMA, record))
    stream.seek(10)
    assert fastavro.schemaless_reader(stream, SCHEMA.definition, None) == record
    assert stream.read() == b""


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_a_container_gives_its_schema_and_each_datum(codec: str) -> None:
    definition, datums = read_container(BytesIO(container(RECORDS, codec)))
    assert [content for content, _ in datums] == DATUMS
    assert writer_schema(definition).fingerprint == SCHEMA.fingerprint


def test_a_container_without_records_gives_none() -> None:
    assert read_until_damage(container([])) == ([], None)


def test_datums_are_given_as_the_file_holds_them_even_where_we_would_write_them_otherwise() -> None:
    """An array may be written in blocks with their size in bytes (a negative count); fastavro writes none."""
    unusual = bytes.fromhex("04 6162 02 02 01 04 02 63 00")
    whole = container([RECORD])
    block = b"\x02" + bytes([2 * len(DATUM)]) + DATUM
    assert whole.count(block) == 1
    rewritten = whole.replace(block, b"\x02" + bytes([2 * len(unusual)]) + unusual)
    assert read_until_damage(rewritten) == ([unusual], None)


def test_a_moment_that_no_calendar_holds_is_given_as_it_was_written() -> None:
    definition = {
        "type": "record",
        "name": "Seen",
        "fields": [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}],
    }
    stream = BytesIO()
    fastavro.writer(stream, definition, [{"at": 2**62}])
    datums, problem = read_until_damage(stream.getvalue())
    assert problem is None
    assert datums == [bytes.fromhex("80 80 80 80 80 80 80 80 80 01")]


@pytest.mark.skipif(not REAL_FILES.is_dir(), reason="needs the real Currents files, which are not ours to ship")
def test_datums_of_real_files_are_what_fastavro_would_write() -> None:
    for path in sorted(REAL_FILES.glob("*.avro")):
        content = path.read_bytes()
        definition, datums = read_container(BytesIO(content))
        (record,) = fastavro.reader(BytesIO(content))
        written = BytesIO()
        fastavro.schemaless_writer(written, definition, record)
        assert list(datums) == [(written.getvalue(), record)], path.name


@pytest.mark.parametrize("content", [b"", b"Obj\x01", b"PK\x03\x04" + bytes(60), b'{"id": "x"}\n' * 20])
def test_what_is_no_container_file_is_said_so(content: bytes) -> None:
    with pytest.raises(ContainerError, match="not a readable Avro container file"):
        read_container(BytesIO(content))


def test_a_container_of_something_else_than_records_is_said_so() -> None:
    stream = BytesIO()
    fastavro.writer(stream, "string", ["a"])
    with pytest.raises(ContainerError, match="not a readable Avro container file"):
        read_container(BytesIO(stream.getvalue()))


@pytest.mark.parametrize(
    ("codec", "sync_interval"),
    [("null", 200), ("deflate", 200), ("null", 100_000)],
    ids=["blocks", "compressed blocks", "one block, whose count of records takes two bytes"],
)
def test_a_file_cut_anywhere_gives_what_came_before_and_says_where_it_ends(codec: str, sync_interval: int) -> None:
    content = container(RECORDS, codec, sync_interval)
    marker = content[-16:]
    header_bytes = content.index(marker) + 16
    ends = [position + 16 for position in range(header_bytes, len(content)) if content.startswith(marker, position)]
    for length in range(header_bytes + 1, len(content)):
        datums, problem = read_until_damage(content[:length])
        assert datums == DATUMS[: len(datums)]
        if length in ends:
            assert problem is None
        else:
            last_end = max(end for end in (header_bytes, *ends) if end <= length)
            assert problem is not None
            assert f"at byte {last_end}" in problem


@pytest.mark.parametrize("seed", range(300))
def test_damaged_bytes_raise_nothing_but_a_container_error(seed: int) -> None:
    random = Random(seed)
    content = bytearray(container(RECORDS, random.choice(("null", "deflate"))))
    for _ in range(random.randint(1, 4)):
        content[random.randrange(len(content))] = random.randrange(256)
    datums, _ = read_until_damage(bytes(content))
    assert len(datums) <= len(DATUMS)


def test_bytes_left_over_in_a_block_are_damage() -> None:
    whole = container([RECORD])
    block = b"\x02" + bytes([2 * len(DATUM)]) + DATUM
    longer = whole.replace(block, b"\x02" + bytes([2 * len(DATUM) + 2]) + DATUM + b"\x00")
    datums, problem = read_until_damage(longer)
    assert datums == [DATUM]
    assert problem is not None
    assert "left over" in problem

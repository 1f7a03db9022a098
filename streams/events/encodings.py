"""How an event is encoded: single-object and Confluent headers before a datum, and Avro container files.

The hot path does not use this module. Routers and sinks look up `value[:10]` (single object) or `value[:5]`
(Confluent) in a dictionary; the datum begins right after these bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from io import BytesIO
from typing import IO, Any

import fastavro
import orjson
from fastavro.schema import SchemaParseException

from streams.events.schema import WriterSchema
from streams.events.schemas import writer_schema

SINGLE_OBJECT_MARK = b"\xc3\x01"
SINGLE_OBJECT_HEADER_BYTES = 10
"""The mark, then the CRC-64-AVRO fingerprint of the writer's schema, little-endian (Avro specification)."""

CONFLUENT_MARK = b"\x00"
CONFLUENT_HEADER_BYTES = 5
"""The mark, then the schema's id in the registry, 4 bytes big-endian (Confluent wire format)."""


class ContainerError(ValueError):
    """The file is cut off, corrupt, or not a container file. The message names the byte, never a value."""


def single_object_header(schema: WriterSchema) -> bytes:
    """The 10 bytes before every datum of this schema."""
    return SINGLE_OBJECT_MARK + schema.fingerprint


def confluent_header(schema_id: int) -> bytes:
    """The 5 bytes before every datum of the schema with this id in a registry."""
    return CONFLUENT_MARK + schema_id.to_bytes(4, "big")


def encode_single_object(schema: WriterSchema, record: Mapping[str, Any]) -> bytes:
    """Avro single-object encoding of a record. Raises `ValueError` if the record does not fit the schema."""
    return _encode(single_object_header(schema), schema, record)


def encode_confluent(schema_id: int, schema: WriterSchema, record: Mapping[str, Any]) -> bytes:
    """Confluent wire format of a record. Raises `ValueError` if the record does not fit the schema."""
    return _encode(confluent_header(schema_id), schema, record)


def encode_bare(schema: WriterSchema, record: Mapping[str, Any]) -> bytes:
    """The datum alone. Raises `ValueError` if the record does not fit the schema."""
    return _encode(b"", schema, record)


CODECS = {
    "null": (),
    "deflate": (),
    "bzip2": (),
    "xz": (),
    "snappy": ("cramjam",),
    "zstandard": ("compression.zstd", "backports.zstd"),
}
"""The codecs of the Avro specification, and the modules that decompress them if Python cannot. One of the modules is
enough."""

Datum = tuple[bytes, dict[str, Any]]
"""A record's bytes, and the decoded record. In the second, bytes of a string that are not UTF-8 are lone surrogates
(`surrogateescape`), so that the rest of the file can be read."""


def read_container(stream: IO[bytes]) -> tuple[dict[str, Any], Iterator[Datum]]:
    """The writer's schema of an Avro container file, and its records, byte for byte as in the file.

    Reads block by block: one block is in memory. Raises `ContainerError` at once if the header cannot be read or names
    a codec that is not available. The iterator raises it at the first corrupt place, after all records before it.
    """
    try:
        blocks = fastavro.block_reader(stream)
        definition = orjson.loads(blocks.metadata["avro.schema"])
        schema = writer_schema(definition)
    except (*_CORRUPTIONS, SchemaParseException) as error:
        raise ContainerError(f"not a readable Avro container file: {type(error).__name__} in its header") from None
    if (problem := _codec_problem(blocks.codec)) is not None:
        raise ContainerError(problem)
    return definition, _datums(blocks, schema.parsed, stream.tell())


def _codec_problem(codec: str) -> str | None:
    modules = CODECS.get(codec)
    if modules is None:
        return f"its codec is {codec!r}, which is none of Avro's: {', '.join(CODECS)}"
    if not modules or any(_is_installed(module) for module in modules):
        return None
    return f"its codec is {codec}, which needs a library: pip install 'currents-streams[codecs]'"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing, too
        return False


_CORRUPTIONS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    zlib.error,
)
"""The exceptions that fastavro raises on corrupt bytes. A corrupt length may ask for any amount of memory."""


def _datums(blocks: fastavro.block_reader, schema: dict[str, Any], position: int) -> Iterator[Datum]:
    while (block := _next_block(blocks, position)) is not None:
        content: bytes = block.bytes_.getvalue()  # decompressed
        yield from _datums_of_block(content, block.num_records, schema, position)
        position += block.size


def _next_block(blocks: fastavro.block_reader, position: int) -> Any:
    """fastavro's next block, None after the last."""
    try:
        return next(blocks, None)
    except Exception as error:  # each codec has its own exceptions
        raise ContainerError(f"corrupt or cut-off block at byte {position}: {type(error).__name__}") from None


def _datums_of_block(content: bytes, records: int, schema: dict[str, Any], position: int) -> Iterator[Datum]:
    """Cut a block into its records. The bytes are not encoded again."""
    stream = BytesIO(content)
    start = 0
    for number in range(1, records + 1):
        try:
            record: Any = fastavro.schemaless_reader(stream, schema, None, handle_unicode_errors="surrogateescape")
        except _CORRUPTIONS as error:
            place = f"record {number} of the block at byte {position}"
            raise ContainerError(f"corrupt {place}: {type(error).__name__}") from None
        end = stream.tell()
        yield content[start:end], record
        start = end
    if start != len(content):
        raise ContainerError(f"corrupt block at byte {position}: bytes are left over after its last record")


def _encode(header: bytes, schema: WriterSchema, record: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    stream.write(header)
    try:
        fastavro.schemaless_writer(stream, schema.parsed, record)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"the record does not fit the schema of {schema.event_type}: {type(error).__name__}") from None
    return stream.getvalue()

"""Counts as the metadata of a commit: JSON, and a shorter form for a router of many connectors."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

METADATA_BYTES_MAX = 1024
"""What the contract promises of a sink's metadata. A router's beyond it, of many connectors, is written with ids."""
KAFKA_METADATA_BYTES_MAX = 4096
"""What Kafka takes of commit metadata by default (offset.metadata.max.bytes)."""
METADATA_BYTES_TO_WARN_AT = 3072
"""Early enough to act before Kafka refuses a commit."""
_COMPRESSED = "z1:"
"""Begins metadata of an earlier form: base 85 of zlib of the JSON. It is read, and not written any more."""
WITH_IDS = "i1:"
"""Begins metadata with ids: base 85 of the other counts as JSON, a line feed, and each connector's id and count."""
ID_BYTES = 6
"""Two of 200 names share an id once in ten thousand million installations; then the configuration says so."""
ID_MARK = "#"
"""Begins an id where names stand too: no name holds it."""


def connector_id(name: str) -> str:
    """Stands for a connector where its name takes too much room; the same for ever."""
    return ID_MARK + base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:ID_BYTES]).decode()


def id_of(name_or_id: str) -> str:
    """The id of a connector that stands under its name in one commit, and under its id in another."""
    return name_or_id if name_or_id.startswith(ID_MARK) else connector_id(name_or_id)


def same_ids(names: Iterable[str], id_of: Callable[[str], str] = connector_id) -> tuple[str, str] | None:
    """Two names with one id: their counts could not be told apart."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(id_of(name), name)) != name:
            return other, name
    return None


def topic_mark(topic_id: str) -> str:
    """Stands for a topic's id in metadata; empty for an id that is not known."""
    if not topic_id:
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(topic_id.encode()).digest()[:ID_BYTES]).decode()


def is_of_another_topic(metadata: str | None, topic_id: str) -> bool:
    """Whether a commit was made for an earlier topic of the same name. Commits of earlier versions do not say so."""
    try:
        content = load_any(metadata) or {}
    except MetadataError:
        return False
    mark = content.get("topic", "")
    return bool(mark and topic_id) and mark != topic_mark(topic_id)


def is_of_another_state(metadata: str | None, state_id: str) -> bool:
    """Whether a sink that committed knew an earlier state topic. Commits of earlier versions do not say so."""
    try:
        mark = (load_any(metadata) or {}).get("state", "")
    except MetadataError:
        return False
    return bool(mark and state_id) and mark != topic_mark(state_id)


def records_counted(metadata: str) -> int:
    """How many records a commit of either kind has counted. It only grows, whatever becomes of the topic; 0 for what is
    not understood."""
    try:
        content = load_any(metadata) or {}
        single = sum(count_of(content, name) for name in ("read", "delivered", "lost"))
        return single + sum(sum(counts_of(content, name).values()) for name in ("skipped", "parked"))
    except (MetadataError, TypeError, ValueError):
        return 0


class MetadataError(ValueError):
    """Commit metadata that this program did not write."""


def dump(content: dict[str, Any]) -> str:
    return orjson.dumps(content).decode()


def with_ids(content: Mapping[str, Any], routed: Mapping[str, int]) -> str:
    others = {name: value for name, value in content.items() if name != "routed"}
    by_id: dict[str, int] = {}
    for connector, count in routed.items():
        one = id_of(connector)
        by_id[one] = by_id.get(one, 0) + count
    entries = (base64.urlsafe_b64decode(one[1:]) + _varint(count) for one, count in sorted(by_id.items()))
    return WITH_IDS + base64.b85encode(b"\n".join((orjson.dumps(others), b"".join(entries)))).decode()


def load_any(metadata: str | None) -> dict[str, Any] | None:
    """What metadata of either form holds; None where there is none. Raises `MetadataError`."""
    is_with_ids = metadata is not None and metadata.startswith(WITH_IDS)
    return load_with_ids(metadata or "") if is_with_ids else load(metadata)


def load_with_ids(metadata: str) -> dict[str, Any]:
    try:
        head, _, entries = base64.b85decode(metadata.removeprefix(WITH_IDS)).partition(b"\n")
        content = load(head.decode() or "nothing") or {}
        content["routed"] = dict(_entries(entries))
    except (ValueError, IndexError) as error:
        raise MetadataError(f"commit metadata with ids is damaged: {error}") from error
    return content


def _entries(entries: bytes) -> Iterator[tuple[str, int]]:
    """Raises `IndexError` where the last is cut off."""
    at = 0
    while at < len(entries):
        one = ID_MARK + base64.urlsafe_b64encode(entries[at : at + ID_BYTES]).decode()
        count, at = _read_varint(entries, at + ID_BYTES)
        yield one, count


def _varint(count: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while count >= 0x80:
        encoded.append(count & 0x7F | 0x80)
        count >>= 7
    encoded.append(count)
    return bytes(encoded)


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    count = shift = 0
    while True:
        byte = encoded[at]
        count |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return count, at


def _plain(metadata: str) -> bytes:
    """Raises `ValueError` and `zlib.error` on what this program did not write."""
    if not metadata.startswith(_COMPRESSED):
        return metadata.encode()
    return zlib.decompress(base64.b85decode(metadata.removeprefix(_COMPRESSED)))


def load(metadata: str | None) -> dict[str, Any] | None:
    if not metadata:
        return None
    try:
        content = orjson.loads(_plain(metadata))
    except (orjson.JSONDecodeError, ValueError, zlib.error) as error:
        raise MetadataError(f"commit metadata is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("v") != 1:
        raise MetadataError('commit metadata has no "v": 1: was it written by a newer version, or another program?')
    return content


def text_of(content: Mapping[str, Any], key: str) -> str:
    text = content.get(key, "")
    if not isinstance(text, str):
        raise TypeError(f"{key} is not text")
    return text


def count_of(content: Mapping[str, Any], key: str) -> int:
    count = content.get(key, 0)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ValueError(f"{key} is not a count")
    return count


def counts_of(content: Mapping[str, Any], key: str) -> dict[str, int]:
    counts = content.get(key, {})
    if not isinstance(counts, dict):
        raise TypeError(f"{key} holds no counts")
    return {name: count_of(counts, name) for name in counts}

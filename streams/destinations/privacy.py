"""What of an event may leave to a destination: fields that are left out, fields and customers' keys that are hashed.

A hash is HMAC-SHA-256 with the connector's salt, in lower-case hex: the same text gives the same hash, and nobody
without the salt can try out texts. What Kafka holds is never changed: a rule is applied where a payload is encoded.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from typing import Any

import orjson

USER_FIELD = "external_user_id"
CUSTOMERS_FIELD = "properties"
"""The Avro field whose text is a customer's JSON."""
NO_JSON = "properties is not a JSON object, so what must not leave in it cannot be found"
is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
"""Whether a text looks like a hash."""


@dataclass(frozen=True)
class Privacy:
    """The rules of one connector. `drop` and `hashed` are Avro fields; those of `properties` keys or globs."""

    drop: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    properties_drop: tuple[str, ...] = ()
    properties_hash: tuple[str, ...] = ()
    salt: bytes = field(default=b"", repr=False)

    def hash(self, text: str) -> str:
        return hmac.digest(self.salt, text.encode(errors="surrogatepass"), "sha256").hex()

    def hash_value(self, value: Any) -> Any:
        """Of any value of JSON. Null stays null, an array has its items hashed; a number is hashed as JSON writes it,
        an object as JSON with sorted keys."""
        match value:
            case None:
                return None
            case str():
                return self.hash(value)
            case list():
                return [self.hash_value(item) for item in value]
            case _:
                return self.hash(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())

    def hides(self, name: str) -> bool:
        """Whether a field does not leave as it is."""
        return name in self.drop or name in self.hashed

    @property
    def has_keys(self) -> bool:
        """Whether it has rules for keys of a customer's JSON."""
        return bool(self.properties_drop or self.properties_hash)

    def user(self, external_id: str) -> str:
        """As it leaves."""
        return self.hash(external_id) if external_id and USER_FIELD in self.hashed else external_id

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the name of their field, as they leave."""
        return {
            name: self.hash_value(value) if name in self.hashed else value
            for name, value in values.items()
            if name not in self.drop
        }

    def keyed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A customer's JSON, as it leaves. A key that is dropped and hashed is dropped."""
        drops, hashes = self._drops, self._hashes
        return {
            key: self.hash_value(value) if hashes(key) else value for key, value in values.items() if not drops(key)
        }

    def customers(self, text: str) -> str | None:
        """The same as text; None where it is not a JSON object."""
        try:
            content = parsed(text)
            return orjson.dumps(self.keyed(content)).decode() if isinstance(content, dict) else None
        except (ValueError, TypeError, RecursionError):
            return None

    @cached_property
    def _drops(self) -> Callable[[str], object]:
        return _matcher(self.properties_drop)

    @cached_property
    def _hashes(self) -> Callable[[str], object]:
        return _matcher(self.properties_hash)


EVERYTHING = Privacy()
"""Everything leaves."""


def _matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)", re.DOTALL).match


def parsed(text: str) -> Any:
    """The JSON, where NaN and infinities are numbers too: some writers of JSON know no better. Raises `ValueError`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)

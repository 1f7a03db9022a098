"""Values that configuration is made of: secrets by reference, durations, sizes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import core_schema

SECRET_FILE_BYTES_MAX = 64_000
"""A credential is a line, not a document: a larger file is a wrong path."""


class Secret:
    """A credential given by reference: `${ENV}`, `file:/path`, or the text itself. `repr` and `str` never show it.

    A file is read again at every `reveal()`, so that a swapped Kubernetes Secret is seen without a restart.
    Validated by pydantic, it takes its environment from the validation context's `environment`, else the process's.
    """

    __slots__ = ("_environment", "_reference")

    def __init__(self, reference: str, environment: Mapping[str, str] | None = None) -> None:
        self._reference = reference
        self._environment = os.environ if environment is None else environment

    def reveal(self) -> str:
        """The secret's text. Raises `ValueError` that names the reference, never the content."""
        reference = self._reference
        if match := re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", reference):
            text = self._environment.get(match[1])
            if not text:
                raise ValueError(f"environment variable {match[1]} is not set: set it, or use file:/path")
            return text
        if reference.startswith("file:"):
            path = Path(reference.removeprefix("file:"))
            try:
                with path.open(encoding="utf-8") as file:
                    text = file.read(SECRET_FILE_BYTES_MAX + 1)
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"cannot read secret file {path}: {type(error).__name__}") from None
            if len(text) > SECRET_FILE_BYTES_MAX:
                raise ValueError(f"secret file {path} is larger than {SECRET_FILE_BYTES_MAX} characters")
            if not text.strip():
                raise ValueError(f"secret file {path} is empty")
            return text.strip()
        return reference

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reference == self._reference

    def __hash__(self) -> int:
        return hash(self._reference)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def parse(value: Any, info: core_schema.ValidationInfo) -> Secret:
            if isinstance(value, Secret):
                return value
            if not isinstance(value, str) or not value.strip():
                raise ValueError("must be ${ENV}, file:/path or the text of the secret, in quotes")
            secret = cls(value.strip(), (info.context or {}).get("environment"))
            secret.reveal()
            return secret

        return core_schema.with_info_plain_validator_function(parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "writeOnly": True}


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)(B|kB|MB|GB)")
_BYTES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}


def parse_duration(value: Any) -> float:
    """Seconds of `20s`, `15m`, `48h`, `5d`, `200ms`. Raises `ValueError`."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a number with a unit: 200ms, 20s, 15m, 48h or 5d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: Any) -> int:
    """Bytes of `256kB`, `10MB` (powers of ten). Raises `ValueError`."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a whole number with a unit: 900B, 256kB or 10MB")
    return int(match[1]) * _BYTES[match[2]]


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["20s", "15m", "48h", "5d"]}),
]
"""A duration in seconds, written with its unit."""

Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["256kB", "10MB"]}),
]
"""A size in bytes, written with its unit."""


def _is_http(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#@]*)?", text):
        raise ValueError("must be http://host:port or https://host:port, without user or password")
    return text


HttpUrl = Annotated[str, AfterValidator(_is_http)]
"""An address that holds no secret: no user, no password, no query."""

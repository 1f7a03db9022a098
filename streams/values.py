"""Values that configuration is made of: secrets by reference, durations, sizes."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import core_schema

SECRET_FILE_BYTES_MAX = 64_000
"""A credential is a line, not a document: a larger file is a wrong path."""


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PADDING = " \t\r\n\v\f\0\ufeff"
"""What stands around a secret by accident: `echo` adds a line feed, some editors a byte order mark."""


class Secret:
    """A credential given by reference: `${ENV}`, `file:/path`, or the text itself. `repr` and `str` never show it.

    A file is read again at every `reveal()`, so that a swapped Kubernetes Secret is seen without a restart; a variable
    stays what it was when the process started. Blanks, line feeds and byte order marks around it are no part of it.
    Validated by pydantic, it takes from the validation's context its `environment`, else the process's, and whether
    secrets are to be read now (`reads_secrets`, true unless it is said otherwise).
    """

    __slots__ = ("_environment", "_reference")

    def __init__(self, reference: str, environment: Mapping[str, str] | None = None) -> None:
        self._reference = reference
        self._environment = os.environ if environment is None else environment

    def reveal(self) -> str:
        """The secret's text. Raises `ValueError` that names the reference, never the content."""
        reference = self._reference
        if match := _VARIABLE.fullmatch(reference):
            text = self._environment.get(match[1], "").strip(_PADDING)
            if not text:
                raise ValueError(f"environment variable {match[1]} is not set: set it, or use file:/path")
            return text
        if "${" in reference:
            raise ValueError("must be ${NAME} as a whole: letters, digits and _; nothing else is put in its place")
        if reference.startswith("file:"):
            return _content(Path(reference.removeprefix("file:")))
        return reference.strip(_PADDING)

    @property
    def is_reference(self) -> bool:
        """Whether the text stands elsewhere: in a variable, or in a file."""
        return "${" in self._reference or self._reference.startswith("file:")

    @property
    def place(self) -> str:
        """Where the text stands, as people look for it. Never the text."""
        if match := _VARIABLE.fullmatch(self._reference):
            return f"environment variable {match[1]}"
        return f"file {self._reference.removeprefix('file:')}" if self.is_file else "the configuration file itself"

    @property
    def is_file(self) -> bool:
        """Whether it stands in a file, which is read again each time."""
        return self._reference.startswith("file:")

    def checked(self, context: Mapping[str, Any]) -> Secret:
        """Itself, if it can be read; where secrets are not read (`reads_secrets`), if its reference is well formed."""
        if context.get("reads_secrets", True) or not _is_well_formed(self._reference):
            self.reveal()
        return self

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
            context = info.context or {}
            return cls(value.strip(), context.get("environment")).checked(context)

        return core_schema.with_info_plain_validator_function(parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "writeOnly": True}


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read secret file {path}: {type(error).__name__}") from None
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise ValueError(f"secret file {path} is larger than {SECRET_FILE_BYTES_MAX} bytes")
    try:
        text = content.decode("utf-8-sig").strip(_PADDING)
    except UnicodeDecodeError as error:
        hint = "; save it as UTF-8" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ValueError(f"cannot read secret file {path}: {type(error).__name__}{hint}") from None
    if not text:
        raise ValueError(f"secret file {path} is empty")
    return text


def _is_well_formed(reference: str) -> bool:
    return "${" not in reference or _VARIABLE.fullmatch(reference) is not None


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


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])"
HOST_LENGTH_MAX = 253


def host_problem(host: str, port: str | None = None) -> str | None:
    """What is wrong with this host and port, or None. An IPv6 address stands in brackets."""
    if not re.fullmatch(_HOST, host) or len(host) > HOST_LENGTH_MAX:
        return f"{host!r} is neither a host's name nor an address"
    if any(len(label) > 63 for label in host.split(".")) and not host.startswith("["):
        return f"{host!r} is not a host's name: 63 characters at most between two dots"
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif re.fullmatch(r"[0-9.]+", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        return f"{host!r} is not an IP address"
    if port is not None and not (re.fullmatch(r"\d{1,5}", port) and 1 <= int(port) <= 65_535):
        return f"{port!r} is not a port: 1 to 65535"
    return None


def http_problem(text: str) -> str | None:
    """Why no request can go to this address, or None. The words never hold what may be a secret: its path."""
    match = re.fullmatch(r"https?://(\[[^\]/]*\]|[^\s/?#@:\[\]]*)(?::([^\s/?#@]*))?([/?#].*)?", text, re.IGNORECASE)
    if match is None or not text.isprintable() or " " in text:
        return "must be http://host:port or https://host:port"
    return host_problem(match[1], match[2])


def _is_http(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#@]*)?", text):
        raise ValueError("must be http://host:port or https://host:port, without user or password")
    if problem := http_problem(text):
        raise ValueError(f"must be an address that can be reached: {problem}")
    return text


def _is_host(text: str) -> str:
    bare = f"[{text}]" if ":" in text and not text.startswith("[") else text
    if text and (problem := host_problem(bare)):
        raise ValueError(f"must be a host's name or address, without port: {problem}")
    return text


Host = Annotated[str, AfterValidator(_is_host)]
"""A host's name or address; empty where there is none."""

HttpUrl = Annotated[str, AfterValidator(_is_http)]
"""An address that holds no secret: no user, no password, no query."""

"""A schema registry with Confluent's API, and what each of its answers means.

| answer | means |
|---|---|
| 200 with an Avro schema of a record | the schema; types of other subjects (`references`) are asked for and put in |
| 200 with another kind of schema | known, and nothing to read events with |
| 404 with the registry's own code (`40401`, `40403`) | nobody registered it, so far |
| 400 with a JSON object; 410, 422 | no, for good |
| 401, 403, 408, 429, 5xx, silence | an outage |
| any of these in HTML, 404 without such a code, 400 without JSON, any other | not the registry's word: an outage too |

Only the registry's own word may park a record: an ingress without a backend answers 404 for every id, and a server that
expects TLS answers 400 in one line of text.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import orjson

from streams.adapters.http import HttpTransport
from streams.config.source import NOT_FOUND_CODES, SchemaRegistry, schema_path
from streams.delivery.contract import NoResponse, Response
from streams.events.references import inlined
from streams.events.schema import WriterSchema
from streams.events.schemas import writer_schema
from streams.ports.errors import SchemasUnavailable
from streams.ports.schemas import NoSchema

ANSWER_SECONDS_MAX = 5.0
"""The caller has a Kafka transaction open, which ends after 10 s."""
SILENT_SECONDS = 1.0
"""After no answer at all, the registry is not asked for so long: each question would wait its whole time."""
REFERENCES_MAX = 100
"""Schemas that one schema may consist of; more is a mistake, and each is a question to the registry."""
WORDS_CHARACTERS_MAX = 300
GONE = frozenset({410, 422})
KINDS = {"JSON": "JSON Schema", "PROTOBUF": "Protobuf"}


class RegistrySchemas:
    """Asks `GET /schemas/ids/{id}`, and `GET /subjects/{subject}/versions/{version}` for references."""

    def __init__(self, registry: SchemaRegistry, transport: HttpTransport) -> None:
        self._registry = registry
        self._transport = transport
        self._silent_until = float("-inf")
        self._silence = ""

    def find(self, header: bytes) -> WriterSchema | NoSchema:
        """The schema of a Confluent header, else what the registry says. Raises `SchemasUnavailable`."""
        number = int.from_bytes(header[1:], "big")
        found = self._get(schema_path(number))
        if isinstance(found, NoSchema):
            return found
        try:
            definition = _parsed(found)
            references = self._references(found)
            if isinstance(references, NoSchema):
                return references
            return writer_schema(inlined(definition, references))
        except (ValueError, TypeError) as error:
            return NoSchema(str(error), "unreadable")

    def _references(self, schema: dict[str, Any]) -> list[Any] | NoSchema:
        """The schemas that this one names, and that those name. Raises `ValueError` where one cannot be read."""
        found: dict[tuple[str, str], Any] = {}
        to_ask = _named(schema)
        while to_ask:
            subject, version = place = to_ask.pop()
            if place in found:
                continue
            if len(found) >= REFERENCES_MAX:
                return NoSchema(f"it has more than {REFERENCES_MAX} references", "unreadable")
            path = f"/subjects/{quote(subject, safe='')}/versions/{quote(version, safe='')}"
            part = self._get(path)
            if isinstance(part, NoSchema):  # one that was deleted softly is still part of what refers to it
                part = self._get(f"{path}?deleted=true")
            if isinstance(part, NoSchema):
                return NoSchema(f"its reference to version {version} of {subject}: {part.detail}", part.verdict)
            try:
                found[place] = _parsed(part)
            except ValueError as error:
                raise ValueError(f"its reference to version {version} of {subject}: {error}") from None
            to_ask += _named(part)
        return list(found.values())

    def _get(self, path: str) -> dict[str, Any] | NoSchema:
        """The registry's object with a `schema`, or its own no. Raises `SchemasUnavailable`."""
        if time.monotonic() < self._silent_until:
            raise SchemasUnavailable(self._silence)
        try:
            request = self._registry.request(path)
        except ValueError as error:
            raise SchemasUnavailable(str(error)) from None
        answer = self._transport.fetch(request)
        if isinstance(answer, NoResponse):
            self._silence, self._silent_until = answer.detail, time.monotonic() + SILENT_SECONDS
            raise SchemasUnavailable(answer.detail)
        content = _json(answer)
        if answer.status == 200 and isinstance(content.get("schema"), str):
            return content
        if no := _no(answer, content):
            return no
        raise SchemasUnavailable(f"status {answer.status}{_why(answer)}")


def _parsed(schema: dict[str, Any]) -> Any:
    """The definition in the registry's answer. Raises `ValueError` where it is not Avro."""
    kind = schema.get("schemaType") or "AVRO"
    if kind != "AVRO":
        raise ValueError(f"it is {KINDS.get(str(kind), 'of another kind')}, and only Avro is read")
    try:
        return orjson.loads(schema["schema"])
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _named(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Subject and version of each reference."""
    references = schema.get("references")
    if references is None:
        return []
    if not isinstance(references, list) or not all(
        isinstance(one, dict) and isinstance(one.get("subject"), str) and isinstance(one.get("version"), int)
        for one in references
    ):
        raise ValueError("its references are not a list of subjects and versions")
    return [(one["subject"], str(one["version"])) for one in references]


def _no(answer: Response, content: dict[str, Any]) -> NoSchema | None:
    """The registry's no to one id; None where the answer says nothing about the id, or is not the registry's."""
    code = content.get("error_code")
    if answer.status == 404 and isinstance(code, int) and code in NOT_FOUND_CODES:
        return NoSchema(_words(answer, content), "not-yet")
    if (answer.status == 400 and content) or (answer.status in GONE and not _is_html(answer)):
        return NoSchema(_words(answer, content), "never")
    return None


def _words(answer: Response, content: dict[str, Any]) -> str:
    """The registry's own words, on one line."""
    code, message = content.get("error_code"), content.get("message")
    if isinstance(message, str):
        said = f"{code} {message}" if isinstance(code, int) else message
    else:
        said = answer.body[: 4 * WORDS_CHARACTERS_MAX].decode(errors="replace")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    words = f"the registry answers {answer.status}"
    return f"{words}: {line[:WORDS_CHARACTERS_MAX]}" if line else words


def _json(answer: Response) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_html(answer: Response) -> bool:
    return "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def _why(answer: Response) -> str:
    """What a person would look at."""
    if answer.status in (401, 403):
        return ": check the credentials in source.schema_registry"
    if 300 <= answer.status < 400:
        return ": a redirect is not followed; check source.schema_registry.url"
    if answer.status in (408, 429) or answer.status >= 500:
        return ""
    return ", and not in the registry's own words: check source.schema_registry.url, and what stands before it"

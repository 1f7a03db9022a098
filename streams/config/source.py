"""The `source` section: which topics hold Currents events and how their values are encoded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictStr, model_validator

from streams.config.kafka import Section
from streams.delivery.contract import Request
from streams.destinations.wire import basic
from streams.values import HttpUrl, Seconds, Secret


def _is_pattern(text: str) -> str:
    if text.startswith("^"):
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"must be a regular expression ({error})") from None
    elif not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", text):
        raise ValueError("must be a topic's name, or a regular expression that begins with ^")
    return text


def _is_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("must be a folder that exists")
    return path


class SchemaRegistry(Section):
    """A registry that answers Confluent's API, with Basic or bearer authentication or none."""

    url: Annotated[HttpUrl, Field(description="Address of the registry.", examples=["http://schema-registry:8081"])]
    username: Annotated[StrictStr | None, Field(min_length=1, description="User for Basic authentication.")] = None
    password: Annotated[Secret | None, Field(description="Password for Basic authentication.")] = None
    bearer_token: Annotated[Secret | None, Field(description="Token for bearer authentication.")] = None

    def request(self, path: str) -> Request:
        """A question with the credentials as they are now. Raises `ValueError` that names a secret which is away."""
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json", **self._authorization()}
        return Request("GET", f"{self.url.rstrip('/')}{path}", headers, b"")

    def _authorization(self) -> dict[str, str]:
        if self.bearer_token is not None:
            return {"Authorization": f"Bearer {_revealed('bearer_token', self.bearer_token)}"}
        if self.username is not None and self.password is not None:
            return {"Authorization": basic(self.username, _revealed("password", self.password))}
        return {}

    @model_validator(mode="after")
    def _has_one_authentication(self) -> SchemaRegistry:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both or neither")
        if self.username is not None and self.bearer_token is not None:
            raise ValueError("set username and password, or bearer_token, not both")
        return self


NOT_FOUND_CODES = range(40_400, 40_500)
"""A registry's own codes for what it does not have: 40401 subject, 40402 version, 40403 schema. For a path that it does
not serve the code is 404."""


def schema_path(schema_id: int) -> str:
    """Where a registry has the schema with this id."""
    return f"/schemas/ids/{schema_id}"


def _revealed(key: str, secret: Secret) -> str:
    try:
        return secret.reveal()
    except ValueError as error:
        raise ValueError(f"source.schema_registry.{key}: {error}") from None


class Source(Section):
    """Where Currents events come from."""

    topics: Annotated[
        tuple[Annotated[StrictStr, AfterValidator(_is_pattern)], ...],
        Field(min_length=1, description="Topics to read: names, or regular expressions that begin with ^."),
    ] = (r"^currents\..+",)
    topic_prefix: Annotated[
        StrictStr,
        Field(
            pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$",
            description="What stands before the event type in a topic's name; for `ingest` and bare values.",
        ),
    ] = "currents."
    encoding: Annotated[
        Literal["auto", "bare"],
        Field(description="`auto` tells encodings apart by their first bytes; `bare` is Avro without a header."),
    ] = "auto"
    schema_folders: Annotated[
        tuple[Annotated[Path, AfterValidator(_is_folder)], ...],
        Field(description="Folders with more Avro schemas, `*.avsc`."),
    ] = ()
    schema_registry: Annotated[
        SchemaRegistry | None, Field(description="Only for values in Confluent's wire format.")
    ] = None
    on_user_delete: Annotated[
        Literal["ignore", "forget"],
        Field(
            description="`forget`: each event `users.UserDeleteRequest` orders every connector to forget the user, as "
            "`streams forget` does."
        ),
    ] = "ignore"
    unknown_schema_wait: Annotated[
        Seconds, Field(description="How long a record waits for a schema that is not known yet. Then it is parked.")
    ] = 60.0

"""A connector's `privacy` section: what leaves to its destination, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictStr, ValidationInfo, model_validator

from streams.config.document import Path
from streams.config.explanation import suggestion
from streams.config.kafka import Section
from streams.destinations import DestinationKind
from streams.destinations.privacy import CUSTOMERS_FIELD, USER_FIELD, Privacy
from streams.events.schema import Kind
from streams.events.schemas import shipped
from streams.values import Secret

SALT_LENGTH_MIN = 16
"""With a shorter one, someone who knows a hash can find the salt by trying."""
KEPT = ("id", "time")
"""What every destination needs to place an event, and to know one that comes twice."""
TEXTS = frozenset({Kind.STRING, Kind.STRINGS, Kind.NULLABLE_STRINGS})

Name = Annotated[StrictStr, Field(min_length=1)]


def _is_salt(salt: Secret, info: ValidationInfo) -> Secret:
    if not salt.is_reference:
        raise ValueError("must be ${ENV} or file:/path: a salt in the configuration file is not secret")
    if (info.context or {}).get("reads_secrets", True) and len(salt.reveal()) < SALT_LENGTH_MIN:
        raise ValueError(f"must have at least {SALT_LENGTH_MIN} characters: `openssl rand -hex 32` makes a good one")
    return salt


class Hash(Section):
    """Fields that leave as HMAC-SHA-256, in lower-case hex."""

    fields: Annotated[
        tuple[Name, ...],
        Field(
            description="Avro fields of text, or attributes of a Braze connector. `external_user_id` is hashed "
            "wherever the connector sends it.",
            examples=[["external_user_id", "email_address"]],
        ),
    ] = ()
    salt: Annotated[
        Secret,
        AfterValidator(_is_salt),
        Field(description="Key of the hashes, by reference. Another salt makes other hashes, and so other users."),
    ]


class PropertyRules(Section):
    """What of the JSON in `properties` leaves, by its keys."""

    drop: Annotated[
        tuple[Name, ...], Field(description="Keys, or globs of keys, that do not leave.", examples=[["ip", "*email*"]])
    ] = ()
    hash: Annotated[
        tuple[Name, ...], Field(description="Keys, or globs, whose values leave hashed, with the salt of `hash`.")
    ] = ()


class PrivacyKeys(Section):
    """What leaves to the destination. Kafka keeps what Braze sent; a replay applies what is configured then."""

    drop: Annotated[
        tuple[Name, ...],
        Field(
            description="Avro fields, or attributes of a Braze connector, that do not leave; "
            "never `id`, `time` or `external_user_id`.",
            examples=[["email_address", "to_phone_number"]],
        ),
    ] = ()
    hash: Annotated[Hash | None, Field(description="Fields that leave as a hash, and its salt.")] = None
    properties: Annotated[
        PropertyRules, Field(description="Keys of the customer's JSON: properties of custom events and purchases.")
    ] = PropertyRules()

    @model_validator(mode="after")
    def _has_a_salt(self) -> PrivacyKeys:
        if self.properties.hash and self.hash is None:
            raise ValueError("properties.hash needs a salt: set hash.salt")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether everything leaves as it is."""
        return not (self.drop or self.hash or self.properties.drop or self.properties.hash)

    def rules(self) -> Privacy:
        """With the salt as it is now. Raises `ValueError` where it cannot be read."""
        return Privacy(
            drop=frozenset(self.drop),
            hashed=frozenset(self.hash.fields if self.hash is not None else ()),
            properties_drop=self.properties.drop,
            properties_hash=self.properties.hash,
            salt=self.hash.salt.reveal().encode() if self.hash is not None else b"",
        )


def privacy_problems(privacy: PrivacyKeys, kind: DestinationKind) -> Iterator[tuple[Path, str, Any]]:
    """What is wrong with names, as place in the section, fix and value."""
    if privacy.is_empty:
        return
    if kind.private is None:
        yield (
            (),
            f"is not kept by the destination {kind.name}: it does not say that its encoders apply such rules",
            None,
        )
        return
    hashed = privacy.hash.fields if privacy.hash is not None else ()
    for place, names in ((("drop",), privacy.drop), (("hash", "fields"), hashed)):
        for index, name in enumerate(names):
            fix = _problem(name, place[0] == "hash", kind, privacy)
            if fix is not None:
                yield (*place, index), fix, name


def _problem(name: str, is_hashed: bool, kind: DestinationKind, privacy: PrivacyKeys) -> str | None:
    if name in KEPT:
        return "cannot be hidden: every destination needs it to place an event, and to know one that comes twice"
    if name == USER_FIELD:
        return None if is_hashed else "cannot be dropped: no destination takes an event of nobody; hash it instead"
    if is_hashed and name in privacy.drop:
        return "is in drop too: choose one of the two"
    if kind.is_received:  # attributes are the customer's own
        return None
    known = _fields()
    if name not in known:
        return f"is not a field of a Currents event. {suggestion(name, known)}"
    if is_hashed and name == CUSTOMERS_FIELD:
        return "is the customer's JSON: name its keys in privacy.properties.hash"
    if is_hashed and not known[name]:
        return "is not text: only text is hashed; drop it instead"
    return None


@cache
def _fields() -> dict[str, bool]:
    """Every field of the shipped schemas of Currents, and whether it is text wherever it occurs."""
    found: dict[str, bool] = {}
    for schema in shipped():
        if not schema.event_type.startswith("wayback."):
            for field in schema.fields:
                found[field.name] = found.get(field.name, True) and field.kind in TEXTS
    return found

"""The entries under `receive` of a connector to Braze: what is taken from whom, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    model_validator,
)

from streams.values import Secret

KEY_CHARACTERS_MIN = 16
"""Of a key or password that others must not guess: the vendors sign nothing."""

IdentityType = Literal[
    "customer_id", "email", "facebook", "twitter", "google", "microsoft", "yahoo", "mobile_number",
    "phone_number_2", "phone_number_3", "other", "other_id_2", "other_id_3", "other_id_4", "other_id_5", "other_id_6",
    "other_id_7", "other_id_8", "other_id_9", "other_id_10", "mpid",
]  # fmt: skip
SegmentShape = Literal["single", "array", "per_segment"]
Platform = Literal["ios", "android", "web"]
ConsentAttribute = Literal["$google_ad_user_data", "$google_ad_personalization"]


def _is_long_enough(secret: Secret, info: ValidationInfo) -> Secret:
    if secret.is_reference and not (info.context or {}).get("reads_secrets", True):
        return secret
    if len(secret.reveal()) < KEY_CHARACTERS_MIN:
        raise ValueError(f"must have at least {KEY_CHARACTERS_MIN} characters")
    return secret


Key = Annotated[Secret, AfterValidator(_is_long_enough)]
Keys = Annotated[tuple[Key, ...], Field(min_length=1, max_length=2)]
Pattern = Annotated[StrictStr, Field(min_length=1)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1)]
EXTERNAL_IDENTITY = Field(description="Identity type that holds Braze's external id.")
EMAIL_IDENTITY = Field(description="Identity type that becomes `email`.")
SELECTED_GROUPS = Field(description="Ids or globs of names; others are skipped.")
CREATE_USERS = Field(description="Whether users whom Braze lacks are created.")
KIND = Field(description="What is received.")
KEYS = Field(description="One key, or two while it is changed.")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BasicAuth(_Section):
    """User and passwords of Basic authentication."""

    user: Annotated[StrictStr, Field(min_length=1, pattern="^[^:]*$", description="User that Mixpanel sends.")] = (
        "mixpanel"
    )
    passwords: Annotated[Keys, Field(description="One password, or two while it is changed.")]


class _Lists(_Section):
    """What cohorts and audiences share."""

    select: Annotated[Patterns, SELECTED_GROUPS] = ("*",)
    create_users: Annotated[StrictBool, CREATE_USERS] = False

    def selects(self, group_id: str, group_name: str) -> bool:
        """Whether this cohort or audience is taken."""
        return any(pattern == group_id or fnmatchcase(group_name, pattern) for pattern in self.select)


class MixpanelCohorts(_Lists):
    """Cohorts that Mixpanel syncs by its custom webhook."""

    kind: Annotated[Literal["mixpanel_cohorts"], KIND]
    auth: Annotated[BasicAuth, Field(description="What Mixpanel sends with each call.")]
    external_id: Annotated[
        tuple[Pattern, ...],
        Field(min_length=1, description="Properties that hold Braze's external id: the first that is there."),
    ] = ("$braze_external_id", "$distinct_id", "mixpanel_distinct_id")
    write_as: Annotated[
        Literal["attribute", "cohort_api", "both"],
        Field(alias="as", description="Where a membership goes: an attribute, Braze's cohort import, or both."),
    ] = "attribute"
    attribute: Annotated[
        StrictStr, Field(min_length=1, max_length=255, description="Attribute that lists cohorts.")
    ] = "Mixpanel_Cohorts"
    value: Annotated[Literal["name", "id"], Field(description="What the attribute lists of a cohort.")] = "name"


class _Audiences(_Lists):
    """What audiences by Firehose and by mParticle's Kinesis records share."""

    keys: Annotated[Keys, KEYS]
    external_identity: Annotated[IdentityType, EXTERNAL_IDENTITY] = "customer_id"
    send_segments_as: Annotated[
        SegmentShape | Literal["both"] | tuple[SegmentShape, ...],
        Field(description="Attributes that hold memberships: `single`, `array`, `per_segment`, or a list of them."),
    ] = "single"
    quote_ids: Annotated[StrictBool, Field(description="Single quotes around each id of `single`.")] = True

    @property
    def shapes(self) -> frozenset[SegmentShape]:
        """The attributes that memberships are written to; `both` is `single` and `per_segment`."""
        match self.send_segments_as:
            case "both":
                return frozenset({"single", "per_segment"})
            case "single" | "array" | "per_segment":
                return frozenset({self.send_segments_as})
            case shapes:
                return frozenset(shapes)


class MParticleAudiences(_Audiences):
    """Audiences as mParticle's Kinesis output has them."""

    kind: Annotated[Literal["mparticle_audiences"], KIND]


class DataKeys(_Section):
    """What becomes of events and attributes that mParticle sends."""

    external_identity: Annotated[IdentityType, EXTERNAL_IDENTITY] = "customer_id"
    email_identity: Annotated[IdentityType, EMAIL_IDENTITY] = "email"
    events: Annotated[Patterns, Field(description="Names or globs of events; and message types.")] = ("*",)
    attributes: Annotated[tuple[Pattern, ...], Field(description="Names or globs of user attributes.")] = ("*",)
    names: Annotated[dict[StrictStr, StrictStr], Field(description="mParticle's name to Braze's name.")] = {}
    screen_prefix: Annotated[StrictStr, Field(description="What stands before the name of a screen.")] = "Viewed "
    sessions: Annotated[StrictBool, Field(description="Send `Session Start` and `Session End`.")] = False
    arrays: Annotated[StrictBool, Field(description="Lists as arrays; else as text, separated by commas.")] = False
    detect_types: Annotated[
        Literal["none", "events", "attributes", "both"],
        Field(description="Where texts that look like booleans or numbers become such."),
    ] = "none"
    purchases_as: Annotated[
        Literal["purchase", "order_placed", "event"], Field(description="What a purchase becomes in Braze.")
    ] = "purchase"
    bundle_commerce: Annotated[StrictBool, Field(description="One event per message, with its products.")] = False
    subscription_groups: Annotated[
        dict[StrictStr, Annotated[StrictStr, Field(pattern="^[0-9a-fA-F-]{36}$")]],
        Field(description="User attribute to the id of a Braze subscription group."),
    ] = {}
    consent: Annotated[
        dict[StrictStr, ConsentAttribute], Field(description="GDPR purpose to the attribute that tells it to Google.")
    ] = {}
    app_ids: Annotated[dict[Platform, StrictStr], Field(description="Braze app id by platform; also push tokens.")] = {}
    create_users: Annotated[StrictBool, CREATE_USERS] = True

    @model_validator(mode="after")
    def _bundles_no_purchases(self) -> DataKeys:
        if self.bundle_commerce and self.purchases_as == "purchase":
            raise ValueError(
                "bundle_commerce cannot be used with purchases_as: purchase, because Braze takes one product per "
                "purchase: set purchases_as to order_placed or event, or bundle_commerce to false"
            )
        return self

    def selects_event(self, name: str, message_type: str) -> bool:
        """Whether this event is taken, by its name or its message type."""
        return matches(name, self.events) or message_type in self.events

    def selects_attribute(self, name: str) -> bool:
        return matches(name, self.attributes)


class MParticleEvents(DataKeys):
    """Events and attributes by mParticle's webhook output."""

    kind: Annotated[Literal["mparticle_events"], KIND]
    keys: Annotated[Keys, KEYS]


class Firehose(_Audiences, DataKeys):
    """Audiences, events and attributes by mParticle's Firehose."""

    kind: Annotated[Literal["firehose"], KIND]
    key_setting: Annotated[
        StrictStr,
        Field(description="Account setting that carries the key; empty: the header Authorization."),
    ] = ""
    create_users: Annotated[StrictBool, CREATE_USERS] = False


Entry = Annotated[MixpanelCohorts | MParticleEvents | Firehose | MParticleAudiences, Field(discriminator="kind")]


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of these names or globs means it."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)

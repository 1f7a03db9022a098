"""A Braze connector's own keys of the configuration file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

from streams.values import HttpUrl, Seconds, Secret
from streams.wayback.entries import DataKeys, Entry, Firehose, MixpanelCohorts, MParticleAudiences

DEFAULT, COHORTS = "default", "cohorts"
"""Credential scopes: the REST key's, and the cohort import's."""
OBJECTS_MAX = 75
"""Of a request, in all three arrays together."""
ENTRIES_MAX = 20
ENTRY_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""As a connector's name: it stands in an address and in a metric's label."""

BASES: Mapping[str, str] = {
    **{f"US-{number:02}": f"https://rest.iad-{number:02}.braze.com" for number in range(1, 9)},
    "US-10": "https://rest.us-10.braze.com",
    **{f"EU-{number:02}": f"https://rest.fra-{number:02}.braze.eu" for number in (1, 2)},
    **{f"{place}-01": f"https://rest.{place.lower()}-01.braze.com" for place in ("AU", "ID", "JP", "KR")},
}
"""Where the REST API of each instance is. Source: Braze's page on API and SDK endpoints."""

Instance = Literal[
    "US-01", "US-02", "US-03", "US-04", "US-05", "US-06", "US-07", "US-08", "US-10",
    "EU-01", "EU-02", "AU-01", "ID-01", "JP-01", "KR-01",
]  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class CohortApi(_Section):
    """Keys of the cohort import, which Braze gives to partners only."""

    partner: Annotated[StrictStr, Field(pattern="^[A-Za-z0-9_-]+$", description="The partner's name in the path.")] = (
        "mixpanel"
    )
    partner_api_key: Annotated[Secret, Field(description="The partner's key.")]
    data_import_key: Annotated[Secret, Field(description="The workspace's data import key.")]


class BrazeSettings(_Section):
    """Keys of a connector to Braze."""

    instance: Annotated[Instance | None, Field(description="Braze instance, as the dashboard's address tells.")] = None
    base_url: Annotated[
        HttpUrl | None, Field(description="Address instead of the instance's: a proxy, or an emulator.")
    ] = None
    rest_key: Annotated[Secret, Field(description="REST API key with the permission `users.track`, and no other.")]
    cohort_api: Annotated[CohortApi | None, Field(description="Keys of Braze's cohort import.")] = None
    objects_max: Annotated[int, Field(ge=1, le=OBJECTS_MAX, description="Objects in one request.")] = OBJECTS_MAX
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="Requests per second.")] = 250.0
    in_doubt: Annotated[
        Literal["resend", "park"],
        Field(description="Events after a timeout, a cut answer or a 5xx: Braze deduplicates nothing."),
    ] = "resend"
    property_types: Annotated[
        Literal["scalar", "nested"],
        Field(description="`scalar`: text, number, boolean, date; `nested`: arrays and objects too."),
    ] = "scalar"
    probe_user: Annotated[StrictStr, Field(min_length=1, description="External id that a probe names.")] = (
        "streams-probe"
    )
    scratch: Annotated[StrictStr, Field(min_length=1, description="Folder for what the sink remembers.")] = "/scratch"
    grace: Annotated[Seconds, Field(description="How long dead letters live while credentials are invalid.")] = (
        48 * 3_600.0
    )
    receive: Annotated[
        dict[StrictStr, Entry],
        Field(min_length=1, max_length=ENTRIES_MAX, description="What is received, by the entry's name."),
    ]

    @model_validator(mode="after")
    def _is_whole(self) -> BrazeSettings:
        problems = [*self._address_problems(), *self._entry_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _address_problems(self) -> list[str]:
        if (self.instance is None) == (self.base_url is None):
            return ["set either instance, as US-01, or base_url"]
        return []

    def _entry_problems(self) -> list[str]:
        found = []
        for name, entry in self.receive.items():
            if not ENTRY_NAME.fullmatch(name):
                found.append(
                    f"receive.{name} is not a name of an entry: a lower-case letter, then a-z, 0-9, dashes, 40 at most"
                )
            if isinstance(entry, MixpanelCohorts) and entry.write_as != "attribute" and self.cohort_api is None:
                found.append(
                    f"receive.{name}.as: {entry.write_as} needs cohort_api, whose keys Braze gives to partners"
                )
            if isinstance(entry, DataKeys) and entry.bundle_commerce and self.property_types != "nested":
                found.append(f"receive.{name}.bundle_commerce needs property_types: nested")
        return found

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return (self.base_url or BASES[self.instance or "US-01"]).rstrip("/")

    def scopes(self) -> Mapping[str, str]:
        """The credential scope of each section of keys that is set."""
        return {"rest_key": DEFAULT} | ({"cohort_api": COHORTS} if self.cohort_api is not None else {})

    def membership_attributes(self) -> frozenset[str]:
        """Attributes that memberships are written to, by name; `In ` stands for all of `per_segment`."""
        found: set[str] = set()
        for entry in self.receive.values():
            if isinstance(entry, MixpanelCohorts) and entry.write_as != "cohort_api":
                found.add(entry.attribute)
            if isinstance(entry, Firehose | MParticleAudiences):
                names = {"single": "SegmentMembership", "array": "SegmentMembershipArray", "per_segment": "In "}
                found |= {names[shape] for shape in entry.shapes}
        return frozenset(found)

    def warnings(self) -> tuple[str, ...]:
        """What works and should be known: path, sentence."""
        found = []
        if self.base_url is not None and self.base_url.startswith("http://"):
            found.append("base_url: is not https, so the key goes over the line as it is")
        for name, entry in self.receive.items():
            if isinstance(entry, Firehose) and entry.key_setting:
                found.append(f"receive.{name}.key_setting: a key inside the body is checked only after it was read")
        return tuple(found)


def overlaps(connectors: Mapping[str, BrazeSettings]) -> tuple[str, ...]:
    """What two connectors must not share: sentences with their paths."""
    found = []
    names = list(connectors)
    for place, second in enumerate(names):
        for first in names[:place]:
            one, other = connectors[first], connectors[second]
            found += [
                f"connectors.{second}.receive.{entry}: {first} has an entry of this name; choose another"
                for entry in sorted(one.receive.keys() & other.receive.keys())
            ]
            if _is_same(one.rest_key, other.rest_key):
                found += [
                    f"connectors.{second}: writes {attribute.strip()!r} with the same rest_key as {first}, "
                    "so each overwrites the other: put both entries under one connector, or name another attribute"
                    for attribute in sorted(one.membership_attributes() & other.membership_attributes())
                ]
    return tuple(found)


def _is_same(one: Secret, other: Secret) -> bool:
    """By what they hold; where that cannot be read here, by what the file says."""
    try:
        return one.reveal() == other.reveal()
    except ValueError:
        return one == other

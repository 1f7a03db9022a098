"""Options of the emulated Mixpanel: how strict it is, which accounts it has, what it remembers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DAY_MS = 86_400_000
IdMode = Literal["simplified", "original"]
"""How a project merges identities."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Account(_Section):
    """A service account of a project."""

    user: str
    secret: Annotated[str, Field(repr=False)]
    expired: bool = False


class Project(_Section):
    """A project and who may write to it. `id_mode` is how it merges identities."""

    token: Annotated[str, Field(repr=False)] = "0123456789abcdef0123456789abcdef"  # noqa: S105 opens nothing but this
    api_secret: Annotated[str, Field(repr=False)] = "fedcba9876543210fedcba9876543210"  # noqa: S105 the same
    project_id: str = "1234567"
    accounts: tuple[Account, ...] = (
        Account(user="streams.service-account", secret="service-account-secret"),  # noqa: S106 the same
    )
    id_mode: IdMode = "simplified"
    retention_days: Annotated[int, Field(ge=1)] = 730
    """Two years for projects made from September 2025."""


class Limits(_Section):
    """Limits of a request, an event and a minute."""

    bytes_max: int = 10_485_760
    """Uncompressed bytes of a request. Older projects report 2,097,152."""
    events_max: int = 2_000
    too_many_status: Literal[400, 413] = 413
    """The status for a request with more events. Mixpanel does not say which it is."""
    event_bytes_max: int = 1_048_576
    """An event must be smaller than this."""
    entries_max: int = 255
    """An event must have fewer properties than this, an object fewer keys, an array fewer elements."""
    depth_max: int = 3
    """How many levels of objects there may be under `properties`."""
    rate_bytes: int = 2_000_000_000
    rate_events: int = 1_800_000
    rate_seconds: int = 60
    """Both rates count in a rolling window of this many seconds, for each project."""


class MixpanelOptions(_Section):
    """Options of the emulated Mixpanel."""

    projects: Annotated[tuple[Project, ...], Field(min_length=1)] = (Project(),)
    limits: Limits = Limits()
    lax_insert_id: bool = False
    """Accept any `$insert_id` that is not on the list of blocked values. Users report that today's server does this."""
    keep: Literal["full", "counts", "discard"] = "full"
    """`full`: rows and requests. `counts`: every rule checked, totals only. `discard`: authentication, unpacking and
    a count of events, nothing else: for benchmarks."""
    rows_max: Annotated[int, Field(ge=1)] = 500_000
    """How many rows are kept, at about 2 kB each. Older ones are forgotten; the totals stay."""

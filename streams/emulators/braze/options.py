"""Options of the emulated Braze: how strict it is, which keys it accepts, what it remembers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RestKey(_Section):
    """A REST API key with the permission `users.track`."""

    name: str = "rest_key"
    key: Annotated[str, Field(min_length=1, repr=False)] = "00000000-1111-2222-3333-444444444444"


class CohortApi(_Section):
    """A partner's cohort import: its keys go in the body."""

    partner: str = "mixpanel"
    partner_api_key: Annotated[str, Field(min_length=1, repr=False)] = "partner-api-key"
    data_import_key: Annotated[str, Field(min_length=1, repr=False)] = "data-import-key"


class Limits(_Section):
    """Limits of a request, an object and a window of time."""

    objects_max: int = 75
    """The most objects of a request. `objects_in` says how they are counted."""
    objects_in: Literal["request", "array"] = "request"
    """`request`: in all three arrays together. `array`: in each, as for customers on legacy limits."""
    request_bytes_max: int = 4_000_000
    too_large_status: Literal[400, 413] = 413
    """The status for a request with more bytes. Braze's pages name both."""
    object_bytes_max: int = 100_000
    external_id_bytes_max: int = 987
    text_characters_max: int = 255
    """The longest name or text. Longer texts are cut, longer names are refused."""
    array_items_max: int = 500
    """The most items of an attribute that is an array. More items are dropped."""
    quantity_max: int = 100
    """Of one purchase."""
    cohort_ids_max: int = 1_000
    """The most ids of one request of the cohort import."""
    requests_per_window: Annotated[int, Field(ge=1)] = 3_000
    window_seconds: Annotated[int, Field(ge=1)] = 3
    """Requests to `/users/track` are counted in windows of this length. A window begins at a multiple of it."""
    reset_as: Literal["epoch", "seconds"] = "epoch"
    """What `X-RateLimit-Reset` holds. Braze's pages name one form, and users report the other."""


class BrazeOptions(_Section):
    """Options of the emulated Braze."""

    rest_keys: Annotated[tuple[RestKey, ...], Field(min_length=1)] = (RestKey(),)
    cohort_api: CohortApi | None = CohortApi()
    limits: Limits = Limits()
    users: tuple[str, ...] = ()
    """External ids of the users that exist at the start."""
    success_status: Literal[200, 201] = 201
    maintenance: bool = False
    """Answer 202 `queued` instead of `success_status`. It also means that the request is accepted."""
    retry_after: bool = True
    """Whether a 429 says `X-Ratelimit-Retry-After`."""
    keep: Literal["full", "counts", "discard"] = "full"
    """`full`: rows, users and requests. `counts`: every rule checked, users and totals. `discard`: the key and a count
    of objects, nothing else: for benchmarks."""
    rows_max: Annotated[int, Field(ge=1)] = 500_000
    """How many rows are kept, at about 1 kB each. Older ones are forgotten; users and totals stay."""

    @model_validator(mode="after")
    def _has_each_key_once(self) -> BrazeOptions:
        for each in ([key.key for key in self.rest_keys], [key.name for key in self.rest_keys]):
            if len(set(each)) < len(each):
                raise ValueError("two REST keys have the same key or name")
        return self

"""Options of the emulated mParticle: how strict it is, which inputs it has, what it remembers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Feed = Literal["ios", "android", "web", "unbound"]
FEEDS: tuple[Feed, ...] = ("ios", "android", "web", "unbound")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Input(_Section):
    """A server-to-server input: its key pair, its platform, and the workspace that it writes to."""

    key: str
    secret: Annotated[str, Field(repr=False)]
    feed: Feed
    workspace: str = "default"


def _one_of_each() -> tuple[Input, ...]:
    return tuple(Input(key=f"{feed}-key", secret=f"{feed}-secret", feed=feed) for feed in FEEDS)


class Limits(_Section):
    """What requests, batches and events may hold. A kB is 1,000 bytes: the page does not say which it means."""

    batches_max: int = 100
    """The most batches of one bulk request."""
    request_bytes_max: int = 256_000
    """A request must be smaller than this, on each path."""
    batch_bytes_max: int = 128_000
    name_characters_max: int = 256
    """The longest name of an event or attribute; longer names are cut."""
    value_characters_max: int = 4_096
    """The longest value of an attribute; a longer value is dropped."""
    attributes_max: int = 100
    """The most attributes of an event or a user. If there are more, all are dropped."""
    event_names_max: int = 1_000
    """The most event names of a workspace. Events with more names are dropped."""
    batches_per_second: Annotated[float, Field(gt=0)] = 270.0
    """Per second. The events of one second may come at once."""
    rate_scope: Literal["account", "feed"] = "account"
    """Whether all inputs share this rate, as the pages say, or each has its own."""


class MParticleOptions(_Section):
    """Options of the emulated mParticle."""

    inputs: Annotated[tuple[Input, ...], Field(min_length=1)] = _one_of_each()
    limits: Limits = Limits()
    strict: bool = False
    """If something of a request would be dropped or cut without telling, refuse the request with 400 and store
    nothing."""
    gzip: bool = False
    """Accept `Content-Encoding: gzip`. mParticle's pages do not mention it."""
    retry_after: bool = True
    """Whether a 429 says `Retry-After`."""
    dedup_days: Annotated[float, Field(gt=0)] = 30.0
    """How long a `source_request_id` is remembered: mParticle says 30 to 60 days."""
    keep: Literal["full", "counts", "discard"] = "full"
    """`full`: rows and requests. `counts`: every rule checked, totals only. `discard`: authentication and a count of
    events, nothing else: for benchmarks."""
    rows_max: Annotated[int, Field(ge=1)] = 500_000
    """How many batches and ids are kept, at about 2 kB each. Older ones are forgotten; the totals stay."""

    @model_validator(mode="after")
    def _has_each_key_once(self) -> MParticleOptions:
        keys = [each.key for each in self.inputs]
        if len(set(keys)) < len(keys):
            raise ValueError("two inputs have the same key")
        return self

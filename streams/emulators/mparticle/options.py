"""How strict the emulated mParticle is, which inputs it knows, and what it keeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Feed = Literal["ios", "android", "web", "unbound"]
FEEDS: tuple[Feed, ...] = ("ios", "android", "web", "unbound")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Input(_Section):
    """A server-to-server input: one key pair, the platform that it acts as, the workspace that it writes to."""

    key: str
    secret: Annotated[str, Field(repr=False)]
    feed: Feed
    workspace: str = "default"


def _one_of_each() -> tuple[Input, ...]:
    return tuple(Input(key=f"{feed}-key", secret=f"{feed}-secret", feed=feed) for feed in FEEDS)


class Limits(_Section):
    """What requests, batches and events may hold. A kB is 1,000 bytes: the page does not say which it means."""

    batches_max: int = 100
    """In one bulk request."""
    request_bytes_max: int = 256_000
    """A request is smaller than this, whichever path."""
    batch_bytes_max: int = 128_000
    name_characters_max: int = 256
    """Of names of events and of attributes; longer ones are cut."""
    value_characters_max: int = 4_096
    """Of an attribute's value; a longer one is dropped."""
    attributes_max: int = 100
    """Of an event and of a user; where there are more, all are dropped."""
    event_names_max: int = 1_000
    """Distinct names in a workspace; events with further ones are dropped."""
    batches_per_second: Annotated[float, Field(gt=0)] = 270.0
    """One second's worth may come at once."""
    rate_scope: Literal["account", "feed"] = "account"
    """Whether all inputs share this rate, as the pages say, or each has its own."""


class MParticleOptions(_Section):
    """Options of the emulated mParticle."""

    inputs: Annotated[tuple[Input, ...], Field(min_length=1)] = _one_of_each()
    limits: Limits = Limits()
    strict: bool = False
    """Refuse with 400, and store nothing of, a request of which something would be dropped or cut in silence."""
    gzip: bool = False
    """Take `Content-Encoding: gzip`, which no page mentions."""
    retry_after: bool = True
    """Whether a 429 says `Retry-After`."""
    dedup_days: Annotated[float, Field(gt=0)] = 30.0
    """How long a `source_request_id` is remembered: mParticle says 30 to 60 days."""
    keep: Literal["full", "counts", "discard"] = "full"
    """`full`: rows and requests. `counts`: every rule checked, totals only. `discard`: authentication and a count of
    events, nothing else: for benchmarks."""
    rows_max: Annotated[int, Field(ge=1)] = 500_000
    """Newest batches and ids kept, at about 2 kB each; older ones are forgotten, totals are not."""

    @model_validator(mode="after")
    def _has_each_key_once(self) -> MParticleOptions:
        keys = [each.key for each in self.inputs]
        if len(set(keys)) < len(keys):
            raise ValueError("two inputs have the same key")
        return self

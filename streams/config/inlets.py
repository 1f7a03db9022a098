"""The `inlets` section: how Currents events reach their topics, from a bucket or over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictStr, ValidationInfo, WithJsonSchema

from streams.config.kafka import OptionValue, Section
from streams.values import Bytes, Seconds, Secret

PATH = "/currents"
"""The address of an HTTP inlet begins so; then comes its name."""
TOKEN_CHARACTERS_MIN = 24
"""A token alone lets its bearer write events: Braze signs nothing."""
BODY_BYTES_MAX = 16_000_000
"""Of a request with events, as received and as inflated; larger ones are answered 413, and Braze splits them."""
MEMORY_BYTES_MIN = 2 * BODY_BYTES_MAX
"""`receiver.memory` where an HTTP inlet is: one largest body may wait while another one comes."""

POLL_SECONDS_MIN = 5.0
POLL_SECONDS_MAX = 600.0
HOUR_SECONDS = 3600.0
LOOKBACK_SECONDS_MIN = 3 * HOUR_SECONDS
"""Each poll looks two hours back: less would say nothing."""
LOOKBACK_SECONDS_MAX = 90 * 24 * HOUR_SECONDS
SCRATCH_BYTES_MIN = 10_000_000
START_PATTERN = r"all|now|\d{4}-\d{2}-\d{2}T\d{2}"
URL_PATTERN = (
    r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,221}[A-Za-z0-9](/[^\s?#]*)?"
    r"|file:///[^\s?#]*"
)
TOPIC_PREFIX_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$"
_OPTION_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"


def _within(least: float, most: float, words: str) -> AfterValidator:
    def check(number: float) -> float:
        if not least <= number <= most:
            raise ValueError(f"must be {words}")
        return number

    return AfterValidator(check)


def _is_url(text: str) -> str:
    if not re.fullmatch(URL_PATTERN, text) or "/../" in f"{text}/":
        raise ValueError(
            "must be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder, without user, "
            "password or query"
        )
    return text


def _is_start(text: str) -> str:
    if text in ("all", "now"):
        return text
    try:
        _hour(text)
    except ValueError:
        raise ValueError("must be all, now, or an hour in UTC such as 2026-11-01T00") from None
    return text


def _hour(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)


def _is_queue(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError("must be the address of an SQS queue: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
    return text


def _is_token(secret: Secret, info: ValidationInfo) -> Secret:
    if secret.is_reference and not (info.context or {}).get("reads_secrets", True):
        return secret
    if len(secret.reveal()) < TOKEN_CHARACTERS_MIN:
        raise ValueError(f"must have at least {TOKEN_CHARACTERS_MIN} characters")
    return secret


class StorageInlet(Section):
    """Files that Braze writes to a bucket, or that others put into a folder."""

    kind: Annotated[Literal["storage"], Field(description="Files in a bucket or folder.")]
    url: Annotated[
        StrictStr,
        AfterValidator(_is_url),
        WithJsonSchema({"type": "string", "pattern": f"^({URL_PATTERN})$"}),
        Field(
            description="Where the files are: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or "
            "`file:///folder`. Two inlets never read the same files."
        ),
    ]
    options: Annotated[
        dict[Annotated[StrictStr, Field(pattern=_OPTION_PATTERN)], OptionValue],
        Field(
            repr=False,
            description="Region, endpoint, keys: names as the library `obstore` has them. Text may be a reference, "
            "`${ENV}` or `file:/path`. Without keys the platform's identity is used.",
            examples=[{"region": "eu-central-1"}],
        ),
    ] = {}
    poll: Annotated[
        Annotated[Seconds, _within(POLL_SECONDS_MIN, POLL_SECONDS_MAX, "5s to 10m")],
        Field(description="Between two looks for new files: 5s to 10m."),
    ] = 30.0
    lookback: Annotated[
        Annotated[Seconds, _within(LOOKBACK_SECONDS_MIN, LOOKBACK_SECONDS_MAX, "3h to 90d")],
        Field(description="How late a file may appear and still be found within 15 minutes: 3h to 90d."),
    ] = 8 * 24 * HOUR_SECONDS
    start: Annotated[
        StrictStr,
        AfterValidator(_is_start),
        WithJsonSchema({"type": "string", "pattern": f"^({START_PATTERN})$"}),
        Field(description="Where an inlet begins that took nothing yet: `all`, `now`, or an hour, `2026-11-01T00`."),
    ] = "all"
    scratch: Annotated[Path, Field(description="Folder where a file lies while it is read.")] = Path("/scratch")
    scratch_max: Annotated[
        Annotated[Bytes, _within(SCRATCH_BYTES_MIN, 10**15, "at least 10MB")],
        Field(description="Largest file that is read: at least 10MB."),
    ] = 2_000_000_000
    notify_queue: Annotated[
        StrictStr,
        AfterValidator(_is_queue),
        Field(
            description="SQS queue of the bucket's notifications. A message in it starts a look at once; it is never "
            "relied on."
        ),
    ] = ""
    damaged_after: Annotated[
        Annotated[Seconds, _within(1.0, 30 * 24 * HOUR_SECONDS, "1s to 30d")],
        Field(
            description="How long a file that cannot be read waits for a correct one before it is parked: 1s to 30d."
        ),
    ] = HOUR_SECONDS

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def place(self) -> str:
        """Bucket and prefix, or the folder, without a slash at the end."""
        return self.url.partition("://")[2].rstrip("/")

    @property
    def start_hour(self) -> datetime | None:
        """The hour that `start` names, in UTC; None for `all` and `now`."""
        return None if self.start in ("all", "now") else _hour(self.start)

    def revealed_options(self) -> dict[str, str | bool | int | float]:
        """The options with secrets as they are now. Raises `ValueError` that names a secret which is away."""
        return {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.options.items()}


class HttpInlet(Section):
    """What Braze's Custom HTTP connector sends to the receiver."""

    kind: Annotated[Literal["http"], Field(description="Events that Braze sends to the receiver.")]
    tokens: Annotated[
        tuple[Annotated[Secret, AfterValidator(_is_token)], ...],
        Field(
            min_length=1,
            max_length=2,
            description="One token, or two while it is changed; at least 24 characters each. With `file:/path` it is "
            "changed without a restart.",
        ),
    ]
    unauthorized: Annotated[
        Literal[503, 401],
        Field(
            description="What events with a wrong token are answered. Braze never sends again what was answered 401; "
            "after 503 it does."
        ),
    ] = 503
    topic_prefix: Annotated[
        StrictStr | None,
        Field(
            pattern=TOPIC_PREFIX_PATTERN,
            description="What stands before the event type in a topic's name; another one for a test of Currents. "
            "Default: `source.topic_prefix`.",
        ),
    ] = None


Inlet = StorageInlet | HttpInlet
INLET_KINDS: Mapping[str, type[StorageInlet] | type[HttpInlet]] = {"storage": StorageInlet, "http": HttpInlet}


@dataclass(frozen=True, slots=True)
class Conflict:
    """What an inlet has against another one: its place within `inlets`, and the fix."""

    path: tuple[str | int, ...]
    fix: str


def conflicts(inlets: Mapping[str, Inlet], *, reads_secrets: bool = True) -> Iterator[Conflict]:
    """Inlets that would read the same files, tokens and queues that occur twice, and queues that are none of S3's."""
    seen: dict[str, StorageInlet] = {}
    queues: dict[str, str] = {}
    owners: dict[object, tuple[str, int]] = {}
    for name, inlet in inlets.items():
        if isinstance(inlet, StorageInlet):
            for other, earlier in seen.items():
                if _overlap(earlier, inlet):
                    fix = f"overlaps inlets.{other}.url, {earlier.url}: each file must be read by one inlet alone"
                    yield Conflict((name, "url"), fix)
            seen[name] = inlet
            if inlet.notify_queue:
                if inlet.scheme != "s3":
                    fix = f"is only for buckets of S3: leave it out where url is {inlet.scheme}://"
                    yield Conflict((name, "notify_queue"), fix)
                elif (other := queues.setdefault(inlet.notify_queue, name)) != name:
                    fix = f"is the queue of inlets.{other} too: each message reaches one inlet alone"
                    yield Conflict((name, "notify_queue"), fix)
            continue
        for index, token in enumerate(inlet.tokens):
            first = owners.setdefault(_identity(token, reads_secrets), (name, index))
            if first != (name, index):
                fix = f"is the same token as inlets.{first[0]}.tokens[{first[1]}]: each token must occur once"
                yield Conflict((name, "tokens", index), fix)


def _identity(token: Secret, reads_secrets: bool) -> object:
    """What makes two tokens the same: their text, else where it stands."""
    if reads_secrets or not token.is_reference:
        try:
            return token.reveal()
        except ValueError:
            pass
    return token


def _overlap(one: StorageInlet, other: StorageInlet) -> bool:
    if one.scheme != other.scheme or _service(one) != _service(other):
        return False
    first, second = sorted((f"{one.place}/", f"{other.place}/"))
    return second.startswith(first)


def _service(inlet: StorageInlet) -> frozenset[tuple[str, str]]:
    """What tells two buckets of one name apart: the address of the store, or the account."""
    telling = ("endpoint", "endpoint_url", "account_name", "base_url")
    found = ((re.sub("^(aws|azure_storage|google)_", "", name.lower()), value) for name, value in inlet.options.items())
    return frozenset((name, str(value).rstrip("/")) for name, value in found if name in telling)

"""The `kafka` section: where the cluster is, how to connect, and client settings for each of our roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from streams.config.problems import ConfigurationError, Problem
from streams.values import Secret, host_problem

ClientConfig = dict[str, str | bool | int | float]
"""What confluent-kafka's clients take. Holds revealed secrets: never log it."""

LOG_LEVEL = 4
"""Warnings and worse; they go through our log, one of a kind each 30 s (`adapters.kafka.clients`).
`kafka.options: {log_level: 6}` shows more."""
MESSAGE_BYTES_MAX = 2_000_000
"""What our topics take at least: Braze's largest events are near 1 MB; headers and batch framing come on top."""
RECORD_BYTES_MAX = 16_000_000
"""A record before compression, with key and headers: what a client of ours tries to write. What a topic takes after
compression is for the topic to say. `kafka.options: {message.max.bytes: …}` sets another limit."""

_READS = "reads are read_committed, and what is aborted must never be delivered"
_GROUPS = "the group's name carries the account of what was delivered"
_COMMITS = "offsets are committed only past settled records"
_ASSIGNMENT = "set kafka.group_protocol instead (classic | consumer)"
_WRITES = "a record must be written once, and by all in-sync replicas"
REFUSED_OPTIONS: Mapping[str, str] = {
    "isolation.level": _READS,
    "group.id": _GROUPS,
    "group.protocol": _ASSIGNMENT,
    "partition.assignment.strategy": _ASSIGNMENT,
    "auto.offset.reset": "a gap in a topic is counted and audited, never skipped in silence",
    "enable.partition.eof": "reading a topic to its end relies on it",
    "partitioner": "every writer uses murmur2_random, so that a key keeps its partition",
    "group.instance.id": "one name for all processes: each would end the one before it",
    "transactional.id": "it fences a process that was replaced; set STREAMS_INSTANCE for a stable name",
    "enable.idempotence": _WRITES,
    "acks": _WRITES,
    "request.required.acks": _WRITES,
    "bootstrap.servers": "set kafka.bootstrap_servers instead",
    "metadata.broker.list": "set kafka.bootstrap_servers instead",
}
"""librdkafka settings that a promise rests on, with the reason."""


def refusal(option: str) -> str | None:
    """Why this librdkafka setting may not be set, or None."""
    if option.startswith("enable.auto."):
        return _COMMITS
    if option == "logger" or option.endswith("_cb"):
        return "it is not a setting of librdkafka"
    return REFUSED_OPTIONS.get(option)


def _permitted(option: str) -> str:
    if reason := refusal(option):
        raise ValueError(f"may not be set: {reason}")
    return option


def _option(value: object, info: ValidationInfo) -> str | bool | int | float | Secret:
    if not isinstance(value, str | bool | int | float):
        raise ValueError("must be text, a number, true or false")  # noqa: TRY004 - pydantic collects these
    if isinstance(value, str) and (value.startswith("file:") or "${" in value):
        context = info.context or {}
        return Secret(value.strip(), context.get("environment")).checked(context)
    return value


OptionName = Annotated[StrictStr, AfterValidator(_permitted)]
OptionValue = Annotated[
    str | bool | int | float | Secret,
    PlainValidator(_option),
    WithJsonSchema({"type": ["string", "boolean", "number"]}),
]


class Section(BaseModel):
    """A part of the configuration file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())


class TopicDefaults(Section):
    """What topics that we create look like. On a cluster with one broker replication is always 1."""

    create: Annotated[
        StrictBool, Field(description="Whether `run` and `ingest` create missing topics automatically.")
    ] = True
    partitions: Annotated[StrictInt, Field(ge=1, le=10_000, description="Partitions of a new topic.")] = 6
    replication: Annotated[StrictInt, Field(ge=1, le=100, description="Replicas of a new topic.")] = 3
    min_insync_replicas: Annotated[
        StrictInt,
        Field(ge=1, le=100, description="Replicas that must have a record before it counts as written."),
    ] = 2

    @model_validator(mode="after")
    def _can_lose_a_broker(self) -> TopicDefaults:
        if self.min_insync_replicas > self.replication:
            raise ValueError(
                f"min_insync_replicas is {self.min_insync_replicas}, "
                f"and must not be larger than replication, {self.replication}"
            )
        return self


def _are_brokers(text: str) -> str:
    for broker in text.split(","):
        host, _, port = broker.strip().rpartition("://")[2].rpartition(":")
        if not host or broker.strip().endswith("]"):
            host, port = broker.strip(), "9092"
        if problem := host_problem(host, port):
            raise ValueError(f"must be host:port, separated by commas: {problem}")
    return text


class Kafka(Section):
    """The cluster and how we use it."""

    bootstrap_servers: Annotated[
        StrictStr,
        Field(
            pattern=r"^[^\s,$]+(:\d{1,5})?(,\s*[^\s,$]+(:\d{1,5})?)*$",
            description="Brokers to ask first: host:port, separated by commas.",
            examples=["kafka:9092"],
        ),
        AfterValidator(_are_brokers),
    ]
    options: Annotated[
        dict[OptionName, OptionValue],
        Field(
            repr=False,
            description="Any other librdkafka setting. Text may be a reference, `${ENV}` or `file:/path`.",
            examples=[{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}],
        ),
    ] = {}
    group_protocol: Annotated[
        Literal["classic", "consumer"],
        Field(
            description="`classic` (cooperative-sticky) or `consumer` (KIP-848, brokers from 4.0). With `consumer`,"
            " brokers decide when others take over from a killed process: `group.consumer.session.timeout.ms`."
        ),
    ] = "classic"
    topic_prefix: Annotated[
        StrictStr,
        Field(
            pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$",
            description="What the names of our topics, groups and transactional ids begin with.",
        ),
    ] = "streams."
    topics: Annotated[TopicDefaults, Field(description="What topics that we create look like.")] = TopicDefaults()
    _last: dict[str, str] = PrivateAttr(default_factory=dict)
    """Secrets of the options as they were read last."""

    def client_config(self, client_id: str) -> ClientConfig:
        """Settings for any client (administration); secrets are revealed, and read again at each call.

        Raises `ConfigurationError` where one cannot be read.
        """
        config: ClientConfig = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": client_id,
            "log_level": LOG_LEVEL,
        }
        for name, value in self.options.items():
            config[name] = self._revealed(name, value) if isinstance(value, Secret) else value
        return config

    def _revealed(self, name: str, secret: Secret) -> str:
        """The secret; what it was, while its file is away: files are swapped, and Kafka itself says what is wrong."""
        try:
            text = self._last[name] = secret.reveal()
        except ValueError as error:
            if name not in self._last:
                raise ConfigurationError([Problem(f"kafka.options.{name}", str(error))]) from None
            return self._last[name]
        return text

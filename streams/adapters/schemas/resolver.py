"""A resolver of writers' schemas from the configuration: the shipped ones, folders, the schemas topic, a registry."""

from __future__ import annotations

from contextlib import ExitStack

from streams.adapters.clock import SystemClock
from streams.adapters.schemas.sources import FolderSchemas, TopicSchemas
from streams.config import Settings
from streams.events.schemas import shipped
from streams.ports.schemas import SchemaSource
from streams.workers.reading.schema_resolver import SchemaResolver


def schema_resolver(settings: Settings, client_id: str, stack: ExitStack, wait_seconds: float) -> SchemaResolver:
    """A resolver for as long as `stack` is open. After `wait_seconds` an unknown schema is final."""
    source = settings.source
    topic_schemas = TopicSchemas(
        settings.kafka.client_config(client_id), settings.topics.schemas, f"{client_id}-schemas"
    )
    stack.callback(topic_schemas.close)
    sources: list[SchemaSource] = [topic_schemas]
    if source.schema_folders:
        sources.insert(0, FolderSchemas(source.schema_folders))
    registry = None
    if (there := source.schema_registry) is not None:
        # Imported here: it brings aiohttp, which most commands and a router do without.
        from streams.adapters.http import HttpTransport
        from streams.adapters.schemas.registry import ANSWER_SECONDS_MAX, RegistrySchemas

        transport = HttpTransport(settings.http, request_seconds_max=ANSWER_SECONDS_MAX)
        stack.callback(transport.close)
        registry = RegistrySchemas(there, transport)
    return SchemaResolver(
        shipped(),
        sources,
        registry,
        encoding=source.encoding,
        source_topic_prefix=source.topic_prefix,
        unknown_schema_seconds_max=wait_seconds,
        clock=SystemClock(),
    )

"""Which tests need a broker that speaks the group protocol `consumer` (KIP-848): Kafka has it from 4.0 on."""

from __future__ import annotations

import pytest

from streams.testing.kafka import kafka_version

needs_consumer_protocol = pytest.mark.skipif(
    kafka_version().startswith("3."), reason="Kafka 3 does not speak the group protocol `consumer`"
)

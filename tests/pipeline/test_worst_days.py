"""Bad days that a pipeline must bear: what is slow, large or dead holds up itself alone. Long ones: `make bench`."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.pipeline.line import ANALYTICS, CDP, Line, mixpanel_connector, mparticle_connector, running

OPEN = "users.messages.email.Open"
EVENTS = 40
LARGE_BYTES = 900_000
"""Near the 1 MB that Mixpanel takes for one event. Of a string, mParticle gets the first 4,096 bytes."""
NEVER_SECONDS = 5.0
"""Before each byte of an answer of about 60 bytes: it is not whole within the 30 s that a request may take."""


def record(event_type: str, number: int, **fields: str) -> bytes:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    sample = sample_record(event_type, Random(number), int(time.time()) - 60)
    return encode_single_object(schema, {**sample, "id": f"event-{number}", "external_user_id": "someone", **fields})


def delivered(line: Line, connector: str, many: int) -> None:
    line.flush()
    line.scene.wait_until(lambda: line.scene.account(connector).delivered == many, f"{connector} to deliver {many}")


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_a_destination_that_answers_byte_by_byte_holds_up_its_own_connector_alone_and_its_sink_leaves_when_told(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    mixpanel.fail(byte_seconds=NEVER_SECONDS, count=None)
    connectors = {ANALYTICS: mixpanel_connector(mixpanel), CDP: mparticle_connector(mparticle)}
    with running(kafka, tmp_path, connectors) as line:
        scene = line.scene
        for number in range(EVENTS):
            line.write(OPEN, record(OPEN, number))
        delivered(line, CDP, EVENTS)
        scene.wait_until(lambda: len(mixpanel.requests()) > 0, "a request that is answered slowly")
        for number in range(EVENTS, 2 * EVENTS):
            line.write(OPEN, record(OPEN, number))
        delivered(line, CDP, 2 * EVENTS)
        account = scene.account(ANALYTICS)
        assert (account.delivered, account.waiting, account.parked) == (0, 2 * EVENTS, {})
        assert line.processes[ANALYTICS].terminate() == 0
        mixpanel.clear_faults()
        line.processes[ANALYTICS].start()
        delivered(line, ANALYTICS, 2 * EVENTS)
    assert len(mixpanel.unique()) == 2 * EVENTS


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_a_record_of_900_kb_among_small_ones_is_delivered_and_so_are_they(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    connectors = {ANALYTICS: mixpanel_connector(mixpanel), CDP: mparticle_connector(mparticle)}
    with running(kafka, tmp_path, connectors) as line:
        for number in range(EVENTS):
            large = {"campaign_name": "x" * LARGE_BYTES} if number == EVENTS // 2 else {}
            line.write(OPEN, record(OPEN, number, **large))
        for connector in connectors:
            delivered(line, connector, EVENTS)
            account = line.scene.account(connector)
            assert (account.waiting, account.parked) == (0, {})
    assert max(request["bytes_decompressed"] for request in mixpanel.requests()) > LARGE_BYTES
    assert len(mixpanel.unique()) == len(mparticle.unique()) == EVENTS

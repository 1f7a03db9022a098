"""State that a process does not understand: it ends with one sentence that names the key and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.cli.errors import ExitCode
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector
from tests.pipeline.test_answers import OPEN

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]


@pytest.mark.parametrize("is_running", [True, False], ids=["while it runs", "before it starts"])
@pytest.mark.parametrize(
    ("value", "code", "sentence"),
    [
        (b'{"v": 2, "offset": 7}', ExitCode.STATE_TOO_NEW, "upgrade this process"),
        (b"no json", ExitCode.FAILED, "to remove it"),
    ],
    ids=["of a newer version", "of another program"],
)
def test_a_sink_ends_with_a_sentence_that_names_the_key(
    kafka: Broker,
    tmp_path: Path,
    mixpanel: MixpanelEmulator,
    value: bytes,
    code: ExitCode,
    sentence: str,
    is_running: bool,
) -> None:
    name = f"cursor/{ANALYTICS}/rejected/0"
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
        if is_running:
            sink = scene.process("sink", ANALYTICS, instance="sink")
            scene.wait_until(lambda: "keeper starts" in sink.log.read_text(), "the keeper to hold the lease")
        producer = Producer({"bootstrap.servers": scene.bootstrap_servers})
        producer.produce(scene.settings.topics.state, value, name)
        assert producer.flush(60) == 0
        if not is_running:
            sink = scene.process("sink", ANALYTICS, instance="sink")
        scene.wait_until(lambda: sink.exit_code is not None, "the sink to end")
        assert (sink.exit_code, "Traceback" in sink.log.read_text()) == (code, False)
        assert name in sink.last_words()
        assert sentence in sink.last_words()

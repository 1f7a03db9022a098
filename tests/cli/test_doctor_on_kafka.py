"""`streams doctor` against a broker and an emulated destination."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from streams.testing.processes import free_port
from tests.chaos.scene import staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector

pytestmark = pytest.mark.kafka


def examined(config: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by what was looked at."""
    command = [sys.executable, "-m", "streams", "doctor", "--output", "json", "--config", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not result.stdout:
        return result.returncode, {}
    return result.returncode, {one["what"]: one for one in json.loads(result.stdout)["findings"]}


def test_everything_that_must_work_is_looked_at_and_what_lacks_has_a_fix(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        code, findings = examined(scene.config)
        assert code == 0
        assert findings[f"credentials {ANALYTICS}/default"]["outcome"] == "ok"
        assert findings["topics"]["outcome"] == "ok"
        assert findings["Currents topics"]["outcome"] == "warning"
        assert findings[f"sink {ANALYTICS}"]["fix"] == f"streams run sink {ANALYTICS}"
        assert "Kafka forgets" in findings["router"]["detail"]
        mixpanel.revoke()
        code, findings = examined(scene.config)
        assert code == 4
        assert findings[f"credentials {ANALYTICS}/default"]["detail"] == "refused (401)"


def test_missing_topics_and_silent_destinations_are_problems_and_the_worst_gives_the_exit_code(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    connector = mixpanel_connector(mixpanel)
    content = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": "unmade."},
        "connectors": {ANALYTICS: connector},
    }
    config = tmp_path / "streams.yaml"
    config.write_text(yaml.safe_dump(content))
    code, findings = examined(config)
    assert code == 1
    assert findings["topic unmade.state"]["fix"] == "streams topics apply"
    content["connectors"] = {ANALYTICS: {**connector, "base_url": f"http://127.0.0.1:{free_port()}"}}
    config.write_text(yaml.safe_dump(content))
    code, findings = examined(config)
    assert code == 5
    assert findings[f"credentials {ANALYTICS}/default"]["outcome"] == "problem"


def test_a_kafka_that_does_not_answer_is_told_with_its_address_and_the_rest_is_looked_at(
    tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    address = f"127.0.0.1:{free_port()}"
    content = {"kafka": {"bootstrap_servers": address}, "connectors": {ANALYTICS: mixpanel_connector(mixpanel)}}
    config = tmp_path / "streams.yaml"
    config.write_text(yaml.safe_dump(content))
    code, findings = examined(config)
    assert code == 5
    assert address in findings["kafka"]["detail"]
    assert findings[f"credentials {ANALYTICS}/default"]["outcome"] == "ok"

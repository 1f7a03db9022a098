"""`streams doctor` against a broker and an emulated destination."""

from __future__ import annotations

import base64
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
from tests.registry import Registry, Says, error

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
        mixpanel.restore()
        mixpanel.fail(status=429, headers={"Retry-After": "30"})
        code, findings = examined(scene.config)
        assert code == 5
        found = findings[f"credentials {ANALYTICS}/default"]
        assert "busy (status 429)" in found["detail"]
        assert "address" not in found["fix"]


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
    command = [sys.executable, "-m", "streams", "doctor", "--config", str(config)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stderr
    assert said.count("streams topics apply") == 1, "one hint for all topics"
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


def test_the_schema_registry_is_asked_over_http(tmp_path: Path) -> None:
    """Kafka and the destination need not answer for this."""
    registry = Registry()
    good = "Basic " + base64.b64encode(b"me:secret").decode()

    def answer(path: str) -> Says:
        if registry.authorizations[-1] != good:
            return error(401, 401, "Unauthorized")
        if not path.startswith("/schemas/ids/"):
            return error(404, 404, "HTTP 404 Not Found")
        return error(404, 40403, "Schema 1 not found")

    registry.says = answer

    def found(url: str, password: str = "secret") -> tuple[str, str]:
        content = {
            "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"},
            "source": {"schema_registry": {"url": url, "username": "me", "password": password}},
            "connectors": {
                ANALYTICS: {"destination": "mixpanel", "project_token": "0" * 32, "base_url": "http://127.0.0.1:1"}
            },
        }
        config = tmp_path / "streams.yaml"
        config.write_text(yaml.safe_dump(content))
        _, findings = examined(config)
        finding = findings["schema registry"]
        return finding["outcome"], f"{finding['detail']}; {finding['fix']}"

    try:
        assert found(registry.url) == ("ok", f"answers at {registry.url}; None")
        for url, password, words in (
            (registry.url, "wrong", "refused (401); fix the credentials in source.schema_registry"),
            (f"{registry.url}/api", "secret", "status 404, which is not the answer of a schema registry"),
            (f"http://127.0.0.1:{free_port()}", "secret", "connection refused"),
            (registry.url, f"file:{tmp_path}/away", "source.schema_registry.password: cannot read secret file"),
        ):
            outcome, said = found(url, password)
            assert outcome == "problem"
            assert words in said
    finally:
        registry.close()

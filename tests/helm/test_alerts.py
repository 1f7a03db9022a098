"""The alerts: what sets them off, which metrics they name, where their runbooks are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, ROOT, case, render
from tests.helm.promql import unknown

ALERTS = CHART / "alerts" / "streams.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "alerts_test.yaml").read_text(encoding="utf-8"))[
    "tests"
]


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own tool, from PATH or the variable PROMTOOL."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found is None:
        pytest.skip(
            "NOT PROVED HERE: promtool is not on PATH, so no alert was tried on time series; "
            "install Prometheus (Debian: prometheus), or name it in PROMTOOL"
        )
    return found


def run(promtool: str, *arguments: str | Path) -> None:
    command = [promtool, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump(render(case("everything")).one("PrometheusRule")["spec"]), encoding="utf-8")
    run(promtool, "check", "rules", rendered)


@pytest.mark.parametrize("interval", sorted({test["interval"] for test in TESTS}))
def test_each_alert_is_given_for_its_time_series_and_not_before(promtool: str, interval: str, tmp_path: Path) -> None:
    """Long stories are told in long steps: rules are evaluated at each test's own interval."""
    tests = [test for test in TESTS if test["interval"] == interval]
    file = tmp_path / "test.yaml"
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": interval, "tests": tests}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    run(promtool, "test", "rules", file)


@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_every_alert_has_time_series_that_set_it_off(name: str) -> None:
    given = [part for test in TESTS for part in test["alert_rule_test"] if part["alertname"] == name]
    assert any(part["exp_alerts"] for part in given)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_only_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_read(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page = rule["annotations"]["runbook_url"]
    assert re.fullmatch(r"docs/runbooks/[a-z-]+\.md", page)
    text = (ROOT / page).read_text(encoding="utf-8")
    assert rule["alert"] in text, f"{page} does not say which alert leads to it"


def test_a_query_with_a_wrong_name_is_noticed() -> None:
    assert unknown("rate(streams_delivered_record_total[5m])") == {"streams_delivered_record_total"}
    assert unknown('streams_keeper{conector="a"}') == {"streams_keeper{conector}"}
    assert unknown("sum by (conector) (streams_keeper)") == {"(conector)"}
    with pytest.raises(ValueError, match=r"."):
        unknown("sum(streams_keeper")

"""The schema of the values: current, strict, without gaps; and what it allows renders, or is refused in our words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from streams.cli.assembly.processes import LEAVE_SECONDS_MAX, STOP_SECONDS_MAX
from streams.config.schema import json_schema
from tests.helm.chart import CASES, CHART, ROOT, Refused, Rendered, Values, case, case_name, merged, render
from tests.helm.generation import UNDERSTOOD, documents, keywords
from tests.helm.kubernetes import problems

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
DEFAULTS: Values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
PLAIN_SECRET = "planted0planted1planted2planted3"


def paths(values: Any, before: str = "") -> Iterator[str]:
    """Every key that has no keys below it."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from paths(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"


def test_schema_and_readme_are_current() -> None:
    """The schema embeds what `streams config schema` prints."""
    result = subprocess.run(
        [sys.executable, "tools/chart.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr


def test_the_programs_own_schema_is_in_it_and_only_secrets_differ() -> None:
    def without_references(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: without_references(part) for key, part in value.items() if key not in ("not", "patternProperties")
            }
        return [without_references(part) for part in value] if isinstance(value, list) else value

    own = json_schema()
    assert without_references(SCHEMA["$defs"]) == without_references(own["$defs"])
    assert SCHEMA["properties"]["config"]["properties"]["kafka"] == own["properties"]["kafka"]


def test_it_is_a_schema_of_a_dialect_that_every_helm_reads() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert keywords(SCHEMA) <= UNDERSTOOD


@pytest.mark.parametrize("name", [case_name(path) for path in CASES])
def test_another_reading_of_the_schema_takes_every_case_too(name: str) -> None:
    VALIDATOR.validate(merged(case(name)))


def test_every_default_is_allowed_and_every_key_of_it_is_known() -> None:
    """Only what the user must give is missing: the servers of Kafka."""
    found = [error.message for error in VALIDATOR.iter_errors(DEFAULTS)]
    assert found == ["'bootstrap_servers' is a required property"]


def test_the_readme_explains_every_key() -> None:
    told = (CHART / "README.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([\w.]+)` \|", told, re.MULTILINE))
    untold = [
        path for path in paths(DEFAULTS) if not any(path == key or path.startswith(f"{key}.") for key in explained)
    ]
    assert untold == []
    assert "|  |\n" not in told


def test_every_key_of_the_schema_has_a_default_or_is_helms_own() -> None:
    """A key without a default would be in no table."""

    def missing(schema: dict[str, Any], values: Any, before: str = "") -> Iterator[str]:
        for name, part in schema.get("properties", {}).items():
            if not isinstance(values, dict) or name not in values:
                yield f"{before}{name}"
            elif "properties" in part and "$ref" not in part:
                yield from missing(part, values[name], f"{before}{name}.")

    optional = {"global", "pod.resources.claims"}
    of_pods = SCHEMA["properties"]["pod"]["properties"]  # every process takes them over
    probes = re.compile(r"pod\.\w+Probe\.")
    found = {
        path
        for path in missing(SCHEMA, DEFAULTS)
        if path not in optional
        and not probes.match(path)
        and re.sub(r"^(router|sink|inlet|receiver|console)\.", "", path).split(".")[0] not in of_pods
    }
    assert found == set()


@pytest.mark.parametrize(
    "place",
    [
        (), ("image",), ("config",), ("config", "kafka"), ("connectors", "growth-mixpanel"),
        ("connectors", "growth-mixpanel", "config"), ("connectors", "growth-mixpanel", "secret"), ("router",),
        ("sink", "autoscaling"), ("inlet", "serviceAccount"), ("pod",),
        ("strimzi", "users"), ("networkPolicy", "kafka"), ("prometheusRule",),
    ],
    ids=".".join,
)  # fmt: skip
def test_a_key_that_does_not_exist_is_refused(place: tuple[str, ...]) -> None:
    wrong = case("minimal")
    section = wrong
    for name in place:
        section = section.setdefault(name, {})
    section["tpyo"] = True
    with pytest.raises(Refused, match="tpyo"):
        render(wrong)


SECRETS_IN_PLAIN = [
    ("connectors", "one", "config", "project_token"),
    ("connectors", "one", "config", "auth", "api_secret"),
    ("connectors", "one", "config", "notify", "webhook"),
    ("config", "kafka", "options", "sasl.password"),
    ("config", "kafka", "options", "ssl.key.pem"),
    ("config", "kafka", "options", "sasl.oauthbearer.client.secret"),
    ("config", "source", "schema_registry", "password"),
    ("config", "notify", "smtp", "password"),
    ("config", "console", "auth", "tokens", "oncall"),
    ("config", "console", "auth", "proxy", "secret"),
]


@pytest.mark.parametrize("place", SECRETS_IN_PLAIN, ids=lambda place: place[-1])
def test_a_secret_in_plain_is_refused_and_not_repeated(place: tuple[str, ...]) -> None:
    wrong: Values = {
        "config": {"kafka": {"bootstrap_servers": "kafka:9092"}},
        "connectors": {
            "one": {
                "secret": {"existingSecret": "one"},
                "config": {"destination": "mixpanel", "project_token": "file:/secrets/connectors/one/token"},
            }
        },
    }
    section = wrong
    for name in place[:-1]:
        section = section.setdefault(name, {"url": "http://registry:8081"} if name == "schema_registry" else {})
    section[place[-1]] = PLAIN_SECRET
    with pytest.raises(Refused) as refused:
        render(wrong)
    assert f"/{'/'.join(place)}'" in str(refused.value)
    assert PLAIN_SECRET not in str(refused.value)


@given(documents(SCHEMA))
@settings(max_examples=25, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
def test_what_the_schema_allows_renders_or_is_refused_in_our_words(values: Values) -> None:
    values.setdefault("pod", {})["extraEnv"] = [{"name": "TOKEN", "value": "x"}]
    for section in ("router", "sink", "inlet", "receiver", "console"):
        values.get(section, {}).pop("extraEnv", None)
    if values.get("receiver", {}).get("enabled"):
        values["receiver"].setdefault("networkPolicy", {})["from"] = [{"podSelector": {}}]
    values.pop("extraManifests", None)  # another's objects are another's affair
    assert VALIDATOR.is_valid(values), [(list(e.path), e.message[:300]) for e in VALIDATOR.iter_errors(values)]
    rendered = rendered_or_told(values)
    if rendered is not None:
        is_routed = any(one["config"]["destination"] != "braze" for one in values["connectors"].values())
        has_letters = any(one["config"]["kind"] == "http" for one in values.get("inlets", {}).values())
        routers, receivers = is_routed or has_letters, values.get("receiver", {}).get("enabled", False)
        assert len(rendered.of("StatefulSet")) == routers + receivers
        consoles = ["console"] if values.get("console", {}).get("enabled") else []
        stores = [name for name, one in values.get("inlets", {}).items() if one["config"]["kind"] == "storage"]
        assert len(rendered.of("Deployment")) == len(values["connectors"]) + len(consoles) + len(stores)
        for manifest in rendered.objects:
            if manifest["kind"] in ("ConfigMap", "Secret", "NetworkPolicy", "PodDisruptionBudget", "Service"):
                assert list(problems(manifest, "1.33")) == []


def rendered_or_told(values: Values) -> Rendered | None:
    """What the values render, or None where our own checks refuse them. Raises `Refused` for any other refusal."""
    try:
        return render(values)
    except Refused as refused:
        if not re.search(r"the values have \d+ problems?:\n  ", str(refused)):
            raise
        return None


def test_a_pod_has_time_to_stop_with_a_margin_before_it_is_killed() -> None:
    margin_seconds = 5
    least = SCHEMA["properties"]["pod"]["properties"]["terminationGracePeriodSeconds"]["minimum"]
    assert least > STOP_SECONDS_MAX > LEAVE_SECONDS_MAX
    assert DEFAULTS["pod"]["terminationGracePeriodSeconds"] >= LEAVE_SECONDS_MAX + margin_seconds

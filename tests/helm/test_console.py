"""The console in the chart: off by default, closed to strangers, with the secrets that it needs and no others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.helm.chart import Refused, Values, case, render
from tests.helm.test_chart import change, environment, pod, secrets_of, values

INGRESS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
AUTH = {"tokens": {"oncall": "file:/secrets/console/oncall"}}


def changed(config: Values | None = None, **more: Any) -> Values:
    """The case with other keys of `config.console` and of `console`."""
    found = deepcopy(case("console"))
    found["config"]["console"] |= config or {}
    found["console"] |= more
    return found


def without_auth() -> Values:
    found = changed()
    del found["config"]["console"]["auth"]
    return found


def least(**more: Any) -> Values:
    """The least with which there is a console: nobody is let in from outside the pod."""
    found = values(console={"enabled": True, "secret": {"existingSecret": "tokens"}, **more})
    found["config"]["console"] = {"auth": AUTH}
    return found


def test_without_it_there_is_none_of_it() -> None:
    rendered = render(values())
    assert not [found for found in rendered.objects if "console" in found["metadata"]["name"]]
    assert "console" not in rendered.notes


def test_it_is_one_process_that_knows_all_connectors_and_listens_to_more_than_its_pod() -> None:
    rendered = render(case("console"))
    workload = rendered.one("Deployment", "-console")
    assert workload["spec"]["replicas"] == 1
    assert pod(workload)["containers"][0]["args"] == ["run", "console"]
    document = yaml.safe_load(rendered.settings("-console"))
    assert set(document["connectors"]) == {"growth-mixpanel"}
    assert document["console"] == {**case("console")["config"]["console"], "host": "0.0.0.0"}
    assert environment(workload)["STREAMS_INSTANCE"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert pod(workload)["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "200Mi"}


def test_no_other_process_reads_its_section() -> None:
    rendered = render(case("console"))
    for found in rendered.of("ConfigMap"):
        if not found["metadata"]["name"].endswith("-console"):
            assert "console" not in yaml.safe_load(found["data"]["streams.yaml"])


def test_it_mounts_tokens_and_no_secret_of_a_destination_unless_asked_for() -> None:
    assert secrets_of(render(case("console")).one("Deployment", "-console")) == {"console-tokens"}
    asked = render(changed(connectorSecrets=True)).one("Deployment", "-console")
    assert secrets_of(asked) == {"console-tokens", "growth-mixpanel"}
    assert "console-tokens" not in secrets_of(render(case("console")).one("StatefulSet"))


def test_a_variable_of_a_connector_is_not_asked_for_in_its_pod() -> None:
    found = least()
    found["connectors"]["one"]["config"]["project_token"] = "${TOKEN}"
    found["topics"] = {"job": {"enabled": False}}
    found["router"] = {"extraEnv": [{"name": "TOKEN", "value": "x"}]}
    found["connectors"]["one"]["extraEnv"] = [{"name": "TOKEN", "value": "x"}]
    render(found)
    found["config"]["console"] = {"auth": {"tokens": {"oncall": "${ONCALL}"}}}
    with pytest.raises(Refused, match=r"\$\{ONCALL\}: is used by the configuration; set it in console\.extraEnv"):
        render(found)


def test_browsers_come_by_the_ingress_to_the_port_of_the_configuration() -> None:
    rendered = render(case("console"))
    (container,) = pod(rendered.one("Deployment", "-console"))["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 8080, "console": 8091}
    service = rendered.one("Service", "-console")
    assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(8080, "console")]
    ingress = rendered.one("Ingress")["spec"]
    (rule,) = ingress["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("console.example.com", "/", "Prefix")
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "console"}}
    assert ingress["tls"] == [{"secretName": "console-tls", "hosts": ["console.example.com"]}]


def test_a_gateway_gets_a_route_and_no_ingress() -> None:
    rendered = render(case("console-strimzi"))
    route = rendered.one("HTTPRoute")["spec"]
    assert route["hostnames"] == ["console.example.com"]
    (rule,) = route["rules"]
    assert rule["backendRefs"] == [{"name": rendered.one("Service", "-console")["metadata"]["name"], "port": 80}]
    assert rendered.of("Ingress") == []


def test_its_port_is_open_to_those_that_are_named_and_it_reaches_its_prometheus() -> None:
    policy = render(case("console")).one("NetworkPolicy", "-console")["spec"]
    assert policy["ingress"] == [{"from": INGRESS, "ports": [{"protocol": "TCP", "port": "console"}]}]
    assert policy["egress"] == [{"ports": [{"protocol": "TCP", "port": 9090}]}]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "console"


def test_where_nobody_is_named_only_the_port_of_metrics_is_open() -> None:
    rendered = render(least())
    (policy,) = rendered.of("NetworkPolicy")
    assert [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["ingress"]] == [[8080]]
    assert "port-forward service/release-streams-console 8090:80" in rendered.notes


def test_its_metrics_are_read_as_those_of_all() -> None:
    rendered = render(case("console"))
    selected = rendered.one("PodMonitor")["spec"]["selector"]["matchLabels"]
    labels = rendered.one("Deployment", "-console")["spec"]["template"]["metadata"]["labels"]
    assert selected.items() <= labels.items()


def test_its_kafka_user_is_the_operators_and_signs_what_it_reveals_only_where_it_may() -> None:
    def written(values: Values) -> set[str]:
        user = render(values).one("KafkaUser", "-console")
        return {
            rule["resource"]["name"]
            for rule in user["spec"]["authorization"]["acls"]
            if rule["resource"]["type"] == "transactionalId"
        }

    found = deepcopy(case("console-strimzi"))
    assert written(found) == {"streams.schemas", "streams.inlet.", "streams.reveal"}
    found["config"]["console"]["reveal"] = False
    del found["inlets"]
    assert written(found) == {"streams.schemas"}


def test_a_token_that_is_rendered_is_warned_of() -> None:
    rendered = render(least(secret={"values": {"oncall": "a-token-of-a-person"}}))
    assert rendered.one("Secret", "-console")["stringData"] == {"oncall": "a-token-of-a-person"}
    assert "console.secret" in rendered.notes
    assert "a-token-of-a-person" not in rendered.notes


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (without_auth(), "config.console.auth: is missing, and anyone in the cluster could open the console; set"),
        (
            change("config", "console", to=None) | {"console": {"enabled": True}},
            "config.console.auth: is missing, and anyone in the cluster",
        ),
        (changed({"host": "127.0.0.1"}), "config.console.host: is 127.0.0.1, where no Service reaches it"),
        (changed({"host": "localhost"}), "config.console.host: is localhost, where no Service reaches it"),
        (changed({"port": 0}), "config.console.port: is 0, any free port"),
        (changed({"port": 8080}), "config.console.port: is 8080, the port of metrics (httpPort); set another"),
        (
            changed({"public_url": ""}),
            "config.console.public_url: is missing, and browsers would be refused: the console answers only for the "
            "host that it names; set https://console.example.com",
        ),
        (
            changed({"public_url": "https://other.example.com"}),
            "config.console.public_url: is https://other.example.com, and browsers would be refused",
        ),
        (
            changed(httpRoute={"parentRefs": [{"name": "internal"}]}),
            "console: has ingress.host and httpRoute.parentRefs; keep one of the two",
        ),
        (changed(networkPolicy={"from": []}), "console.networkPolicy.from: is empty, so the policy shuts out"),
        (changed(secret={}), "set console.secret.existingSecret"),
        (
            changed({"auth": {"tokens": {"oncall": "file:/secrets/kafka/oncall"}}}),
            "config.console: refers to /secrets/kafka/oncall, and its Secret is mounted at /secrets/console",
        ),
        (
            changed(secret={"existingSecret": "a", "values": {"oncall": "b"}}),
            "console.secret: has existingSecret and values; keep one of the two",
        ),
    ],
    ids=lambda value: value[:48] if isinstance(value, str) else "",
)
def test_what_does_not_fit_together_is_refused_with_the_fix(wrong: Values, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(wrong)
    assert sentence in str(refused.value)

"""The receiver in the chart: who may reach it, what it knows, and what does not fit together."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.helm.chart import Refused, Values, case, render
from tests.helm.test_chart import pod, secrets_of, values

SENDERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]


def changed(**more: Any) -> Values:
    """The case with other keys of `receiver`."""
    found = deepcopy(case("receiver"))
    found["receiver"] = {**found["receiver"], **more}
    return found


def test_it_is_a_statefulset_with_stable_names_that_reads_only_what_is_received() -> None:
    rendered = render(case("receiver"))
    workload = rendered.one("StatefulSet", "-receiver")
    assert pod(workload)["containers"][0]["args"] == ["run", "receiver"]
    assert secrets_of(workload) == {"back-to-braze"}
    document = yaml.safe_load(rendered.settings("-receiver"))
    assert set(document["connectors"]) == {"back-to-braze"}
    assert document["receiver"]["port"] == 8090
    names = {entry["name"]: entry for entry in pod(workload)["containers"][0]["env"]}
    assert names["STREAMS_INSTANCE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_vendors_come_by_the_ingress_to_the_services_port_and_to_the_port_of_the_configuration() -> None:
    rendered = render(case("receiver"))
    (container,) = pod(rendered.one("StatefulSet", "-receiver"))["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "receive": 8090}
    service = rendered.one("Service", "-receiver")["spec"]
    assert [port["targetPort"] for port in service["ports"]] == ["receive"]
    ingress = rendered.one("Ingress")["spec"]
    (rule,) = ingress["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("streams.example.com", "/receive/")
    assert path["backend"]["service"]["name"] == rendered.one("Service", "-receiver")["metadata"]["name"]
    assert ingress["tls"] == [{"secretName": "streams-tls", "hosts": ["streams.example.com"]}]


def test_the_port_is_open_to_those_that_are_named_and_metrics_as_everywhere() -> None:
    rendered = render(case("receiver"))
    policy = rendered.one("NetworkPolicy", "-receiver")["spec"]
    assert policy["ingress"] == [{"from": SENDERS, "ports": [{"protocol": "TCP", "port": "receive"}]}]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "receiver"
    everyone = [found for found in rendered.of("NetworkPolicy") if not found["metadata"]["name"].endswith("-receiver")]
    assert [[port["port"] for port in rule["ports"]] for rule in everyone[0]["spec"]["ingress"]] == [[8080]]


def test_a_policy_that_names_no_sender_is_refused_by_the_schema() -> None:
    with pytest.raises(Refused, match="receiver/networkPolicy/from"):
        render(changed(networkPolicy={"from": []}))
    open_to_all = {**changed(networkPolicy={"from": []}), "networkPolicy": {"enabled": False}}
    assert render(open_to_all).of("NetworkPolicy") == []


def test_what_the_autoscaler_counts_has_no_replicas() -> None:
    rendered = render(case("receiver"))
    assert "replicas" not in rendered.one("StatefulSet", "-receiver")["spec"]
    scaler = rendered.one("HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 4)
    assert scaler["scaleTargetRef"]["name"] == rendered.one("StatefulSet", "-receiver")["metadata"]["name"]
    fixed = render(changed(autoscaling={"enabled": False}, replicas=3))
    assert fixed.one("StatefulSet", "-receiver")["spec"]["replicas"] == 3
    assert fixed.of("HorizontalPodAutoscaler") == []


def test_a_gateway_gets_a_route_and_no_ingress() -> None:
    rendered = render(case("receiver-strimzi"))
    route = rendered.one("HTTPRoute")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert route["rules"][0]["backendRefs"][0]["name"] == rendered.one("Service", "-receiver")["metadata"]["name"]
    assert rendered.of("Ingress") == []


def test_a_sink_that_remembers_has_room_for_it_and_no_other_pod_has() -> None:
    rendered = render(case("receiver"))

    def scratch(ending: str) -> list[Any]:
        return [one for one in pod(rendered.one("Deployment", ending))["volumes"] if one["name"] == "scratch"]

    assert scratch("-sink-back-to-braze") == [{"name": "scratch", "emptyDir": {"sizeLimit": "4Gi"}}]
    assert scratch("-sink-growth-mixpanel") == []


def test_without_it_there_is_none_of_it() -> None:
    rendered = render(values())
    assert not [found for found in rendered.objects if found["metadata"]["name"].endswith("-receiver")]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            values(receiver={"enabled": True, "networkPolicy": {"from": SENDERS}}),
            "receiver.enabled: no connector has config.receive, so there is nothing to receive, and no inlet",
        ),
        (
            changed(httpRoute={"parentRefs": [{"name": "public"}]}),
            "receiver: has ingress.host and httpRoute.parentRefs; keep one of the two",
        ),
        (
            changed(autoscaling={"enabled": True, "minReplicas": 3, "maxReplicas": 2}),
            "receiver.autoscaling.minReplicas: is 3, more than maxReplicas, 2",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_fix(wrong: Values, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(wrong)
    assert sentence in str(refused.value)


def with_inlets(**receiver: Any) -> Values:
    found = deepcopy(case("http-inlet"))
    found["receiver"] = {**found["receiver"], **receiver}
    return found


def test_braze_comes_by_the_ingress_whatever_name_it_asks_for() -> None:
    rendered = render(case("http-inlet"))
    ingress = rendered.one("Ingress")
    paths = {path["path"]: path for path in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert set(paths) == {"/receive/", "/currents"}
    assert paths["/currents"]["pathType"] == "Prefix", "a mistyped name is answered by the receiver, and never 404"
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "17m"
    own = render(
        with_inlets(
            ingress={
                **case("http-inlet")["receiver"]["ingress"],
                "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "20m"},
            }
        )
    )
    assert own.one("Ingress")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "20m"
    route = render(with_inlets(ingress={}, httpRoute={"parentRefs": [{"name": "public"}]})).one("HTTPRoute")["spec"]
    assert [rule["matches"][0]["path"]["value"] for rule in route["rules"]] == ["/receive", "/currents"]
    assert [path["path"] for path in render(case("receiver")).one("Ingress")["spec"]["rules"][0]["http"]["paths"]] == [
        "/receive/"
    ], "where Braze sends nothing, nobody is let in there"


def test_the_receiver_reads_the_tokens_of_its_inlets_and_nothing_of_connectors_that_it_does_not_fill() -> None:
    rendered = render(case("http-inlet"))
    receiver = pod(rendered.one("StatefulSet", "-receiver"))
    mounted = {mount["mountPath"] for mount in receiver["containers"][0]["volumeMounts"]}
    assert {"/secrets/inlets/braze-http", "/secrets/inlets/braze-test"} <= mounted
    assert "/secrets/connectors/growth-mixpanel" not in mounted
    sink = pod(rendered.one("Deployment", "-sink-growth-mixpanel"))
    assert not [mount for mount in sink["containers"][0]["volumeMounts"] if "inlets" in mount["mountPath"]]
    document = yaml.safe_load(rendered.settings("-receiver"))
    assert set(document["inlets"]) == {"braze-http", "braze-test"}
    assert document["connectors"] == {}
    assert "inlets" not in yaml.safe_load(rendered.settings("-sink-growth-mixpanel"))


@pytest.mark.parametrize(
    "annotation",
    [
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        "nginx.ingress.kubernetes.io/auth-url",
        "nginx.ingress.kubernetes.io/limit-rps",
    ],
)
def test_an_ingress_that_would_refuse_events_itself_is_refused(annotation: str) -> None:
    ingress = {**case("http-inlet")["receiver"]["ingress"], "annotations": {annotation: "x"}}
    with pytest.raises(Refused, match="Braze drops the events"):
        render(with_inlets(ingress=ingress))


@pytest.mark.parametrize(
    ("inlet", "sentence"),
    [
        ({"config": {"kind": "http", "tokens": ["file:/secrets/inlets/a/token"]}}, "inlets.a.secret.existingSecret"),
        ({"config": {"kind": "http", "tokens": ["file:/secrets/token"]}}, "mounted at /secrets/inlets/a"),
        (
            {
                "config": {"kind": "http", "tokens": ["file:/secrets/inlets/a/t"]},
                "secret": {"existingSecret": "x", "values": {"t": "y"}},
            },
            "inlets.a.secret: has existingSecret and values",
        ),
    ],
)
def test_an_inlet_whose_tokens_nobody_mounts_is_refused(inlet: Any, sentence: str) -> None:
    found = with_inlets()
    found["inlets"] = {"a": inlet}
    with pytest.raises(Refused) as refused:
        render(found)
    assert sentence in str(refused.value)


def test_a_token_in_the_open_is_refused_and_an_inlet_without_a_receiver_too() -> None:
    found = with_inlets()
    found["inlets"]["braze-http"]["config"]["tokens"] = ["a-token-of-24-characters"]
    with pytest.raises(Refused) as refused:
        render(found)
    assert "a-token-of-24-characters" not in str(refused.value)
    with pytest.raises(Refused, match=r"set receiver\.enabled"):
        render(with_inlets(enabled=False))

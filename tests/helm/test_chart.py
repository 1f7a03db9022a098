"""What the chart promises beyond valid objects: isolation, secrets, scale, networks, alerts, every problem at once."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
import yaml

from streams import __version__
from streams.config.names import Groups, Topics
from tests.helm.chart import CHART, Manifest, Refused, Values, case, render

TOKEN = "file:/secrets/connectors/{0}/project-token"
CHART_FILE = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


def connector(name: str, **more: Any) -> Values:
    """A connector that can be rendered."""
    return {
        "secret": {"existingSecret": name},
        "config": {"destination": "mixpanel", "project_token": TOKEN.format(name)},
        **more,
    }


def values(**more: Any) -> Values:
    """The least that renders, with these keys beside it."""
    return {
        "config": {"kafka": {"bootstrap_servers": "kafka:9092"}},
        "connectors": {"one": connector("one"), "two": connector("two")},
        **more,
    }


def pod(manifest: Manifest) -> Manifest:
    found = manifest["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def environment(manifest: Manifest) -> dict[str, Any]:
    (container,) = (found for found in pod(manifest)["containers"] if found["name"] == "streams")
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def secrets_of(manifest: Manifest) -> set[str]:
    """The Secrets that its pods mount."""
    return {volume["secret"]["secretName"] for volume in pod(manifest)["volumes"] if "secret" in volume}


def checksums(manifest: Manifest) -> dict[str, str]:
    found = manifest["spec"]["template"]["metadata"]["annotations"]
    return {name: text for name, text in found.items() if name.startswith("checksum/")}


def test_the_chart_and_the_program_have_one_version() -> None:
    assert CHART_FILE["version"] == CHART_FILE["appVersion"] == __version__


def test_each_process_has_its_pods_name_and_the_port_of_its_probes() -> None:
    rendered = render(values(httpPort=9000))
    for manifest in (rendered.one("StatefulSet"), *rendered.of("Deployment")):
        assert environment(manifest)["STREAMS_INSTANCE"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert environment(manifest)["STREAMS_HTTP_PORT"] == "9000"
        assert environment(manifest)["STREAMS_CONFIG"] == "/etc/streams/streams.yaml"
        container = pod(manifest)["containers"][0]
        assert container["ports"] == [{"name": "http", "containerPort": 9000, "protocol": "TCP"}]
        probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert probes == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_a_pod_gets_no_token_of_kubernetes_and_time_to_settle() -> None:
    rendered = render(values())
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    for _, found in rendered.pods():
        assert found["automountServiceAccountToken"] is False
        assert found["terminationGracePeriodSeconds"] > 25


def test_a_connectors_change_restarts_its_own_sink_and_the_router_and_no_other_sink() -> None:
    before = render(values())
    changed = values()
    changed["connectors"]["one"]["config"]["rate"] = 100
    after = render(changed)
    assert checksums(before.one("Deployment", "-one")) != checksums(after.one("Deployment", "-one"))
    assert checksums(before.one("StatefulSet")) != checksums(after.one("StatefulSet"))
    assert before.one("Deployment", "-two") == after.one("Deployment", "-two")


def test_a_sink_mounts_its_own_secret_and_no_other() -> None:
    rendered = render(values())
    assert secrets_of(rendered.one("Deployment", "-one")) == {"one"}
    assert secrets_of(rendered.one("StatefulSet")) == {"one", "two"}


def test_a_rendered_secret_that_changes_restarts_who_reads_it_once() -> None:
    before, changed = case("rendered-secrets"), case("rendered-secrets")
    changed["kafkaSecret"]["values"]["password"] = "another"
    for kind in ("StatefulSet", "Deployment"):
        assert checksums(render(before).one(kind)) != checksums(render(changed).one(kind))


def test_the_hook_has_copies_of_rendered_secrets_because_it_runs_before_them() -> None:
    rendered = render(case("rendered-secrets"))
    job = rendered.one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    secrets = {secret["metadata"]["name"]: secret for secret in rendered.of("Secret")}
    mounted = [volume["secret"]["secretName"] for volume in pod(job)["volumes"] if "secret" in volume]
    assert len(mounted) == 1, "the Job asks Kafka alone"
    for name in mounted:
        annotations = secrets[name]["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(annotations["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    plain = [name for name, secret in secrets.items() if "annotations" not in secret["metadata"]]
    assert len(plain) == 3

    def contents(names: list[str]) -> list[dict[str, str]]:
        return sorted((secrets[name]["stringData"] for name in names), key=str)

    assert contents(mounted)[0] in contents(plain)
    assert pod(job)["serviceAccountName"] == "default", "the release's own is not there yet"


def test_the_topics_job_gets_no_secret_but_kafkas_and_no_section_that_needs_one() -> None:
    rendered = render(case("everything"))
    mounted = [volume["secret"]["secretName"] for volume in pod(rendered.one("Job"))["volumes"] if "secret" in volume]
    assert mounted == ["kafka-credentials"]
    assert not {"http", "notify"} & yaml.safe_load(rendered.settings("-topics")).keys()


def test_a_proxy_and_authorities_reach_every_process_with_the_secret_that_they_need() -> None:
    http = {"ca_file": "/secrets/http/ca.crt", "proxy": {"url": "http://proxy.example.com:3128"}}
    rendered = render({**change("config", "http", to=http), "httpSecret": {"existingSecret": "proxy"}})
    for ending in ("-router", "-one"):
        assert yaml.safe_load(rendered.settings(ending))["http"] == http
    for kind in ("Deployment", "StatefulSet"):
        assert {"proxy"} <= {
            volume["secret"]["secretName"] for volume in pod(rendered.of(kind)[0])["volumes"] if "secret" in volume
        }
    policies = rendered.of("NetworkPolicy")
    assert any(
        port["port"] == 3128
        for policy in policies
        for rule in policy["spec"]["egress"]
        for port in rule.get("ports", ())
    )


def test_topics_of_records_take_what_the_currents_topics_take_where_the_values_say_how_much() -> None:
    values = case("strimzi")
    values["strimzi"]["topics"]["maxMessageBytes"] = 8_000_000
    rendered = render(values)
    sizes = {
        topic["spec"]["topicName"]: topic["spec"]["config"]["max.message.bytes"] for topic in rendered.of("KafkaTopic")
    }
    small = {name for name, size in sizes.items() if size == 2_000_000}
    assert small == {"streams.schemas", "streams.state", "streams.forgotten", "streams.audit"}
    assert {size for name, size in sizes.items() if name not in small} == {8_000_000}


def test_the_notes_give_three_commands_and_warn_of_secrets_in_values() -> None:
    assert len(re.findall(r"^  \d\. ", render(case("minimal")).notes, re.MULTILINE)) == 3
    assert "WARNING" not in render(case("minimal")).notes
    warned = render(case("rendered-secrets")).notes
    assert (
        "WARNING: secrets were given as values (kafkaSecret, registrySecret, connectors.growth-mixpanel.secret)"
        in warned
    )


# Scale


def test_what_keda_scales_has_no_replicas_and_watches_the_group_that_the_sink_is_in() -> None:
    rendered = render(case("keda"))
    name = rendered.one("ScaledObject")["spec"]["scaleTargetRef"]["name"]
    assert "replicas" not in rendered.one("Deployment", name)["spec"]
    assert rendered.one("Deployment", "second-mixpanel")["spec"]["replicas"] == 2
    (trigger,) = rendered.one("ScaledObject")["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["excludePersistentLag"] == "true"
    assert metadata["consumerGroup"] == Groups("streams.").sink("growth-mixpanel")
    assert metadata["topic"] == Topics("streams.").connector("growth-mixpanel")
    assert metadata["lagThreshold"] == "50000"
    assert rendered.one("ScaledObject")["spec"]["minReplicaCount"] == 1
    assert trigger["authenticationRef"]["name"] == rendered.one("TriggerAuthentication")["metadata"]["name"]


def test_a_connector_overrides_the_defaults_of_all_with_false_and_nothing_too() -> None:
    changed = values(sink={"autoscaling": {"enabled": True}, "podDisruptionBudget": {"maxUnavailable": "25%"}})
    changed["connectors"]["one"] |= {
        "autoscaling": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpreadConstraints": [],
        "replicas": 4,
    }
    rendered = render(changed)
    assert rendered.one("Deployment", "-one")["spec"]["replicas"] == 4
    assert "topologySpreadConstraints" not in pod(rendered.one("Deployment", "-one"))
    assert [found["metadata"]["name"] for found in rendered.of("ScaledObject")] == ["release-streams-sink-two"]
    budgets = {found["metadata"]["name"]: found["spec"] for found in rendered.of("PodDisruptionBudget")}
    assert budgets.keys() == {"release-streams-router", "release-streams-sink-two"}
    assert budgets["release-streams-sink-two"]["maxUnavailable"] == "25%"


def test_what_is_extra_is_added_to_what_all_have() -> None:
    both = values(pod={"extraEnv": [{"name": "A", "value": "1"}]}, sink={"extraEnv": [{"name": "B", "value": "2"}]})
    both["connectors"]["one"] |= {"extraEnv": [{"name": "C", "value": "3"}], "tolerations": [{"key": "one"}]}
    both["pod"]["tolerations"] = [{"key": "all"}]
    rendered = render(both)
    assert {"A", "B", "C"} <= environment(rendered.one("Deployment", "-one")).keys()
    assert environment(rendered.one("Deployment", "-two")).keys().isdisjoint({"C"})
    assert environment(rendered.one("StatefulSet")).keys().isdisjoint({"B", "C"})
    assert pod(rendered.one("Deployment", "-one"))["tolerations"] == [{"key": "one"}]
    assert pod(rendered.one("Deployment", "-two"))["tolerations"] == [{"key": "all"}]


def test_selectors_of_two_workloads_never_meet() -> None:
    rendered = render(values())
    selectors = [
        tuple(sorted(found["spec"]["selector"]["matchLabels"].items()))
        for found in (rendered.one("StatefulSet"), *rendered.of("Deployment"))
    ]
    assert len(set(selectors)) == 3
    for found in (rendered.one("StatefulSet"), *rendered.of("Deployment")):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert found["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert (
            found["spec"]["selector"]["matchLabels"].keys().isdisjoint({"app.kubernetes.io/version", "helm.sh/chart"})
        )


@pytest.mark.parametrize("name", ["on", "null", "true", "e1"])
def test_a_name_that_yaml_reads_as_something_else_stays_a_name(name: str) -> None:
    rendered = render(values(connectors={name: connector(name)}, fullnameOverride="0", nameOverride="1e3"))
    assert rendered.one("ServiceAccount")["metadata"]["name"] == "0"
    labels = rendered.one("Deployment")["metadata"]["labels"]
    assert (labels["streams/connector"], labels["app.kubernetes.io/name"]) == (name, "1e3")
    assert pod(rendered.one("Deployment"))["containers"][0]["args"] == ["run", "sink", name]
    assert yaml.safe_load(rendered.settings(f"-{name}"))["connectors"].keys() == {name}


# Networks


def ports(rules: list[Manifest]) -> set[int]:
    return {found["port"] for rule in rules for found in rule.get("ports", ())}


def test_traffic_goes_out_to_names_kafka_destinations_registry_and_traces_and_in_to_metrics_only() -> None:
    policy = render(case("everything")).one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    # 53 names, 9093 Kafka, 443 and 8443 destinations, 2525 and 2526 mail, 8081 registry, 4318 traces, 3128 extra.
    assert ports(policy["egress"]) == {53, 9093, 443, 8443, 2525, 2526, 8081, 4318, 3128}
    assert ports(policy["ingress"]) == {9464, 9000}
    assert all(rule.get("ports") for rule in (*policy["egress"], *policy["ingress"])), "a rule without ports opens all"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [("kafka", {9092}), ("a:9093, b:9094", {9093, 9094}), ("b-1.example.com:9096,b-2.example.com:9096", {9096})],
)
def test_kafkas_ports_are_those_of_its_servers(servers: str, expected: set[int]) -> None:
    rendered = render(values(config={"kafka": {"bootstrap_servers": servers}}))
    assert ports(rendered.one("NetworkPolicy")["spec"]["egress"]) == {53, 443} | expected


# Observability


def test_the_rule_has_every_alert_with_a_runbook_at_the_given_address_and_takes_changes() -> None:
    rule = render(case("everything")).one("PrometheusRule")
    told = yaml.safe_load((CHART / "alerts" / "streams.yaml").read_text(encoding="utf-8"))
    names = [found["alert"] for group in told["groups"] for found in group["rules"]]
    rules = {found["alert"]: found for group in rule["spec"]["groups"] for found in group["rules"] if "alert" in found}
    assert [*rules] == [name for name in names if name != "StreamsKafkaDiskFilling"]
    for found in rules.values():
        assert re.fullmatch(
            r"https://git\.example\.com/streams/blob/main/docs/runbooks/[a-z-]+\.md",
            found["annotations"]["runbook_url"],
        )
        assert found["labels"]["team"] == "data"
    assert rules["StreamsSuspendedForLong"]["for"] == "1h"
    assert rules["StreamsSuspendedForLong"]["labels"]["severity"] == "critical"
    assert "{{ $labels.connector }}" in rules["StreamsRecordsLost"]["annotations"]["summary"]


def test_every_dashboard_is_in_a_config_map_that_grafana_finds() -> None:
    rendered = render(case("everything"))
    files = {path.stem: path.read_text(encoding="utf-8") for path in (CHART / "dashboards").glob("*.json")}
    assert len(files) >= 2
    for name, text in files.items():
        found = rendered.one("ConfigMap", f"-dashboard-{name}")
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["data"] == {f"streams-{name}.json": text}


# Strimzi


def test_each_process_connects_as_its_own_user() -> None:
    rendered = render(case("strimzi"))
    users = {found["metadata"]["name"] for found in rendered.of("KafkaUser")}
    for manifest in (rendered.one("StatefulSet"), *rendered.of("Deployment")):
        name = manifest["metadata"]["name"]
        options = yaml.safe_load(rendered.one("ConfigMap", name)["data"]["streams.yaml"])["kafka"]["options"]
        assert options["sasl.username"] == name
        assert name in users
        assert name in secrets_of(manifest)


def test_a_sinks_user_can_touch_no_other_connectors_topics() -> None:
    user = render(case("strimzi")).one("KafkaUser", "cdp-mparticle")
    topics = [
        found["resource"] for found in user["spec"]["authorization"]["acls"] if found["resource"]["type"] == "topic"
    ]
    other = (
        Topics("streams.").connector("growth-mixpanel"),
        Topics("streams.").dead_letter_rejected("growth-mixpanel"),
    )
    for topic in other:
        assert not any(topic.startswith(found["name"]) for found in topics if found["patternType"] == "prefix")
        assert topic not in [found["name"] for found in topics]


@pytest.mark.parametrize("version", [None, "kafka.strimzi.io/v1beta2"])
def test_topics_and_users_are_of_the_newer_api_unless_the_older_one_is_asked_for(version: str | None) -> None:
    values = case("receiver-strimzi")
    if version:
        values["strimzi"]["apiVersion"] = version
    rendered = render(values)
    found = [*rendered.of("KafkaTopic"), *rendered.of("KafkaUser")]
    assert {one["kind"] for one in found} == {"KafkaTopic", "KafkaUser"}
    assert {one["apiVersion"] for one in found} == {version or "kafka.strimzi.io/v1"}


def test_uninstalling_keeps_the_topics() -> None:
    for topic in render(case("strimzi")).of("KafkaTopic"):
        assert topic["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


# Problems


def change(*path: str, to: Any) -> Values:
    """The values with one key set."""
    changed = deepcopy(values())
    place = changed
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = to
    return changed


PROBLEMS = [
    (change("connectors", to={}), "connectors: is empty, and so is inlets; name at least one"),
    (
        change("connectors", "one", "secret", to={}),
        "connectors.one.config: refers to /secrets/connectors/one/project-token, and nothing is mounted there; "
        "set connectors.one.secret.existingSecret",
    ),
    (
        change("connectors", "one", "secret", to={"values": {"token": "x"}}),
        "connectors.one.config: refers to /secrets/connectors/one/project-token, "
        "and connectors.one.secret.values has no key project-token",
    ),
    (
        change("connectors", "one", "config", "project_token", to="file:/secrets/connectors/two/project-token"),
        "connectors.one.config: refers to /secrets/connectors/two/project-token, "
        "and its Secret is mounted at /secrets/connectors/one; set file:/secrets/connectors/one/KEY",
    ),
    (
        change("connectors", "one", "secret", to={"existingSecret": "a", "values": {"project-token": "x"}}),
        "connectors.one.secret: has existingSecret and values; keep one of the two",
    ),
    (
        change("kafkaSecret", to={"existingSecret": "a", "values": {"b": "c"}}),
        "kafkaSecret: has existingSecret and values; keep one of the two",
    ),
    (
        change("config", "kafka", "options", to={"sasl.password": "file:/secrets/kafka/password"}),
        "config.kafka: refers to /secrets/kafka/password, and nothing is mounted there; set kafkaSecret.existingSecret",
    ),
    (
        change("connectors", "one", "config", "project_token", to="${TOKEN}"),
        "${TOKEN}: is used by the configuration; set it in router.extraEnv or pod.extraEnv",
    ),
    (
        change("connectors", "one", "replicas", to=7),
        "connectors.one.replicas: is 7, and config.kafka.topics.partitions is 6; "
        "more processes than partitions stand idle",
    ),
    (
        change("sink", "autoscaling", to={"enabled": True, "maxReplicas": 7}),
        "connectors.two.autoscaling.maxReplicas: is 7, and config.kafka.topics.partitions is 6; "
        "more processes than partitions stand idle",
    ),
    (
        change("sink", "autoscaling", to={"enabled": True, "minReplicas": 4, "maxReplicas": 3}),
        "connectors.one.autoscaling.minReplicas: is 4, more than maxReplicas, 3",
    ),
    (
        change("config", "http", to={"ca_file": "/secrets/http/ca.crt"}),
        "config.http.ca_file: is /secrets/http/ca.crt, and nothing is mounted there; set httpSecret.existingSecret",
    ),
    (change("strimzi", "topics", "enabled", to=True), "strimzi.cluster: is empty; name the Kafka resource"),
    (
        change("strimzi", to={"cluster": "main", "topics": {"enabled": True}}),
        "topics.job.enabled: the topics are Strimzi's (strimzi.topics.enabled); set one of the two to false",
    ),
    (
        change("strimzi", to={"cluster": "main", "users": {"enabled": True}}),
        "topics.job.enabled: the Job runs before its KafkaUser exists; "
        "set it to false, and strimzi.topics.enabled to true",
    ),
    (change("prometheusRule", "enabled", to=True), "prometheusRule.repositoryUrl: is empty"),
    (
        change("prometheusRule", to={"enabled": True, "repositoryUrl": "https://x", "disabled": ["StreamsNothing"]}),
        "prometheusRule: there is no alert StreamsNothing; there is: StreamsCredentialsInvalid, ",
    ),
]


@pytest.mark.parametrize(("wrong", "sentence"), PROBLEMS, ids=[sentence[:40] for _, sentence in PROBLEMS])
def test_keys_that_do_not_fit_together_are_refused_with_the_fix(wrong: Values, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(wrong)
    assert f"\n  {sentence}" in str(refused.value)


def test_keda_needs_credentials_of_its_own_where_kafka_asks_for_some() -> None:
    wrong = case("keda")
    del wrong["keda"]
    with pytest.raises(Refused, match=r"growth-mixpanel\.autoscaling: KEDA reads the lag itself"):
        render(wrong)


def test_every_problem_is_told_at_once() -> None:
    wrong = change("connectors", "one", "replicas", to=7)
    wrong["connectors"]["two"]["secret"] = {}
    wrong["prometheusRule"] = {"enabled": True}
    with pytest.raises(Refused, match="the values have 3 problems:") as refused:
        render(wrong)
    assert len(str(refused.value).splitlines()) == 4

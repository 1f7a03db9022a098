"""Storage inlets in the chart: what runs, what it reads, where it reaches, and what does not fit together."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.helm.chart import Manifest, Refused, Rendered, Values, case, render
from tests.helm.test_chart import checksums, pod, ports, secrets_of, values

STORES = ("braze-bucket", "minio", "shared-folder")


def rendered() -> Rendered:
    return render(case("storage-inlet"))


def with_inlet(files: Values, **more: Any) -> Values:
    """The least that renders, with this inlet beside it."""
    return values(inlets={"files": files}, **more)


def storage(url: str = "s3://bucket/prefix", **config: Any) -> Values:
    return {"kind": "storage", "url": url, **config}


def changed(name: str, **more: Any) -> Values:
    """The case with other keys of one inlet."""
    found = deepcopy(case("storage-inlet"))
    found["inlets"][name] |= more
    return found


def scratch(manifest: Manifest) -> tuple[str, str]:
    """Where the scratch folder is, and what it may hold."""
    (container,) = pod(manifest)["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "scratch")
    (volume,) = (one for one in pod(manifest)["volumes"] if one["name"] == "scratch")
    assert not mount.get("readOnly")
    return mount["mountPath"], volume["emptyDir"]["sizeLimit"]


def test_each_inlet_has_a_deployment_that_runs_it_alone() -> None:
    for name in STORES:
        workload = rendered().one("Deployment", f"-inlet-{name}")
        assert pod(workload)["containers"][0]["args"] == ["run", "ingest", name]
        document = yaml.safe_load(rendered().settings(f"-inlet-{name}"))
        assert document["inlets"].keys() == {name}
        assert document["connectors"] == {}


def test_there_is_none_of_it_where_no_inlet_is_of_that_kind() -> None:
    for name in ("minimal", "http-inlet"):
        assert not [one for one in render(case(name)).objects if "-inlet-" in one["metadata"]["name"]]


def workloads(of: Rendered) -> set[str]:
    found = {one["metadata"]["name"] for one in of.objects if one["kind"] in ("Deployment", "StatefulSet")}
    return {name.removeprefix("release-streams-") for name in found}


def has_router(of: Rendered) -> bool:
    """Anything of a router that runs. `helm test` uses its configuration and its user, so these are always there."""
    found = {one["kind"] for one in of.objects if one["metadata"]["name"].endswith("-router")}
    return bool(found - {"ConfigMap", "KafkaUser"})


def alerts(of: Rendered) -> set[str]:
    return {rule["alert"] for group in of.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]}


def test_without_connectors_a_router_keeps_the_letters_of_http_inlets_and_no_alert_expects_it_to_read_events() -> None:
    alone = render(case("inlets-alone"))
    assert workloads(alone) == {"inlet-braze-bucket", "receiver", "router"}
    assert "StreamsRouterDown" not in alerts(alone)
    assert {"StreamsInletBehind", "StreamsNoKeeper"} <= alerts(alone)


def test_a_bucket_without_connectors_needs_no_router() -> None:
    found = deepcopy(case("inlets-alone"))
    del found["inlets"]["braze-http"], found["receiver"]
    alone = render(found)
    assert workloads(alone) == {"inlet-braze-bucket"}
    assert not has_router(alone)


def test_connectors_to_braze_alone_need_no_router_and_the_notes_name_a_pod_that_is_there() -> None:
    users = {"strimzi": case("receiver-strimzi")["strimzi"], "topics": {"job": {"enabled": False}}}
    found = {**deepcopy(case("receiver")), **users, "prometheusRule": case("inlets-alone")["prometheusRule"]}
    found["connectors"] = {"back-to-braze": found["connectors"]["back-to-braze"]}
    alone = render(found)
    assert workloads(alone) == {"sink-back-to-braze", "receiver"}
    assert not has_router(alone)
    assert "StreamsRouterDown" not in alerts(alone)
    assert "exec statefulset/release-streams-receiver -- streams connectors list" in alone.notes
    assert "router" not in alone.notes
    found["inlets"] = {"feed": {"config": {"kind": "http", "tokens": ["file:/secrets/inlets/feed/token"]}}}
    found["inlets"]["feed"]["secret"] = {"existingSecret": "feed"}
    found["receiver"]["ingress"]["annotations"] = {}
    assert "router" in workloads(render(found))


def test_the_queue_of_a_bucket_may_be_anywhere() -> None:
    queue = "http://queue.test:9324/000000000000/braze"
    rendered = render(with_inlet({"config": storage(notify_queue=queue)}, networkPolicy={"enabled": True}))
    assert {443, 9324} <= ports(rendered.one("NetworkPolicy", "-inlet-files")["spec"]["egress"])


def test_one_process_is_the_default_and_a_second_one_a_stand_by() -> None:
    replicas = {name: rendered().one("Deployment", f"-inlet-{name}")["spec"]["replicas"] for name in STORES}
    assert replicas == {"braze-bucket": 2, "minio": 1, "shared-folder": 1}
    budgets = {one["metadata"]["name"] for one in rendered().of("PodDisruptionBudget")}
    assert {name for name in STORES if f"release-streams-inlet-{name}" in budgets} == {"braze-bucket", "shared-folder"}


def test_an_inlets_change_restarts_its_own_pods_and_no_sink_and_no_other_inlet() -> None:
    config = {**case("storage-inlet")["inlets"]["minio"]["config"], "poll": "10s"}
    after = render(changed("minio", config=config))
    assert checksums(rendered().one("Deployment", "-minio")) != checksums(after.one("Deployment", "-minio"))
    for other in ("-inlet-braze-bucket", "-sink-growth-mixpanel"):
        assert rendered().one("Deployment", other) == after.one("Deployment", other)


def test_an_inlet_mounts_its_own_secret_and_no_connectors() -> None:
    assert secrets_of(rendered().one("Deployment", "-inlet-minio")) == {"minio"}
    assert secrets_of(rendered().one("Deployment", "-inlet-braze-bucket")) == set()
    assert secrets_of(rendered().one("Deployment", "-sink-growth-mixpanel")) == {"growth-mixpanel"}


def test_a_rendered_secret_that_changes_restarts_the_inlet_and_the_notes_warn_of_it() -> None:
    texts = {"access-key-id": "a-text", "secret-access-key": "another-text"}
    before = render(changed("minio", secret={"values": texts}))
    after = render(changed("minio", secret={"values": {**texts, "access-key-id": "a-new-text"}}))
    assert checksums(before.one("Deployment", "-minio")) != checksums(after.one("Deployment", "-minio"))
    assert "WARNING: secrets were given as values (inlets.minio.secret)" in before.notes
    assert "WARNING" not in rendered().notes
    http = deepcopy(case("http-inlet"))
    http["inlets"]["braze-http"]["secret"] = {"values": {"token": "a-text", "next-token": "another-text"}}
    assert "(inlets.braze-http.secret)" in render(http).notes


@pytest.mark.parametrize(
    ("config", "place", "least"),
    [
        ({}, "/scratch", 2_000_000_000),
        ({"scratch": "/tmp/files", "scratch_max": "10MB"}, "/tmp/files", 10_000_000),
        ({"scratch_max": "20GB"}, "/scratch", 20_000_000_000),
        ({"scratch_max": "10000000B"}, "/scratch", 10_000_000),
        ({"scratch_max": "10240kB"}, "/scratch", 10_240_000),
    ],
)
def test_the_scratch_folder_takes_the_largest_file_with_a_margin(config: Values, place: str, least: int) -> None:
    workload = render(with_inlet({"config": storage(**config)})).one("Deployment", "-inlet-files")
    mounted, limit = scratch(workload)
    assert mounted == place
    assert limit.endswith("Mi")
    margin = int(limit.removesuffix("Mi")) * 2**20 - least
    assert 2**26 <= margin < 2**27


def test_an_inlet_has_an_identity_of_its_own_where_one_is_asked_for() -> None:
    account = rendered().one("ServiceAccount", "-inlet-braze-bucket")
    assert account["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/currents-reader"
    }
    accounts = {name: pod(rendered().one("Deployment", f"-inlet-{name}"))["serviceAccountName"] for name in STORES}
    assert accounts == {
        "braze-bucket": "release-streams-inlet-braze-bucket",
        "minio": "release-streams",
        "shared-folder": "release-streams",
    }
    assert pod(rendered().one("StatefulSet"))["serviceAccountName"] == "release-streams"


def test_an_identity_may_exist_already_and_azure_gets_its_label() -> None:
    existing = render(changed("minio", serviceAccount={"name": "currents-reader"}))
    assert pod(existing.one("Deployment", "-inlet-minio"))["serviceAccountName"] == "currents-reader"
    assert not existing.of("ServiceAccount", "currents-reader")
    azure = render(case("storage-inlet-strimzi")).one("Deployment", "-inlet-azure")
    assert azure["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_an_inlet_reaches_its_store_and_the_agent_that_has_its_keys() -> None:
    def egress(found: Rendered, name: str) -> list[Manifest]:
        policy = found.one("NetworkPolicy", f"-inlet-{name}")["spec"]
        assert policy["podSelector"]["matchLabels"]["streams/inlet"] == name
        assert policy["policyTypes"] == ["Egress"]
        rules = policy["egress"]
        assert isinstance(rules, list)
        return rules

    store, *agents = egress(rendered(), "minio")
    assert store["to"] == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]
    assert ports([store]) == {443, 9000}
    assert ports(agents) == {80}
    assert not rendered().of("NetworkPolicy", "-inlet-shared-folder"), "a folder needs no network"
    clouds = render(case("storage-inlet-strimzi"))
    assert ports(egress(clouds, "gcs")) == {443, 80, 988}
    assert ports(egress(clouds, "azure")) == {443}
    for rule in (*egress(clouds, "gcs"), *egress(rendered(), "minio"))[1:]:
        assert rule.get("to"), "only a store may be anywhere"


def test_the_topic_of_progress_is_made_by_the_job_or_by_strimzi() -> None:
    assert {*yaml.safe_load(rendered().settings("-topics"))["inlets"]} == set(STORES)
    names = [one["spec"]["topicName"] for one in render(case("storage-inlet-strimzi")).of("KafkaTopic")]
    assert "streams.inlets" in names


def test_an_inlets_user_may_create_topics_where_the_configuration_lets_it() -> None:
    def operations(create: bool) -> list[str]:
        found = deepcopy(case("storage-inlet-strimzi"))
        found["config"]["kafka"]["topics"]["create"] = create
        acls = render(found).one("KafkaUser", "-inlet-gcs")["spec"]["authorization"]["acls"]
        (own,) = (rule["operations"] for rule in acls if rule["resource"]["name"] == "currents.")
        assert isinstance(own, list)
        return own

    assert "Create" in operations(True)
    assert "Create" not in operations(False)


def test_a_key_of_an_inlet_wins_over_those_of_all_inlets_and_of_all_pods() -> None:
    both = changed("minio", nodeSelector={"disk": "fast"}, replicas=1)
    both["inlet"] = {"replicas": 3, "nodeSelector": {"disk": "any"}, "priorityClassName": "low"}
    found = render(both)
    minio, folder = (found.one("Deployment", f"-inlet-{name}") for name in ("minio", "shared-folder"))
    assert (minio["spec"]["replicas"], folder["spec"]["replicas"]) == (1, 3)
    assert (pod(minio)["nodeSelector"], pod(folder)["nodeSelector"]) == ({"disk": "fast"}, {"disk": "any"})
    assert pod(minio)["priorityClassName"] == "low"
    assert "priorityClassName" not in pod(found.one("Deployment", "-sink-growth-mixpanel"))


PROBLEMS = [
    (
        with_inlet({"config": storage("file:///exports/currents")}),
        "inlets.files.config.url: is the folder /exports/currents, and nothing is mounted there; "
        "set inlets.files.extraVolumes and extraVolumeMounts",
    ),
    (
        with_inlet({"config": storage(scratch="scratch")}),
        "inlets.files.config.scratch: is scratch; name a folder of its own by its absolute path, such as /scratch",
    ),
    (
        with_inlet({"config": storage(scratch="/tmp")}),
        "inlets.files.config.scratch: is /tmp; name a folder of its own by its absolute path, such as /scratch",
    ),
    (
        with_inlet({"config": storage(), "serviceAccount": {"annotations": {"a": "b"}}}),
        "inlets.files.serviceAccount.annotations: are of a ServiceAccount that the chart renders; "
        "set inlets.files.serviceAccount.create",
    ),
    (
        with_inlet({"config": storage()}, inlet={"serviceAccount": {"create": True, "name": "reader"}}),
        "inlet.serviceAccount.name: each inlet would render a ServiceAccount of this name; set it under inlets.NAME, "
        "or set create to false",
    ),
    (
        with_inlet({"config": storage(options={"secret_access_key": "file:/secrets/inlets/files/key"})}),
        "inlets.files.config: refers to /secrets/inlets/files/key, and nothing is mounted there; "
        "set inlets.files.secret.existingSecret",
    ),
    (
        with_inlet(
            {"config": storage(options={"secret_access_key": "${KEY}"})}, router={"extraEnv": [{"name": "KEY"}]}
        ),
        "${KEY}: is used by the configuration; set it in inlets.files.extraEnv or pod.extraEnv",
    ),
    (
        with_inlet({"config": {"kind": "http", "tokens": ["${TOKEN}"]}, "replicas": 2, "nodeSelector": {}}),
        "inlets.files: has nodeSelector, replicas, and an inlet of kind http has no pods of its own; "
        "set such keys under receiver",
    ),
]


@pytest.mark.parametrize(("wrong", "sentence"), PROBLEMS, ids=[sentence[:50] for _, sentence in PROBLEMS])
def test_what_does_not_fit_together_is_refused_with_the_fix(wrong: Values, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(wrong)
    assert f"\n  {sentence}" in str(refused.value)


def test_a_key_of_a_store_in_plain_is_refused_and_not_repeated() -> None:
    with pytest.raises(Refused) as refused:
        render(with_inlet({"config": storage(options={"secret_access_key": "planted-key-of-a-store"})}))
    assert "/inlets/files/config" in str(refused.value)
    assert "planted-key-of-a-store" not in str(refused.value)

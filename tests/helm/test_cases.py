"""Each case of `helm/ci` is what a cluster takes, and what the program can use."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from streams.cli.main import app
from streams.config import Settings, loads
from streams.config.topology import WantedTopic, wanted_topics
from tests.helm import golden
from tests.helm.chart import CASES, Manifest, Rendered, case, case_name, lint_messages, render
from tests.helm.kubernetes import MODELS, STRIMZI, VERSIONS, problems, restricted

NAMES = [case_name(path) for path in CASES]
TOKEN = "0123456789abcdef0123456789abcdef"
PLANTED = ("planted-kafka-password", "planted-registry-token", TOKEN)


@cache
def rendered(name: str) -> Rendered:
    return render(case(name))


SECRET_FOLDERS = tuple(
    f"/secrets/{name}" for name in ("kafka", "registry", "notify", "http", "connectors", "inlets", "console")
)


def settings(text: str, folder: Path) -> Settings:
    """The configuration as a pod would read it, with every file that it refers to under this folder."""
    for path in set(re.findall(r"file:(/secrets/\S+)", text)):
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        # Two files are two secrets, or their feeds would be one credential scope; a token is 32 digits.
        file.write_text(TOKEN if path.endswith("project-token") else path, encoding="utf-8")
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), TOKEN)
    return loads(text.replace("file:/secrets/", f"file:{folder}/secrets/"), variables)


@pytest.mark.parametrize("name", NAMES)
def test_lint_has_nothing_to_say_but_that_there_is_no_icon(name: str) -> None:
    assert lint_messages(case(name)) == ["1: icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_and_the_operators_take_every_object(name: str, version: str) -> None:
    found = {
        f"{manifest['kind']} {manifest['metadata']['name']}: {problem}"
        for manifest in rendered(name).objects
        for problem in problems(manifest, version)
    }
    assert found == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_passes_the_restricted_standard(name: str) -> None:
    pods = list(rendered(name).pods())
    assert pods
    assert {f"{where}: {problem}" for where, pod in pods for problem in restricted(pod)} == set()


def test_the_checks_see_what_is_wrong() -> None:
    scaled = rendered("keda").one("ScaledObject")
    assert list(problems({**scaled, "spec": {**scaled["spec"], "minReplicasCount": 1}}, "1.33"))
    deployment = rendered("minimal").one("Deployment")
    assert list(problems({**deployment, "spec": {**deployment["spec"], "replica": 1}}, "1.33"))
    pod = dict(deployment["spec"]["template"]["spec"])
    assert not list(restricted(pod))
    assert list(restricted({**pod, "securityContext": {"runAsNonRoot": True, "runAsUser": 0}}))
    assert list(restricted({**pod, "volumes": [{"name": "node", "hostPath": {"path": "/"}}]}))


def test_the_cases_together_make_every_kind_of_object() -> None:
    kinds = {manifest["kind"] for name in NAMES for manifest in rendered(name).objects}
    assert kinds >= MODELS.keys() | STRIMZI.keys() | {
        "Deployment", "StatefulSet", "Service", "Job", "Pod", "ConfigMap", "Secret", "ServiceAccount",
        "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler", "Ingress", "HTTPRoute",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_renders_what_the_golden_file_holds(name: str) -> None:
    assert golden.text(rendered(name)) == golden.path(name).read_text(encoding="utf-8"), (
        "if this is what you meant: python -m tests.helm.golden"
    )


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_two_objects_have_one_name_and_every_name_fits(name: str) -> None:
    seen = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered(name).objects]
    assert len(seen) == len(set(seen))
    for manifest in rendered(name).objects:
        kind, label = manifest["kind"], manifest["metadata"]["name"]
        # Pods of a StatefulSet carry its name and a number as a label; KEDA labels what it makes with the name.
        assert len(label) <= {"StatefulSet": 52, "ScaledObject": 54, "Service": 63}.get(kind, 253), (kind, label)
        assert all(len(str(value)) <= 63 for value in manifest["metadata"].get("labels", {}).values())


@pytest.mark.parametrize("name", NAMES)
def test_the_program_takes_every_configuration(name: str, tmp_path: Path) -> None:
    texts = [
        manifest["data"]["streams.yaml"]
        for manifest in rendered(name).of("ConfigMap")
        if "streams.yaml" in manifest["data"]
    ]
    assert len(texts) >= 2
    for text in texts:
        found = settings(text, tmp_path)
        assert found.connectors or found.inlets


@pytest.mark.parametrize("name", NAMES)
def test_router_and_topics_job_know_all_connectors_and_others_those_that_they_need(name: str) -> None:
    everyone = set(case(name)["connectors"])
    for manifest in rendered(name).objects:
        if manifest["kind"] == "ConfigMap" and "streams.yaml" in manifest["data"]:
            labels = manifest["metadata"]["labels"]
            if labels["app.kubernetes.io/component"] == "receiver":
                own = {one for one, found in case(name)["connectors"].items() if "receive" in found["config"]}
            elif labels["app.kubernetes.io/component"] == "inlet":
                own = set()
            else:
                own = {labels["streams/connector"]} if "streams/connector" in labels else everyone
            assert set(yaml.safe_load(manifest["data"]["streams.yaml"])["connectors"]) == own


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_anywhere_but_in_secrets(name: str) -> None:
    for manifest in rendered(name).objects:
        if manifest["kind"] != "Secret":
            assert not any(secret in yaml.safe_dump(manifest) for secret in PLANTED)
    assert not any(secret in rendered(name).notes for secret in PLANTED)


def arguments(pod: Manifest) -> list[str]:
    (container,) = (found for found in pod["containers"] if found["name"] == "streams")
    assert "command" not in container, "the image's entry point is the program"
    found = container["args"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_container_runs_a_command_that_exists(name: str) -> None:
    for _, pod in rendered(name).pods():
        assert is_command(arguments(pod))


def is_command(words: list[str]) -> bool:
    """Whether the words begin with a command of ours and have as many arguments as it takes."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    takes = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return not hasattr(command, "commands") and len(words) == len(takes)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert is_command(["run", "router"])
    assert is_command(["run", "sink", "growth-mixpanel"])
    assert not is_command(["run", "sink"])
    assert not is_command(["run", "everything"])
    assert not is_command(["topics"])


def secret_folders_read(where: str) -> set[str]:
    """Folders whose files the process of a pod needs: the Job asks Kafka alone, the console sends to no destination."""
    if where.startswith("Job "):
        return {"/secrets/kafka"}
    if where.endswith("-console"):
        return {"/secrets/kafka", "/secrets/registry", "/secrets/http", "/secrets/console"}
    return set(SECRET_FOLDERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_to_a_folder_that_is_mounted_whole(name: str) -> None:
    """A subPath would keep the old content when the Secret changes."""
    maps = {
        manifest["metadata"]["name"]: manifest["data"]["streams.yaml"]
        for manifest in rendered(name).of("ConfigMap")
        if "streams.yaml" in manifest["data"]
    }
    for where, pod in rendered(name).pods():
        (container,) = (found for found in pod["containers"] if found["name"] == "streams")
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert not any("subPath" in mount for mount in mounts.values())
        (text,) = (
            maps[volume["configMap"]["name"]]
            for volume in pod["volumes"]
            if volume.get("configMap", {}).get("name") in maps
        )
        folders = [mounts[volume["name"]]["mountPath"] for volume in pod["volumes"] if "secret" in volume]
        read = secret_folders_read(where)
        for file in re.findall(r"/secrets/\S+", text):
            assert not any(file.startswith(f"{folder}/") for folder in read) or any(
                file.startswith(f"{folder}/") for folder in folders
            ), (where, file)


@pytest.mark.parametrize("name", ["strimzi", "strimzi-tls", "receiver-strimzi", "storage-inlet-strimzi"])
def test_strimzi_is_asked_for_exactly_the_topics_that_the_program_wants(name: str, tmp_path: Path) -> None:
    wanted = wanted_topics(settings(rendered(name).settings("-router"), tmp_path), brokers=3)
    asked = [
        WantedTopic(
            spec["topicName"],
            spec["partitions"],
            spec["replicas"],
            {key: str(value) for key, value in spec["config"].items()},
        )
        for spec in (manifest["spec"] for manifest in rendered(name).of("KafkaTopic"))
    ]

    def shape(topic: WantedTopic) -> tuple[str, int, int, dict[str, str]]:
        return topic.name, topic.partitions, topic.replication, topic.configuration

    assert sorted(map(shape, asked)) == sorted(map(shape, wanted))

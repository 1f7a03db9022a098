"""The ACLs of the KafkaUsers suffice: router and sinks work on a broker that refuses everything else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams.config import loads
from streams.config.access import Grant, roles
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from streams.testing.kafka import JarsUnavailable, Node, jars
from streams.testing.processes import free_port
from tests.helm.chart import Rendered, case, render
from tests.helm.test_compose import COMMAND_SECONDS_MAX, FOLDER, process
from tests.waiting import wait_until

PASSWORD = "password-of-every-user"
START_SECONDS_MAX = 180.0
"""A busy machine starts a Java in a minute."""
TYPES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Delete": AclOperation.DELETE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return render(case("strimzi"))


def bindings(rendered: Rendered) -> Iterator[AclBinding]:
    for user in rendered.of("KafkaUser"):
        for rule in user["spec"]["authorization"]["acls"]:
            resource = rule["resource"]
            for operation in rule["operations"]:
                yield AclBinding(
                    TYPES[resource["type"]],
                    resource["name"],
                    PATTERNS[resource["patternType"]],
                    f"User:{user['metadata']['name']}",
                    "*",
                    OPERATIONS[operation],
                    AclPermissionType.ALLOW,
                )


def is_allowed(rules: list[dict[str, Any]], grant: Grant, operation: str) -> bool:
    """Whether one of a user's rules allows the operation on the whole of what is granted."""
    kind = "transactionalId" if grant.resource == "transactional-id" else grant.resource
    return any(
        operation in rule["operations"]
        and rule["resource"]["type"] == kind
        and (
            grant.name.startswith(rule["resource"]["name"])
            if rule["resource"]["patternType"] == "prefix"
            else grant.name == rule["resource"]["name"] and not grant.is_prefix
        )
        for rule in rules
    )


def _secret(reference: re.Match[str]) -> str:
    """Another one for each file."""
    return sha256(reference[0].encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    "name",
    ["strimzi", "receiver-strimzi", "http-inlet", "inlets-alone-users", "console-strimzi", "storage-inlet-strimzi"],
)
def test_each_user_may_do_what_the_program_says_that_its_role_needs(name: str) -> None:
    values = case("http-inlet") | {"connectors": {}} if name == "inlets-alone-users" else case(name)
    rendered = render(values)
    knows_most = "-console" if rendered.of("ConfigMap", "-console") else "-router"
    text = re.sub(
        r"file:/[^\s\"']+", lambda found: sha256(found[0].encode()).hexdigest()[:32], rendered.settings(knows_most)
    )
    found = {role.name: role.grants for role in roles(loads(text, {}))}
    missing = []
    for user in rendered.of("KafkaUser"):
        labels = user["metadata"]["labels"]
        role = labels["app.kubernetes.io/component"]
        role = {"sink": f"sink {labels.get('streams/connector')}", "inlet": "inlets", "console": "operator"}.get(
            role, role
        )
        rules = user["spec"]["authorization"]["acls"]
        missing += [
            (role, operation, grant.resource, grant.name)
            for grant in found.get(role, ())  # there is no router where nothing is routed
            for operation in grant.operations
            if not is_allowed(rules, grant, operation)
        ]
    assert missing == []


class GuardedBroker:
    """One node with Kafka's own authorizer. Who logs in may do what ACLs say; who comes by the other door, all."""

    def __init__(self, folder: Path, users: list[str]) -> None:
        self._node = Node(jars(), folder)
        guarded = free_port()
        self.open_address = f"127.0.0.1:{self._node.port}"
        self.guarded_address = f"127.0.0.1:{guarded}"
        properties = folder / "server.properties"
        known = dict(line.split("=", 1) for line in properties.read_text(encoding="utf-8").splitlines())
        door = f"GUARDED://{self.guarded_address}"
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        known |= {
            "listeners": f"{known['listeners']},{door}",
            "advertised.listeners": f"{known['advertised.listeners']},{door}",
            "listener.security.protocol.map": f"{known['listener.security.protocol.map']},GUARDED:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": " ".join(
                [login, *(f'user_{user}="{PASSWORD}"' for user in users)]
            )
            + ";",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in known.items()), encoding="utf-8")

    def __enter__(self) -> GuardedBroker:
        self._node.format()
        self._node.start()
        self.admin = AdminClient({"bootstrap.servers": self.open_address, "log_level": 0})
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self.admin.list_topics(timeout=2)
                break
            except KafkaException as error:
                last = error
        else:
            self._node.stop()
            raise last
        return self

    def __exit__(self, *_: object) -> None:
        self._node.stop()


@pytest.mark.apache
def test_with_these_rights_and_no_others_everything_is_routed_and_delivered(
    rendered: Rendered, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator, tmp_path: Path
) -> None:
    users = [user["metadata"]["name"] for user in rendered.of("KafkaUser")]
    assert len(users) == 3

    def config(ending: str, address: str, **options: str) -> Path:
        settings: dict[str, Any] = yaml.safe_load(rendered.settings(ending))
        is_open = not options
        # The test's listener has no TLS; the user's name is the one that the chart wrote.
        named = settings["kafka"]["options"]["sasl.username"]
        login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": named}
        settings["kafka"] = {
            "bootstrap_servers": address,
            "options": {} if is_open else {**login, **options},
            "topics": {"partitions": 2, "create": is_open},
        }
        for connector in settings["connectors"].values():
            if connector["destination"] == "mixpanel":
                connector |= {"base_url": mixpanel.base_url, "project_token": mixpanel.project_token}
            else:
                pairs = {feed: {"key": pair.key, "secret": pair.secret} for feed, pair in mparticle.feeds.items()}
                connector |= {"base_url": mparticle.base_url, "environment": "development", "feeds": pairs}
        path = tmp_path / f"{'open' if is_open else 'guarded'}{ending}.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    try:
        broker = GuardedBroker(tmp_path, users)
    except JarsUnavailable as reason:
        pytest.skip(f"NOT PROVED HERE: the ACLs need a broker of this test's own, and {reason}")
    with broker, ExitStack() as stack:
        for granted in broker.admin.create_acls(list(bindings(rendered))).values():
            granted.result(60)
        whole = config("-router", broker.open_address)
        for once in (["topics", "apply"], ["ingest", str(FOLDER / "currents.zip"), "--restamp", "--no-progress"]):
            with process(whole, once) as child:
                assert child.wait(COMMAND_SECONDS_MAX) == 0
        password = {"sasl.password": PASSWORD}
        router = config("-router", broker.guarded_address, **password)
        log = stack.enter_context((tmp_path / "processes.log").open("wb"))
        children = [stack.enter_context(process(router, ["run", "router"], log))]
        for name in case("strimzi")["connectors"]:
            own = config(f"-sink-{name}", broker.guarded_address, **password)
            children.append(stack.enter_context(process(own, ["run", "sink", name], log)))

        def is_delivered() -> bool:
            assert [child.poll() for child in children] == [None, None, None], "a process ended by itself"
            return min(len(mixpanel.unique()), len(mparticle.unique())) >= 1_000

        wait_until(is_delivered, "both vendors to have 1,000 events")
        # A right that lacks is not always fatal: a client may warn and try again for ever.
        assert "AUTHORIZATION_FAILED" not in (tmp_path / "processes.log").read_text(encoding="utf-8")
        # What an operator looks at from the router's pod.
        for listing in (["connectors", "list"], ["topics", "plan"]):
            with process(router, listing) as child:
                assert child.wait(COMMAND_SECONDS_MAX) == 0
        assert [child.poll() for child in children] == [None, None, None]

"""An Apache Kafka that asks who you are and allows only what was granted, and a stage on it with a user per role."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streams.testing.brokers import ApacheKafka
from streams.testing.kafka import NodeOptions, jars
from tests.chaos.scene import Scene, WorkerProcess
from tests.security.authority import Authority
from tests.waiting import wait_until

MECHANISM = "SCRAM-SHA-512"
LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
ITERATIONS = 4_096
ANSWER_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 240


def guarded_kafka(authority: Authority) -> ApacheKafka:
    """Listeners for SCRAM with and without TLS. Who comes by plain text is a super user: that is the test itself."""
    certificate = authority.server("broker")
    return ApacheKafka(
        jars(),
        options=NodeOptions(
            protocols=("SASL_PLAINTEXT", "SASL_SSL"),
            settings={
                "sasl.enabled.mechanisms": MECHANISM,
                f"listener.name.sasl_plaintext.{MECHANISM.lower()}.sasl.jaas.config": LOGIN,
                f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": LOGIN,
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(certificate),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            },
            java_options=("-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug",),
        ),
    )


@dataclass(frozen=True, slots=True)
class User:
    """Somebody whom the broker knows."""

    name: str
    password: str

    def options(self, protocol: str, authority: Authority) -> dict[str, str]:
        """What `kafka.options` must say to come as this user."""
        options = {
            "security.protocol": protocol,
            "sasl.mechanism": MECHANISM,
            "sasl.username": self.name,
            "sasl.password": self.password,
        }
        return options | ({"ssl.ca.location": str(authority.certificate)} if protocol == "SASL_SSL" else {})


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the authorizer, from the broker's log."""

    principal: str
    is_allowed: bool
    operation: str
    resource: str
    name: str

    def is_covered_by(self, grant: Mapping[str, Any], operation: str) -> bool:
        """Whether this printed operation is what was asked for."""
        begins = self.name.startswith(grant["name"]) if grant["pattern"] == "prefixed" else self.name == grant["name"]
        is_same = _plain(operation) == _plain(self.operation) or (operation, self.operation) in _IMPLIED
        return is_same and _plain(grant["resource"]) == _plain(self.resource) and (begins or grant["name"] == "*")


_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # the client's word for it
}
_IMPLIED = {("AlterConfigs", "DESCRIBE_CONFIGS")}
_LINE = re.compile(
    r"Principal = User:(\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = (\w+):\w+:(\S+) for"
)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


class Guard:
    """Users and access control lists of the broker."""

    def __init__(self, broker: ApacheKafka) -> None:
        self._broker = broker
        self._admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})

    def user(self, name: str) -> User:
        user = User(f"{name.replace(' ', '-')}-{uuid4().hex[:8]}", f"password-{uuid4().hex}")
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        change = UserScramCredentialUpsertion(user.name, info, user.password.encode())
        for future in self._admin.alter_user_scram_credentials([change]).values():
            future.result(ANSWER_SECONDS_MAX)
        return user

    def allow(self, user: User, grants: Iterable[Mapping[str, Any]]) -> None:
        bindings = {
            AclBinding(
                _RESOURCES[grant["resource"]],
                grant["name"],
                ResourcePatternType[grant["pattern"].upper()],
                f"User:{user.name}",
                "*",
                AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
                AclPermissionType.ALLOW,
            )
            for grant in grants
            for operation in grant["operations"]
        }
        for future in self._admin.create_acls(list(bindings)).values():
            future.result(ANSWER_SECONDS_MAX)
        # A controller takes them, and the broker that is asked goes by them a moment later.
        wait_until(lambda: bindings <= self._known(user), f"the rights of {user.name} to be known")

    def _known(self, user: User) -> set[AclBinding]:
        """What the broker goes by for this user."""
        anything: Any = None
        kinds = (ResourceType.ANY, anything, ResourcePatternType.ANY)
        every = AclBindingFilter(*kinds, f"User:{user.name}", anything, AclOperation.ANY, AclPermissionType.ANY)
        return set(self._admin.describe_acls(every).result(ANSWER_SECONDS_MAX))

    def delete_topic(self, name: str) -> None:
        for future in self._admin.delete_topics([name]).values():
            future.result(ANSWER_SECONDS_MAX)
        wait_until(lambda: name not in self._admin.list_topics(timeout=60).topics, f"{name} to be gone")

    def asked(self, *users: User) -> list[Asked]:
        """What the authorizer was asked about these users, each question once."""
        names = {user.name for user in users}
        found = {
            Asked(line[1], line[2] == "Allowed", line[3], line[4], line[5])
            for line in _LINE.finditer(self._broker.log.read_text(errors="replace"))
            if line[1] in names
        }
        return sorted(found, key=str)


class GuardedScene(Scene):
    """A scene whose processes and commands each come as the user of their role, with exactly the printed access."""

    PREFIX = "guarded"
    """Not `streams`: access to readers' groups, `streams-`, would be access to all of ours."""

    def __init__(
        self,
        broker: ApacheKafka,
        authority: Authority,
        folder: Path,
        connectors: Mapping[str, Any],
        outgoing: Mapping[str, Any] | None = None,
        inlets: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(broker.bootstrap_servers, folder, connectors, {}, "classic")
        sections = {"http": outgoing, "inlets": inlets}
        more = {name: dict(section) for name, section in sections.items() if section is not None}
        self.config.write_text(yaml.safe_dump({**yaml.safe_load(self.config.read_text()), **more}))
        self.guard = Guard(broker)
        self.users: dict[str, User] = {}
        self._broker = broker
        self._authority = authority
        printed = json.loads(_run(self.config, "topics", "acls", "--output", "json").stdout)
        self.access: dict[str, list[dict[str, Any]]] = {one["role"]: one["acls"] for one in printed["roles"]}

    def config_of(self, user: User, protocol: str = "SASL_PLAINTEXT", **options: Any) -> Path:
        """The scene's configuration, as this user."""
        content = yaml.safe_load(self.config.read_text())
        address = self._broker.address(protocol)  # type: ignore[arg-type]
        content["kafka"]["bootstrap_servers"] = address
        content["kafka"]["options"] |= {**user.options(protocol, self._authority), **options}
        path = self.folder / f"{user.name}-{uuid4().hex[:6]}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def as_role(self, role: str, *, without: tuple[str, str] | None = None) -> User:
        """A user with exactly what is printed for the role, or with one operation on one resource less."""
        user = self.guard.user(role)
        grants = [dict(grant) for grant in self.access[role]]
        if without is not None:
            operation, name = without
            (grant,) = [one for one in grants if one["name"] == name and operation in one["operations"]]
            grant["operations"] = [one for one in grant["operations"] if one != operation]
        self.guard.allow(user, grants)
        self.users.setdefault(role, user)
        return user

    def run(self, user: User, *command: str) -> subprocess.CompletedProcess[str]:
        """One command of ours as this user, to its end."""
        return _run(self.config_of(user), *command)

    def start(self, user: User, *command: str) -> WorkerProcess:
        """`streams run …` as this user."""
        return self.started(self.config_of(user), *command, name=user.name)

    def started(self, config: Path, *command: str, name: str) -> WorkerProcess:
        """`streams run …` with this configuration, as the instance of this name."""
        process = WorkerProcess(list(command), config, name, self.folder / f"{name}.log", "debug")
        self._processes.append(process)
        process.start()
        return process


def _run(config: Path, *command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "streams", *command, "--config", str(config)]
    return subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)

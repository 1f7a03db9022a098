"""A whole evening of a connector, each process and command as the user of its role, with secrets planted everywhere.

Events are ingested, routed, delivered, refused; credentials die and come back, die again and letters are purged; a
person looks, replays, exports, imports. What was said and written meanwhile is kept for the tests to look through.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from confluent_kafka import Producer
from fastavro import writer

from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.events.schemas import shipped
from streams.testing.brokers import ApacheKafka
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import WorkerProcess
from tests.cli.files import OPEN_SCHEMA
from tests.security.authority import Authority
from tests.security.guarded import GuardedScene, User
from tests.security.servers import ProxyServer, Server, serving

CONNECTOR, SEALED = "growth", "sealed"
OPEN = "users.messages.email.Open"
CUSTOM = "users.behaviors.CustomEvent"
SMS = "users.messages.sms.Delivery"
CONTACT = "growth-team@example.com"
AHEAD_SECONDS = 10 * 365 * 86_400

TAG = "zq81v"
PERSONAL = {
    "email": f"jane.{TAG}@example.com",
    "phone": "+15550198181",
    "external id": f"external-{TAG}",
    "name": f"Zerlina-{TAG}",
}
SECRETS = {
    "project token": "5ec2e7a0" * 4,
    "api secret": "a915ec2e" * 4,
    "webhook": f"hook-{TAG}-path",
    "proxy password": f"proxy-{TAG}-password",
}


@dataclass
class Evening:
    """What there was to see."""

    scene: GuardedScene
    said: dict[str, str] = field(default_factory=dict, repr=False)
    """Everything that a command printed, by command."""
    failed: dict[str, str] = field(default_factory=dict)
    """Commands that did not end as they should, and what they said."""
    logs: dict[str, str] = field(default_factory=dict, repr=False)
    metrics: dict[str, str] = field(default_factory=dict, repr=False)
    """What each process counted, as it is scraped."""
    command_lines: set[str] = field(default_factory=set, repr=False)
    sealed_bodies: list[bytes] = field(default_factory=list)
    alerts: list[bytes] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)


@contextmanager
def evening(broker: ApacheKafka, authority: Authority, folder: Path) -> Iterator[Evening]:
    """The whole of it; two minutes, one of them until letters may be purged."""
    project = Project(token=SECRETS["project token"], api_secret=SECRETS["api secret"])
    with ExitStack() as stack:
        mixpanel = stack.enter_context(MixpanelEmulator(MixpanelOptions(projects=(project,))))
        sealed = stack.enter_context(serving(Server(authority.context("sealed"))))
        hook = stack.enter_context(serving(Server()))
        proxy = stack.enter_context(serving(ProxyServer(("streams", SECRETS["proxy password"]))))
        hook.status = 500
        scene = _scene(broker, authority, folder, mixpanel, sealed, hook, proxy)
        stack.callback(scene.end)
        seen = Evening(scene)
        _Course(seen, mixpanel).run()
        seen.sealed_bodies, seen.alerts, seen.proxied = sealed.bodies, hook.bodies, proxy.targets
        yield seen


def _scene(
    broker: ApacheKafka,
    authority: Authority,
    folder: Path,
    mixpanel: MixpanelEmulator,
    sealed: Server,
    hook: Server,
    proxy: ProxyServer,
) -> GuardedScene:
    api_secret, password = folder / "api-secret", folder / "proxy-password"
    api_secret.write_text(SECRETS["api secret"])
    password.write_text(SECRETS["proxy password"])
    common = {
        "destination": "mixpanel",
        "events": ["all"],
        "project_token": SECRETS["project token"],
        "auth": {"api_secret": f"file:{api_secret}"},
        "notify": {"webhook": f"{hook.url}/{SECRETS['webhook']}"},
        "grace": "40s",
        "contact": CONTACT,
    }
    connectors = {
        CONNECTOR: {**common, "base_url": mixpanel.base_url},
        SEALED: {**common, "base_url": sealed.url, "events": [OPEN]},
    }
    outgoing = {"proxy": {"url": proxy.url, "username": "streams", "password": f"file:{password}"}}
    return GuardedScene(broker, authority, folder, connectors, outgoing)


class _Course:
    """One step after the other."""

    def __init__(self, seen: Evening, mixpanel: MixpanelEmulator) -> None:
        self._seen = seen
        self._scene = seen.scene
        self._mixpanel = mixpanel
        self._processes: dict[str, WorkerProcess] = {}
        self._users: dict[str, User] = {role: seen.scene.as_role(role) for role in seen.scene.access}

    def run(self) -> None:
        self._topics()
        self._deliver()
        self._look()
        self._credentials_die_and_come_back()
        self._decide()
        self._credentials_die_and_letters_are_purged()
        self._do("operator", "connectors", "list")
        self._scrape()
        for process in self._processes.values():
            assert process.terminate() == 0, self._scene.logs()
            self._seen.logs[process.log.name] = process.log.read_text(errors="replace")

    def _scrape(self) -> None:
        for role, process in self._processes.items():
            lines = [json.loads(line) for line in process.log.read_text().splitlines() if '"listening"' in line]
            with closing(HTTPConnection("127.0.0.1", lines[-1]["port"], timeout=60)) as line:
                line.request("GET", "/metrics")
                self._seen.metrics[role] = line.getresponse().read().decode()

    def _topics(self) -> None:
        """Some of them are missing, and one is set wrong."""
        topics, administration = self._scene.settings.topics, self._scene.administration
        self._scene.guard.delete_topic(topics.schemas)
        administration.configure_topic(topics.dead_letter_source, {"retention.ms": "1000"})
        self._do("topics", "topics", "plan")
        self._do("topics", "topics", "apply")

    def _deliver(self) -> None:
        for number, (schema, records) in enumerate(_events()):
            file = self._scene.folder / f"{number}.avro"
            with file.open("wb") as out:
                writer(out, schema, records)
            self._do("ingest", "ingest", str(file))
        for role in ("router", f"sink {CONNECTOR}", f"sink {SEALED}"):
            self._processes[role] = self._scene.start(self._users[role], *role.split(), "--http-port", "0")
        self._write(OPEN, f"\xc3\x01 no Avro of {PERSONAL['email']}".encode())
        self._wait(lambda: self._account().delivered >= 3 and self._parked("rejected") == 2, "events to be delivered")
        self._wait(lambda: self._scene.router_counts().undecodable == 1, "the undecodable record to be parked")
        self._wait(lambda: "SUSPENDED" in self._do("operator", "connectors", "show", SEALED), f"{SEALED} to stop")

    def _look(self) -> None:
        self._see_command_lines()
        # The Currents topics exist since the ingest: what they take is compared from now on.
        self._do("topics", "topics", "plan")
        self._do("operator", "connectors", "show", CONNECTOR, "--ledger", "--verify")
        self._do("doctor", "doctor", code=5)  # nobody knows the certificate of one destination
        self._do("operator", "schemas", "list")
        schema = self._scene.folder / "added.avsc"
        added = {"name": "added_by_hand", "type": ["null", "string"], "default": None}
        schema.write_bytes(orjson.dumps({**OPEN_SCHEMA, "fields": [*OPEN_SCHEMA["fields"], added]}))
        self._do("operator", "schemas", "add", str(schema))
        for name in (CONNECTOR, "source"):
            self._do("operator", "dlq", "list", name)
            self._do("operator", "dlq", "top", name)
        self._do("operator", "dlq", "show", CONNECTOR, "--event-id", EVENT_IDS["refused"])
        self._do("operator", "dlq", "show", CONNECTOR, "--event-id", EVENT_IDS["broken"])
        self._do("operator", "explain", EVENT_IDS["refused"], "--since", "1h")

    def _credentials_die_and_come_back(self) -> None:
        before = self._account().delivered
        self._mixpanel.revoke()
        self._write(OPEN, _encoded(OPEN, "second"))
        self._wait(lambda: self._parked("credentials") >= 1, "a letter for dead credentials")
        self._extend("1h")  # first: on a busy machine the commands that follow take longer than the grace
        self._do("operator", "connectors", "list")
        self._do("operator", "connectors", "show", CONNECTOR)
        file = self._scene.folder / "credentials.jsonl"
        self._do("operator", "dlq", "export", CONNECTOR, "--scope", "default", "--to", str(file))
        self._mixpanel.restore()
        self._do("operator", "connectors", "probe", CONNECTOR)
        self._wait(lambda: self._account().delivered > before and not self._parked("credentials"), "the redrive")
        self._do("import", "dlq", "import", CONNECTOR, "--from", str(file))
        self._wait(lambda: self._account().delivered > before + 1, "the redrive of what was imported")

    def _decide(self) -> None:
        file = self._scene.folder / "letters.jsonl"
        self._do("operator", "dlq", "export", CONNECTOR, "--to", str(file))
        self._do("operator", "dlq", "replay", CONNECTOR, "--event-id", EVENT_IDS["refused"], "--execute")
        self._wait(lambda: self._parked("rejected") == 2 and not self._account().waiting, "the replayed one to be back")
        self._do("operator", "dlq", "purge", CONNECTOR, "--execute", "--reason", "of tests")
        self._wait(lambda: not self._parked("rejected"), "the purge")
        self._do("import", "dlq", "import", CONNECTOR, "--from", str(file))
        self._do("operator", "dlq", "jobs", CONNECTOR)
        self._do("operator", "dlq", "replay", "source", "--execute", code=6)  # nothing decodes it
        self._do("operator", "dlq", "purge", "source", "--execute", "--reason", "of tests")
        self._do("operator", "connectors", "suspend", CONNECTOR, "--reason", "maintenance")
        self._do("operator", "connectors", "resume", CONNECTOR)
        forgotten = ("--external-id", "somebody-else", "--execute", "--no-wait", "--reason", "of tests")
        self._do("operator", "forget", *forgotten)
        broken = self._scene.folder / "source.jsonl"
        self._write(OPEN, f"\xc3\x01 again no Avro of {PERSONAL['email']}".encode())
        self._wait(lambda: self._scene.router_counts().undecodable >= 2, "another undecodable record")
        self._do("operator", "dlq", "export", "source", "--to", str(broken))
        self._do("import", "dlq", "import", "source", "--from", str(broken))

    def _credentials_die_and_letters_are_purged(self) -> None:
        self._mixpanel.revoke()
        self._write(OPEN, _encoded(OPEN, "third"))
        self._wait(lambda: self._parked("credentials") >= 1, "a letter for dead credentials")
        self._extend("1s")
        self._do("operator", "dlq", "list", CONNECTOR)
        self._wait(lambda: not self._parked("credentials"), "the purge after the deadline")
        low = self._scene.settings.topics.dead_letter_credentials(CONNECTOR, "default")
        self._wait(lambda: not self._scene.read(low), "the purged letters' bytes to be deleted")

    def _extend(self, duration: str) -> None:
        """Give the letters of dead credentials more time."""
        options = ("--scope", "default", "--by", duration, "--reason", "of tests")
        self._do("operator", "dlq", "extend", CONNECTOR, *options)

    def _do(self, role: str, *command: str, code: int = 0) -> str:
        """What the command printed; that it ended otherwise than with this code is kept."""
        result = self._scene.run(self._users[role], *command)
        name = " ".join(command)
        said = result.stdout + result.stderr
        self._seen.said[name] = self._seen.said.get(name, "") + said
        if result.returncode != code:
            self._seen.failed[name] = f"exit code {result.returncode}: {said}"
        return said

    def _write(self, event_type: str, value: bytes) -> None:
        producer = Producer({"bootstrap.servers": self._scene.bootstrap_servers})
        producer.produce(self._scene.source_prefix + event_type, value, PERSONAL["external id"])
        assert producer.flush(60) == 0

    def _account(self) -> Any:
        return self._scene.account(CONNECTOR)

    def _parked(self, cause: str) -> int:
        return int(self._account().parked.get(cause, 0))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self._scene.wait_until(condition, what)

    def _see_command_lines(self) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self._seen.command_lines.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # it ended meanwhile
        assert any(str(os.getpid()) in line or "streams run router" in line for line in self._seen.command_lines)


EVENT_IDS = {
    name: str(uuid4()) for name in ("first", "sms", "custom", "refused", "broken", "unknown", "second", "third")
}


def _event(which: str, **fields: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "id": EVENT_IDS[which],
        "external_user_id": PERSONAL["external id"],
        "user_id": f"user-{TAG}",
        "time": now,
        **fields,
    }


def _schema(event_type: str) -> Any:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    return schema


def _filled(event_type: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event with every other field of its type empty."""
    fields = _schema(event_type).definition["fields"]
    return {one["name"]: event.get(one["name"]) for one in fields}


def _events() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """By file: each type's events, the last by a schema that nobody ships."""
    ahead = int(time.time()) + AHEAD_SECONDS
    address = PERSONAL["email"]
    broken = f'{{"first_name": {PERSONAL["name"]}'
    by_type = {
        OPEN: [_event("first", email_address=address), _event("refused", email_address=address, time=ahead)],
        SMS: [_event("sms", to_phone_number=PERSONAL["phone"])],
        CUSTOM: [
            _event("custom", name="joined", properties=f'{{"first_name":"{PERSONAL["name"]}"}}'),
            _event("broken", name="joined", properties=broken),
        ],
    }
    for event_type, events in by_type.items():
        yield _schema(event_type).definition, [_filled(event_type, event) for event in events]
    yield OPEN_SCHEMA, [{**_event("unknown"), "subject_of_tests": PERSONAL["name"]}]


def _encoded(event_type: str, name: str) -> bytes:
    from streams.events.encodings import encode_single_object

    return encode_single_object(_schema(event_type), _filled(event_type, _event(name, email_address=PERSONAL["email"])))

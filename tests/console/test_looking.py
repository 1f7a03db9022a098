"""What the console shows is what the commands print, of real processes on a broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.console.visitor import Visitor, console
from tests.pipeline.line import ANALYTICS, CDP, Line, mixpanel_connector, mparticle_connector, running
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(360)]

PURCHASE = "users.behaviors.Purchase"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class Night:
    """A line whose first connector's key was revoked, and a console that looks only."""

    line: Line
    visitor: Visitor

    def command(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "streams", *arguments, "--config", str(self.line.scene.config), "-o", "json"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 0, found.stderr
        content = json.loads(found.stdout)
        assert isinstance(content, dict)
        return content

    def wait_for(self, path: str, condition: Any, what: str) -> dict[str, Any]:
        """The first look may take a while on a busy machine: until it is over, pages answer 503."""
        return self.visitor.seen(path, lambda page: page.status == 200 and bool(condition(page.content)), what).content


@pytest.fixture(scope="module")
def night(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    with ExitStack() as stack:
        mixpanel = stack.enter_context(MixpanelEmulator())
        mparticle = stack.enter_context(MParticleEmulator())
        connectors = {ANALYTICS: mixpanel_connector(mixpanel), CDP: mparticle_connector(mparticle)}
        line = stack.enter_context(running(kafka, folder, connectors))
        mixpanel.revoke()
        for number in range(12):
            line.write(OPEN, event(f"event-{number}"))
        line.write(OPEN, b"no Avro")
        line.settle()
        scene = line.scene
        scene.wait_until(lambda: scene.account(ANALYTICS).parked.get("credentials") == 12, "everything to be parked")
        yield Night(line, stack.enter_context(console(scene.config)))


def test_the_overview_says_what_needs_a_person_by_deadline(night: Night) -> None:
    content = night.wait_for("/index.json", lambda it: len(it["needs"]) == 2, "tell both needs")
    first, second = content["needs"]
    assert (first["kind"], first["connector"], first["scope"]) == ("credentials", ANALYTICS, "default")
    assert (first["command"], second["command"]) == (
        f"streams connectors probe {ANALYTICS} --scope default",
        "streams dlq top source",
    )
    assert first["deadline"] < second["deadline"]
    assert (second["kind"], second["connector"]) == ("letters", "source")
    page = night.visitor.reading("/", "2 things need you")
    assert page.status == 200
    assert "mixpanel refuses the credentials of scope default: 401" in page.words
    assert "12 letters parked for credentials" in page.words
    assert f"streams connectors probe {ANALYTICS} --scope default" in page.words


def test_twins_have_what_the_commands_print(night: Night) -> None:
    night.visitor.await_twin("/index.json", lambda: night.command("connectors", "list"))
    night.visitor.await_twin(f"/connectors/{ANALYTICS}.json", lambda: night.command("connectors", "show", ANALYTICS))


def test_letters_are_counted_beside_the_page_and_as_the_command_counts(night: Night) -> None:
    path = f"/connectors/{ANALYTICS}/letters"
    content = night.wait_for(f"{path}.json", lambda it: "groups" in it, "have counted")
    top = night.command("dlq", "top", ANALYTICS)
    assert {name: content[name] for name in top} == top
    listed = night.command("dlq", "list", ANALYTICS)
    assert {name: content[name] for name in listed} == listed
    page = night.visitor.page(path)
    assert "Dead letters of analytics" in page.words
    assert "401" in page.words
    assert f"{path}?cause=credentials" in page.links


def test_a_connector_s_page_has_its_account_as_a_sentence_and_no_order_where_it_only_looks(night: Night) -> None:
    page = night.visitor.page(f"/connectors/{ANALYTICS}")
    assert "12 routed = 0 delivered + 0 skipped + 0 waiting + 12 parked" in page.words
    assert page.forms() == []
    assert "looks only" in page.words


@pytest.mark.parametrize("path", ["/", f"/connectors/{ANALYTICS}"])
def test_a_connector_that_runs_and_delivers_nothing_has_the_same_badges_on_each_page(night: Night, path: str) -> None:
    page = night.visitor.reading(path, "running, delivers nothing")
    assert '<span class="pill invalid">invalid</span>' in page.text
    assert '<span class="pill valid">valid</span> default' not in page.text


@pytest.mark.parametrize("path", ["/", f"/connectors/{ANALYTICS}", f"/connectors/{ANALYTICS}/letters", "/nowhere"])
def test_every_page_has_the_policy_and_no_script_or_style_of_its_own(night: Night, path: str) -> None:
    page = night.visitor.get(path)
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-store"
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "<script>" not in page.text
    assert " onclick" not in page.text


def test_an_unknown_connector_is_named_with_those_there_are(night: Night) -> None:
    page = night.visitor.get("/connectors/growht")
    assert page.status == 404
    assert "there is no connector growht" in page.words
    assert f"{ANALYTICS}, {CDP}" in page.words
    assert night.visitor.get("/connectors/growht.json").content["error"] == "there is no connector growht"


def test_a_request_for_another_host_gets_nothing(night: Night) -> None:
    answer = night.visitor.get("/", Host="attacker.example:8090")
    assert answer.status == 421
    assert ANALYTICS not in answer.text
    assert night.visitor.get("/", Host="localhost:1234").status == 200


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", None])
def test_an_order_from_another_page_is_refused(night: Night, origin: str | None) -> None:
    answer = night.visitor.post("/sign-out", {}, origin)
    assert answer.status == 403
    assert "orders are accepted only from pages of this console" in answer.words


def test_two_causes_for_which_the_router_waits_are_two_things_to_do_on_the_page_and_the_command_line(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    address = "http://127.0.0.1:9"  # nobody listens there
    source = {"unknown_schema_wait": "1h", "schema_registry": {"url": address}}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, source) as line:
        line.write(OPEN, b"\xc3\x01" + bytes.fromhex("7cadefe5e6d83d82") + b"a record")
        line.write(PURCHASE, b"\x00" + (41).to_bytes(4, "big") + b"a record")
        line.flush()
        with console(line.scene.config) as visitor:
            page = visitor.seen(
                "/",
                lambda page: "unknown schema fingerprint 7cadefe5e6d83d82" in page.words and address in page.words,
                "tell both causes",
            )
            assert page.text.count('<article class="need waiting">') == 2
            assert "streams schemas add FILE" in page.words
            assert f"the schema registry at {address}: no answer" in page.words
            assert "start the schema registry" in page.words
            assert "running, not all" in page.words
            assert "7cadefe5e6d83d82" in visitor.page("/schemas").words
            shown = Night(line, visitor).command("connectors", "show", "router")["causes"]
            assert [(one["why"], one["records"]) for one in sorted(shown, key=lambda one: str(one["why"]))] == [
                ("registry", 1),
                ("schema", 1),
            ]


def test_a_console_without_kafka_starts_and_says_so(tmp_path: Path) -> None:
    config = tmp_path / "away.yaml"
    config.write_text(
        'kafka: {bootstrap_servers: "127.0.0.1:9"}\n'
        f'connectors: {{growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}\n'
    )
    with console(config) as visitor:
        page = visitor.page("/")
        assert "Kafka does not answer" in page.words
        assert "streams doctor" in page.words
        assert visitor.get("/connectors/growth").status == 503


def test_a_console_before_any_topic_is_there_answers_and_says_what_is_missing(kafka: Broker, tmp_path: Path) -> None:
    config = tmp_path / "empty.yaml"
    config.write_text(
        f'kafka: {{bootstrap_servers: "{kafka.bootstrap_servers}", topic_prefix: "empty-{tmp_path.name}."}}\n'
        f'source: {{topics: ["^nothing-{tmp_path.name}.+"]}}\n'
        f'connectors: {{growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}\n'
    )
    with console(config) as visitor:
        page = visitor.reading("/", "no sink runs")
        assert (page.status, "no router runs" in page.words) == (200, True)
        assert visitor.page("/connectors/growth").status == 200
        assert visitor.page("/connectors/growth/letters").status == 200

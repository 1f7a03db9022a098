"""The command line from outside: what it prints where, and how it ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from streams import __version__
from streams.events.catalogue import CATALOGUE

TOKEN = "0123456789abcdef0123456789abcdef"
GOOD = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
connectors:
  growth: {destination: mixpanel, project_token: "TOKEN"}
""".replace("TOKEN", TOKEN)


def streams(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "STREAMS_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=clean | (environment or {}),
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "streams.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace("mixpanel,", "mixpanel, region: ue, rat: 5,"), encoding="utf-8")
    return path


def json_of(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    content = json.loads(result.stdout)
    assert content["v"] == 1
    return dict(content)


def test_the_version_is_printed() -> None:
    result = streams("--version")
    assert result.returncode == 0
    assert result.stdout in (f"streams {__version__} (plain Python)\n", f"streams {__version__} (compiled)\n")


def test_help_names_every_command() -> None:
    result = streams("--help")
    assert result.returncode == 0
    for command in ("demo", "run", "ingest", "topics", "events", "connectors", "config", "emulate"):
        assert f"\n  {command} " in result.stdout


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['streams', '--help']\n"
        "from streams.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'confluent_kafka', 'pydantic', 'fastavro', 'aiohttp', 'yaml', 'orjson', 'structlog', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stderr.strip() == "[]"


def test_a_process_imports_no_destination_but_its_own_and_no_http_client_before_it_sends(good: Path) -> None:
    program = (
        f"import sys; sys.argv = ['streams', 'config', 'check', '--config', {str(good)!r}]\n"
        "from streams.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "import streams.cli.assembly.router\n"
        "import streams.cli.assembly.installation\n"
        "others = {'streams.destinations.braze', 'streams.destinations.mparticle'}\n"
        "heavy = {'aiohttp', 'jinja2', 'opentelemetry', 'prometheus_client', 'rich'}\n"
        "print(sorted((heavy | others) & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert "growth" in result.stdout
    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [("nonsense",), ("config", "nonsense"), ("topics", "plan", "--nonsense")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = streams(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    "arguments", [("config", "check"), ("topics", "plan"), ("connectors", "list"), ("ingest", "."), ("run", "router")]
)
def test_a_command_without_configuration_says_how_to_give_one(arguments: tuple[str, ...]) -> None:
    result = streams(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--config FILE" in result.stderr
    assert "STREAMS_CONFIG" in result.stderr


def test_a_good_configuration_is_summed_up(good: Path) -> None:
    result = streams("config", "check", "--config", str(good))
    assert result.returncode == 0
    assert "growth" in result.stdout
    assert "mixpanel" in result.stdout


def test_the_configuration_may_be_named_by_a_variable(good: Path) -> None:
    assert streams("config", "check", environment={"STREAMS_CONFIG": str(good)}).returncode == 0


def test_every_problem_of_a_bad_configuration_is_printed(bad: Path) -> None:
    result = streams("config", "check", "--config", str(bad))
    assert result.returncode == 2
    assert [line.split()[1] for line in result.stdout.splitlines()] == [
        "connectors.growth.region",
        "connectors.growth.rat",
    ]


def test_problems_are_listed_as_json(bad: Path) -> None:
    result = streams("config", "check", "--config", str(bad), "--output", "json")
    assert result.returncode == 2
    region, unknown = json_of(result)["problems"]
    assert (region["path"], region["value"], region["line"]) == ("connectors.growth.region", "'ue'", 4)
    assert "Did you mean rate?" in unknown["fix"]


def test_an_option_that_the_client_does_not_know_is_a_problem(good: Path) -> None:
    good.write_text(GOOD.replace('1"}', '1", options: {sasl.mechanisn: PLAIN}}'), encoding="utf-8")
    result = streams("config", "check", "--config", str(good))
    assert result.returncode == 2
    assert "sasl.mechanisn" in result.stdout


@pytest.mark.parametrize("arguments", [("topics", "plan"), ("connectors", "show", "growth"), ("run", "sink", "growth")])
def test_a_bad_configuration_stops_every_command_with_all_problems(bad: Path, arguments: tuple[str, ...]) -> None:
    result = streams(*arguments, "--config", str(bad))
    assert (result.returncode, result.stdout) == (2, "")
    assert "connectors.growth.region" in result.stderr
    assert "connectors.growth.rat" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_schema_is_a_schema_that_takes_the_good_and_refuses_the_bad() -> None:
    result = streams("config", "schema")
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["connectors"]


@pytest.mark.parametrize("arguments", [("topics", "plan"), ("topics", "apply"), ("connectors", "list")])
def test_a_kafka_that_does_not_answer_ends_with_5(good: Path, arguments: tuple[str, ...]) -> None:
    result = streams(*arguments, "--config", str(good))
    assert (result.returncode, result.stdout) == (5, "")
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_connector_ends_with_2_and_a_suggestion(good: Path) -> None:
    result = streams("connectors", "show", "grwth", "--config", str(good))
    assert (result.returncode, result.stdout) == (2, "")
    assert "Did you mean growth?" in result.stderr


def test_files_that_do_not_exist_end_with_3(good: Path, tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.avro"), str(tmp_path / "*.avro")):
        result = streams("ingest", path, "--config", str(good))
        assert (result.returncode, result.stdout) == (3, "")
        assert path in result.stderr


def test_every_event_type_is_listed() -> None:
    listed = json_of(streams("events", "list", "--output", "json"))["event_types"]
    assert {event_type["event_type"] for event_type in listed} == set(CATALOGUE)
    mapped = [event_type for event_type in listed if "mixpanel" in event_type["mapped"] and not event_type["retired"]]
    assert len(mapped) == 88


def test_event_types_may_be_selected() -> None:
    result = streams("events", "list", "--events", "users.messages.email.*", "--output", "json")
    names = [event_type["event_type"] for event_type in json_of(result)["event_types"]]
    assert "users.messages.email.Open" in names
    assert all(name.startswith("users.messages.email.") for name in names)
    assert streams("events", "list", "--events", "nothing.like.it").returncode == 3


def test_an_event_type_is_shown_with_what_each_destination_gets() -> None:
    shown = json_of(streams("events", "show", "users_messages_email_open", "--output", "json"))
    assert shown["event_type"] == "users.messages.email.Open"
    assert shown["group"] == "message_engagement"
    mixpanel = shown["payloads"]["mixpanel"]["payload"]
    assert mixpanel["properties"]["$insert_id"] == shown["sample"]["id"]
    mparticle = shown["payloads"]["mparticle"]["payload"]
    assert mparticle["source_request_id"] == shown["sample"]["id"]
    assert streams("events", "show", "users.messages.email.Open").returncode == 0


def test_an_unknown_event_type_ends_with_2_and_a_suggestion() -> None:
    result = streams("events", "show", "users.messages.email.Opens")
    assert (result.returncode, result.stdout) == (2, "")
    assert "users.messages.email.Open" in result.stderr


def test_an_emulator_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "streams", "emulate", "mixpanel", "--port", "0"]
    command += ["--faults", '[{"status": 503, "count": 1}]']
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[2].rstrip(";")
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/import?strict=1", data=b"[]", headers=kind, method="POST")
        statuses = []
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=60)
            statuses.append(caught.value.code)
            caught.value.close()
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert statuses == [503, 401]


@pytest.mark.parametrize(
    "options", [("--faults", '[{}, {"stats": 1}]'), ("--faults", "/no/such/file"), ("--options", '{"nope": 1}')]
)
def test_an_emulator_refuses_what_it_does_not_know(options: tuple[str, str]) -> None:
    result = streams("emulate", "mixpanel", "--port", "0", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert options[0] in result.stderr
    assert "Traceback" not in result.stderr


PRIVATE = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
connectors:
  growth:
    destination: mixpanel
    project_token: file:/no/such/token
    event_names: {users.messages.email.Open: Mail opened}
    privacy: {drop: [campaign_name], hash: {fields: [external_user_id], salt: "${SALT}"}}
"""


def test_a_payload_is_shown_as_it_would_leave_to_a_connector(tmp_path: Path) -> None:
    path = tmp_path / "streams.yaml"
    path.write_text(PRIVATE, encoding="utf-8")
    command = ("events", "show", "users.messages.email.Open", "--connector", "growth", "--config", str(path))
    salt = "a salt of a test"
    shown = json_of(streams(*command, "--output", "json", environment={"SALT": salt}))
    payload = shown["payloads"]["growth"]["payload"]
    expected = hmac.new(salt.encode(), shown["sample"]["external_user_id"].encode(), hashlib.sha256).hexdigest()
    assert payload["event"] == "Mail opened"
    assert payload["properties"]["distinct_id"] == payload["properties"]["$user_id"] == expected
    assert "campaign_name" not in payload["properties"]
    assert "campaign_id" in payload["properties"]
    table = streams(*command, environment={"SALT": salt})
    assert table.returncode == 0
    assert expected in table.stdout
    without = streams(*command, environment={"SALT": ""})
    assert without.returncode == 2
    assert "environment variable SALT is not set" in without.stderr


def test_every_command_and_exit_code_is_documented() -> None:
    from streams.cli.errors import ExitCode

    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in ("demo", "run router", "ingest", "topics plan", "topics apply", "connectors list", "events show"):
        assert f"{command}" in page
    for code in ExitCode:
        assert f"| {code.value} |" in page

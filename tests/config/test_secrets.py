"""Secrets as they come from Kubernetes, from Windows and from a slip of the pen; and commands that need none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.main import app
from streams.config import ConfigurationError, loads
from streams.config.http import Proxy
from streams.values import Secret

CONFIGURATION = """
kafka: {bootstrap_servers: "kafka:9092"}
connectors:
  cdp:
    destination: mparticle
    feeds:
      ios: {key: "${IOS_KEY}", secret: "${IOS_SECRET}"}
      unbound: {key: "${KEY}", secret: "file:/secrets/nowhere"}
  growth: {destination: mixpanel, project_token: "${TOKEN}"}
"""


@pytest.mark.parametrize(
    "text", ["s3cret\n", "s3cret\r\n", "\ufeffs3cret\r\n", "  s3cret\t", "\ufeff s3cret \n\n", "s3cret\0"]
)
def test_what_stands_around_a_secret_by_accident_is_no_part_of_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    assert Secret("${S}", {"S": text}).reveal() == "s3cret"
    assert Secret(f"file:{file}").reveal() == "s3cret"
    assert Secret(text).reveal() == "s3cret"


@pytest.mark.parametrize("text", ["\ufeff", "\n", " \r\n", ""])
def test_a_secret_of_blanks_is_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    with pytest.raises(ValueError, match="is not set"):
        Secret("${S}", {"S": text}).reveal()
    with pytest.raises(ValueError, match="is empty"):
        Secret(f"file:{file}").reveal()


def test_a_file_in_utf_16_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes("s3cret\r\n".encode("utf-16"))
    with pytest.raises(ValueError, match="save it as UTF-8"):
        Secret(f"file:{file}").reveal()


@pytest.mark.parametrize("path", ["", "\0", "/"])
def test_a_path_that_can_be_no_file_is_told(path: str) -> None:
    with pytest.raises(ValueError, match="cannot read secret file"):
        Secret(f"file:{path}").reveal()


@pytest.mark.parametrize("reference", ["${S:-x}", "${S", "${}", "${1S}", "a${S}", "${S}${S}", "${S-T}", "${ S }"])
@pytest.mark.parametrize("reads_secrets", [True, False])
def test_a_malformed_reference_is_refused_everywhere(reference: str, reads_secrets: bool) -> None:
    text = f"""
kafka: {{bootstrap_servers: "kafka:9092", options: {{sasl.password: "{reference}"}}}}
source: {{schema_registry: {{url: "http://r:1", bearer_token: "{reference}"}}}}
connectors: {{growth: {{destination: mixpanel, project_token: "{reference}"}}}}
"""
    with pytest.raises(ConfigurationError) as raised:
        loads(text, {"S": "x"}, reads_secrets=reads_secrets)
    assert [problem.path for problem in raised.value.problems] == [
        "kafka.options.sasl.password",
        "source.schema_registry.bearer_token",
        "connectors.growth.project_token",
    ]
    assert all("must be ${NAME} as a whole" in problem.fix for problem in raised.value.problems)


def test_commands_that_need_no_secret_run_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IOS_KEY", "IOS_SECRET", "KEY", "TOKEN"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "streams.yaml"
    file.write_text(CONFIGURATION)
    runner = CliRunner()
    assert runner.invoke(app, ["config", "check", "--config", str(file)]).exit_code == 2
    checked = runner.invoke(app, ["config", "check", "--no-secrets", "--config", str(file)])
    assert checked.exit_code == 0, checked.output
    listed = runner.invoke(app, ["topics", "acls", "--config", str(file), "--output", "json"])
    assert listed.exit_code == 0, listed.output
    json.loads(listed.stdout)
    assert "streams.dead-letter.cdp.credentials.ios" in listed.stdout
    assert "streams.dead-letter.cdp.credentials.unbound" in listed.stdout


def test_without_secrets_everything_else_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text(CONFIGURATION.replace('project_token: "${TOKEN}"', 'project_token: "${TOKEN}", grace: soon'))
    found = CliRunner().invoke(app, ["config", "check", "--no-secrets", "--config", str(file)])
    assert found.exit_code == 2
    assert "connectors.growth.grace" in found.output


def test_a_password_file_that_is_away_is_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    text = f"kafka: {{bootstrap_servers: 'kafka:9092', options: {{sasl.password: 'file:{file}'}}}}\n"
    settings = loads(text + "connectors: {g: {destination: mixpanel, project_token: " + "a" * 32 + "}}", {})
    assert settings.kafka.client_config("c")["sasl.password"] == "old"
    file.unlink()
    assert settings.kafka.client_config("c")["sasl.password"] == "old"
    file.write_text("new\n")
    assert settings.kafka.client_config("c")["sasl.password"] == "new"
    file.unlink()
    never_read = loads(
        text + "connectors: {g: {destination: mixpanel, project_token: " + "a" * 32 + "}}", {}, reads_secrets=False
    )
    with pytest.raises(ConfigurationError, match=r"kafka\.options\.sasl\.password: cannot read secret file"):
        never_read.kafka.client_config("c")


@pytest.mark.parametrize(
    "address",
    [
        "https://host,", "https://host,other", "http://a:99999", "http://a:0", "http://a:", "http://a..b", "http://-a",
        "http://999.1.1.1", "http://[zz]", "http://", "http://a b", "http://a:80x", "http://" + "a" * 64 + ".b",
    ],
)  # fmt: skip
def test_an_impossible_address_is_a_problem_wherever_one_stands(address: str) -> None:
    text = f"""
kafka: {{bootstrap_servers: "kafka:9092"}}
source: {{schema_registry: {{url: "{address}"}}}}
http: {{proxy: {{url: "{address}"}}}}
connectors:
  growth: {{destination: mixpanel, project_token: {"a" * 32}, base_url: "{address}"}}
  cdp: {{destination: mparticle, base_url: "{address}", feeds: {{unbound: {{key: k, secret: s}}}}}}
"""
    with pytest.raises(ConfigurationError) as raised:
        loads(text, {})
    assert [problem.path for problem in raised.value.problems] == [
        "source.schema_registry.url",
        "http.proxy.url",
        "connectors.growth.base_url",
        "connectors.cdp.base_url",
    ]


@pytest.mark.parametrize(
    "servers", ["kafka:0", "kafka:99999", "kafka:", "a,,b", "-a:1", "a..b:9092", "999.9.9.9:1", "[zz]:1"]
)
def test_an_impossible_broker_is_a_problem(servers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.bootstrap_servers"):
        loads(f"kafka: {{bootstrap_servers: '{servers}'}}\nconnectors: {{}}", {})


@pytest.mark.parametrize(
    "servers", ["kafka", "kafka:9092", "a:1, b:2", "[::1]:9092", "SASL_SSL://b-1.x:9096", "10.0.0.1:9092"]
)
def test_brokers_that_can_be_are_taken(servers: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loads(f"kafka: {{bootstrap_servers: '{servers}'}}\nconnectors: {{}}", {})
    assert [problem.path for problem in raised.value.problems] == ["connectors"]


@pytest.mark.parametrize(
    "form", ["*.svc", "*", "10.0.0.0/8", "http://a", "host:8081", "a..b", "", ".", "[::1]:80", "::zz"]
)
def test_forms_of_no_proxy_that_would_never_match_are_refused(form: str) -> None:
    with pytest.raises(ConfigurationError, match="no_proxy"):
        loads(f"http: {{proxy: {{url: 'http://p:1', no_proxy: ['{form}']}}}}\nconnectors: {{}}", {})


def test_forms_of_no_proxy_that_match() -> None:
    proxy = Proxy.model_validate({"url": "http://p:1", "no_proxy": ["Registry", ".svc.local", "10.0.0.1", "[0:0::1]"]})
    assert not any(map(proxy.is_for, ["registry", "registry.", "a.svc.local", "10.0.0.1", "::1"]))
    assert all(map(proxy.is_for, ["registry.example", "svc.local", "10.0.0.11", "::2"]))


def test_a_problem_hides_no_other_of_its_connector() -> None:
    text = """
kafka: {bootstrap_servers: "kafka:9092"}
connectors:
  one:
    destination: mparticel
    grace: soon
    notify: {email: a@b.example}
  two:
    destination: mparticle
    feeds: {ios: {key: "${NO}", secret: s}}
    rate: -1
    events: [nothing.such]
    notify: {email: a@b.example, smtp: {username: u, port: 0}}
"""
    with pytest.raises(ConfigurationError) as raised:
        loads(text, {})
    assert sorted(problem.path for problem in raised.value.problems) == [
        "connectors.one.destination",
        "connectors.one.grace",
        "connectors.one.notify",
        "connectors.two",
        "connectors.two.events[0]",
        "connectors.two.feeds.ios.key",
        "connectors.two.notify",
        "connectors.two.notify.smtp",
        "connectors.two.notify.smtp.port",
        "connectors.two.rate",
    ]


def test_an_error_names_its_file(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text("kafka: {}\nconnectors: {}\n")
    found = CliRunner().invoke(app, ["connectors", "list", "--config", str(file)])
    assert found.exit_code == 2
    assert f"{file}: kafka.bootstrap_servers" in found.output


def test_a_half_written_schema_is_a_problem_for_config_check(tmp_path: Path) -> None:
    (tmp_path / "half.avsc").write_text('{"type": "record", "na')
    (tmp_path / ".#Open.avsc").symlink_to("someone@host.1:1")
    file = tmp_path / "streams.yaml"
    file.write_text(
        f"kafka: {{bootstrap_servers: 'kafka:9092'}}\nsource: {{schema_folders: ['{tmp_path}']}}\n"
        f"connectors: {{g: {{destination: mixpanel, project_token: {'a' * 32}}}}}\n"
    )
    found = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert found.exit_code == 2
    assert "half.avsc: is not JSON" in found.output
    assert ".#Open.avsc: No such file" in found.output


def test_options_of_kafka_are_checked_while_the_file_has_other_problems(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text(
        "kafka: {topics: {partitions: 0}, options: {socket.timeout.ms: soon}}\nconnectors: {g: {destination: acme}}\n"
    )
    found = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert found.exit_code == 2
    for problem in (
        "kafka.bootstrap_servers",
        "kafka.topics.partitions",
        "kafka.options: ",
        "connectors.g.destination",
    ):
        assert problem in found.output
    assert "socket.timeout.ms" in found.output

"""Good configurations: what they say, what they leave out, and what they keep to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.config import Settings, load, loads
from streams.config.warnings import warnings
from tests.config.vendors import CLICK, OPEN, REGISTRY, SENT

FULL = """
kafka:
  bootstrap_servers: "a:9092, b:9092"
  options:
    security.protocol: SASL_SSL
    sasl.password: ${KAFKA_PASSWORD}
    socket.keepalive.enable: true
  group_protocol: consumer
  topic_prefix: acme.streams.
  topics: {partitions: 12, replication: 5, min_insync_replicas: 3, create: false}
source:
  topics: ["^events\\\\.", "orders"]
  topic_prefix: events.
  encoding: bare
  schema_registry: {url: "http://registry:8081", bearer_token: "${TOKEN}"}
notify: {smtp: {host: mail.example.com, username: streams, password: "${TOKEN}"}}
connectors:
  growth-acme:
    destination: acme
    contact: growth@example.com
    events: [users.messages.email.*]
    region: eu
    project_token: ${TOKEN}
    rate: 2000
    grace: 36h
    retry: {give_up_after: 90m}
    notify: {webhook: "${TOKEN}", email: "", smtp: {}}
  cdp:
    destination: bolter
    events: [all]
    feeds: {ios: {key: k, secret: "file:SECRET_FILE"}}
"""
ENVIRONMENT = {"KAFKA_PASSWORD": "swordfish", "TOKEN": "hunter2"}


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("first\n", encoding="utf-8")
    return path


@pytest.fixture
def settings(secret_file: Path) -> Settings:
    return loads(FULL.replace("SECRET_FILE", str(secret_file)), ENVIRONMENT, registry=REGISTRY)


def test_every_section_reads_as_it_is_written(settings: Settings) -> None:
    assert settings.kafka.bootstrap_servers == "a:9092, b:9092"
    assert settings.kafka.group_protocol == "consumer"
    assert settings.kafka.topics.partitions == 12
    assert settings.source.topics == ("^events\\.", "orders")
    assert settings.source.encoding == "bare"
    growth = settings.connectors["growth-acme"]
    assert growth.destination == "acme"
    assert growth.rate_per_second == 2000
    assert growth.grace_seconds == 36 * 3600
    assert growth.give_up_after_seconds == 90 * 60


def test_what_is_left_out_has_the_documented_default() -> None:
    text = "kafka: {bootstrap_servers: k:9092}\nconnectors: {one: {destination: acme, project_token: t}}"
    settings = loads(text, {}, registry=REGISTRY)
    assert settings.kafka.group_protocol == "classic"
    assert settings.kafka.topic_prefix == "streams."
    assert (settings.kafka.topics.partitions, settings.kafka.topics.replication) == (6, 3)
    assert settings.kafka.topics.min_insync_replicas == 2
    assert settings.source.topics == ("^currents\\..+",)
    assert settings.source.topic_prefix == "currents."
    one = settings.connectors["one"]
    assert one.event_types == {OPEN}
    assert one.rate_per_second is None
    assert one.grace_seconds == 48 * 3600
    assert one.give_up_after_seconds is None


def test_a_destination_may_have_defaults_of_its_own_for_the_common_keys(settings: Settings) -> None:
    assert settings.connectors["cdp"].rate_per_second == 270
    assert settings.connectors["cdp"].grace_seconds == 5 * 86_400


def test_events_are_selected_among_what_the_destination_maps(settings: Settings) -> None:
    assert settings.connectors["growth-acme"].event_types == {OPEN, CLICK}
    assert SENT not in settings.connectors["growth-acme"].event_types
    assert settings.connectors["cdp"].event_types == {OPEN, CLICK}


def test_names_follow_the_prefix(settings: Settings) -> None:
    assert settings.topics.connector("cdp") == "acme.streams.connector.cdp"
    assert settings.topics.dead_letter_rejected("cdp") == "acme.streams.dead-letter.cdp.rejected"
    assert settings.topics.dead_letter_credentials("cdp", "ios") == "acme.streams.dead-letter.cdp.credentials.ios"
    assert settings.topics.dead_letter_source == "acme.streams.dead-letter.source"
    assert settings.topics.state == "acme.streams.state"
    assert settings.groups.router == "acme.streams.router"
    assert settings.groups.sink("cdp") == "acme.streams.sink.cdp"


def test_client_settings_hold_the_revealed_secrets_and_nothing_else_does(settings: Settings) -> None:
    config = settings.kafka.client_config("me")
    assert config["sasl.password"] == "swordfish"
    assert config["security.protocol"] == "SASL_SSL"
    assert config["socket.keepalive.enable"] is True
    assert config["bootstrap.servers"] == "a:9092, b:9092"
    for secret in ("swordfish", "hunter2", "first"):
        assert secret not in repr(settings)
        assert secret not in repr(settings.connectors["cdp"].settings)


def test_a_secret_in_a_file_is_read_anew_when_it_is_used(settings: Settings, secret_file: Path) -> None:
    feeds = settings.connectors["cdp"].settings.feeds  # type: ignore[attr-defined]
    assert feeds["ios"].secret.reveal() == "first"
    secret_file.write_text("second", encoding="utf-8")
    assert feeds["ios"].secret.reveal() == "second"


def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.kafka.topic_prefix = "other."
    with pytest.raises(ValidationError):
        settings.connectors["cdp"].settings.rate = 1.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "paths"), [("hooks.example/x", ["notify.webhook"]), ("https://hooks.example/x", [])]
)
def test_a_webhook_that_is_no_address_is_told_without_it(address: str, paths: list[str]) -> None:
    one = f"{{destination: acme, project_token: t, notify: {{webhook: '{address}'}}}}"
    found = warnings(loads(f"kafka: {{bootstrap_servers: k:1}}\nconnectors: {{one: {one}}}", {}, registry=REGISTRY))
    about_notify = [remark for remark in found if ".notify" in remark.path]
    assert [remark.path for remark in about_notify] == [f"connectors.one.{path}" for path in paths]
    assert not any(address in str(remark) for remark in about_notify)


MAIL = """
kafka: {{bootstrap_servers: k:1}}
notify: {{smtp: {{host: mail.example.com, port: 25, username: streams, password: swordfish, sender: all@example.com}}}}
connectors:
  one: {{destination: acme, project_token: t, contact: team@example.com, notify: {notify}}}
"""


@pytest.mark.parametrize(
    ("notify", "email", "host", "port", "username", "sender"),
    [
        ("{}", "team@example.com", "mail.example.com", 25, "streams", "all@example.com"),
        ("{email: a@b.example}", "a@b.example", "mail.example.com", 25, "streams", "all@example.com"),
        ("{smtp: {sender: s@b.example}}", "team@example.com", "mail.example.com", 25, "streams", "s@b.example"),
        ("{smtp: {host: own.example.com}}", "team@example.com", "own.example.com", 587, None, ""),
    ],
    ids=["all from the top", "another recipient", "another sender", "another server, which never gets the password"],
)
def test_a_mail_server_stands_once_for_all_connectors_and_a_connectors_own_wins(
    notify: str, email: str, host: str, port: int, username: str | None, sender: str
) -> None:
    found = loads(MAIL.format(notify=notify), {}, registry=REGISTRY).connectors["one"]
    smtp = found.notify.smtp
    assert found.contact == "team@example.com"
    assert found.notify.email == email
    assert (smtp.host, smtp.port, smtp.username, smtp.sender) == (host, port, username, sender)
    assert (smtp.password is None) == (username is None)


def test_a_contact_without_a_mail_server_is_no_recipient() -> None:
    one = "{destination: acme, project_token: t, contact: a@b.example}"
    found = loads(f"kafka: {{bootstrap_servers: k:1}}\nconnectors: {{one: {one}}}", {}, registry=REGISTRY).connectors[
        "one"
    ]
    assert (found.contact, found.notify.email) == ("a@b.example", "")


def test_a_file_is_read_like_its_text(tmp_path: Path) -> None:
    path = tmp_path / "streams.yaml"
    path.write_text("kafka: {bootstrap_servers: k:1}\nconnectors: {one: {destination: acme, project_token: t}}")
    assert load(path, {}, registry=REGISTRY).connectors["one"].destination == "acme"


def test_anchors_and_merge_keys_may_be_used() -> None:
    text = """
kafka: {bootstrap_servers: k:1}
connectors:
  one: &common {destination: acme, project_token: t, region: eu}
  two: {<<: *common, region: us}
"""
    settings = loads(text, {}, registry=REGISTRY)
    assert settings.connectors["two"].settings.region == "us"  # type: ignore[attr-defined]

"""Clients of Kafka: their lines go through our log, and settings that they refuse are told, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from streams.adapters.kafka import clients
from streams.adapters.kafka.clients import Lines, option_problem
from streams.adapters.kafka.member_settings import GroupProtocol
from streams.cli.main import app
from streams.config import ConfigurationError

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.mark.parametrize("make", [clients.consumer, clients.producer, clients.administration_client])
@pytest.mark.parametrize(
    "wrong",
    [
        {"no.such.setting": 1},
        {"security.protocol": "carrier-pigeon"},
        {"stats_cb": "text"},
        {"security.protocol": "ssl", "ssl.ca.location": "/no/such/file"},
    ],
)
def test_a_setting_that_a_client_refuses_is_a_problem_of_the_configuration(
    make: Callable[[dict[str, Any]], object], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.options: the Kafka client refuses it"):
        make({**NOBODY, "group.id": "x", **wrong})


@pytest.mark.parametrize(
    ("options", "protocol", "words"),
    [
        ({"max.poll.interval.ms": 5000}, "classic", "max.poll.interval.ms"),
        ({"queue.buffering.max.ms": "soon"}, "classic", "queue.buffering.max.ms"),
        ({"compression.type": "zap"}, "classic", "zap"),
        ({"session.timeout.ms": 10_000}, "consumer", "session.timeout.ms"),
        ({"heartbeat.interval.ms": 2_000}, "consumer", "heartbeat.interval.ms"),
    ],
)
def test_what_only_one_kind_of_client_refuses_is_found_before_any_is_needed(
    options: dict[str, Any], protocol: GroupProtocol, words: str
) -> None:
    problem = option_problem(options, protocol)
    assert problem is not None
    assert words in problem


def test_options_that_every_client_takes_are_no_problem() -> None:
    options = {"linger.ms": 5, "security.protocol": "plaintext", "fetch.wait.max.ms": 50}
    assert option_problem(options, "classic") is None
    assert option_problem(options, "consumer") is None


def test_config_check_and_run_name_a_wrong_option(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text(
        "kafka: {bootstrap_servers: 'localhost:1', options: {compression.type: zap}}\n"
        "connectors: {c: {destination: mixpanel, project_token: '0123456789abcdef0123456789abcdef'}}\n"
    )
    for command in (["config", "check"], ["connectors", "list"], ["run", "router"]):
        found = CliRunner().invoke(app, [*command, "--config", str(file)])
        assert found.exit_code == 2, found.output
        assert "kafka.options: the Kafka client refuses it" in found.output
        assert "zap" in found.output


def test_config_check_knows_what_the_other_group_protocol_does_not_take(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text(
        "kafka: {bootstrap_servers: 'localhost:1', group_protocol: consumer, options: {session.timeout.ms: 10000}}\n"
        "connectors: {c: {destination: mixpanel, project_token: '0123456789abcdef0123456789abcdef'}}\n"
    )
    found = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert found.exit_code == 2, found.output
    assert "session.timeout.ms" in found.output
    file.write_text(file.read_text().replace("mixpanel", "nobody"))  # another problem hides none
    found = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert "session.timeout.ms" in found.output


def test_the_clients_own_lines_go_through_our_log(capfd: pytest.CaptureFixture[str]) -> None:
    name = f"client-{uuid4().hex}"  # clients that other tests left may say something, too
    with capture_logs() as logs:
        consumer = clients.consumer({**NOBODY, "group.id": "x", "client.id": name, "log_level": 4})
        consumer.subscribe(["x"])
        lines: list[Any] = []
        while not lines:
            consumer.consume(1, 0.1)
            lines = [line for line in logs if name in line.get("client", "")]
        consumer.close()
    assert lines[0]["event"] == "kafka client"
    assert lines[0]["log_level"] == "warning"
    assert name not in capfd.readouterr().err


def test_a_kind_of_line_is_said_once_and_then_counted_for_half_a_minute() -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    with capture_logs() as logs:
        for _ in range(100):
            lines.log(40, "%s [%s] %s", "FAIL", "client", "connection refused")
        lines.log(50, "%s [%s] %s", "FATAL", "client", "fenced")
        now[0] = 31.0
        lines.log(40, "%s [%s] %s", "FAIL", "client", "connection refused")
    assert [(line["kind"], line["log_level"], line.get("unsaid")) for line in logs] == [
        ("FAIL", "warning", None),
        ("FATAL", "error", None),
        ("FAIL", "warning", 99),
    ]


def test_no_client_is_made_anywhere_else() -> None:
    package = Path(sys.modules["streams"].__file__ or "").parent
    makers = ("Consumer(\n", "Consumer({", "Producer(self", "Producer({", "Producer(\n", "AdminClient(")
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines(keepends=True)
        if any(line.strip(" \n").endswith(maker.strip("\n")) or maker in line for maker in makers)
        and "class " not in line
        and "Group" not in line
        and "Transactional" not in line
        and "Fake" not in line
    ]
    assert sorted(set(found) - {"testing/brokers.py", "testing/cluster.py"}) == []


@pytest.mark.parametrize("configured", [{}, {"reconnect.backoff.max.ms": 500}])
def test_a_client_that_is_needed_now_and_then_obeys_the_times_that_are_configured(configured: dict[str, int]) -> None:
    """The client refuses a first wait that is longer than the longest."""
    options = {"bootstrap.servers": "", "group.id": "group", "log_level": 0, **configured}
    clients.consumer(clients.unhurried(options)).close()

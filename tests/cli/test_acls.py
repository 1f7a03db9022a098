"""`streams topics acls`: three formats of the same, for all roles or one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

CONFIGURATION = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
connectors:
  growth: {destination: mixpanel, project_token: "0123456789abcdef0123456789abcdef"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "streams.yaml"
    path.write_text(CONFIGURATION)
    return path


def acls(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", "topics", "acls", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_json_and_commands_say_the_same(config: Path) -> None:
    (role,) = json.loads(acls(config, "--role", "sink growth", "--output", "json").stdout)["roles"]
    said = acls(config, "--role", "sink growth", "--principal", "User:it's me", "--format", "commands").stdout
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("kafka-acls.sh ")]
    assert len(commands) == len(role["acls"])
    for command, grant in zip(commands, role["acls"], strict=True):
        assert command[:4] == ["kafka-acls.sh", "--bootstrap-server", "127.0.0.1:1", "--add"]
        assert command[4:6] == ["--allow-principal", "User:it's me"]
        operations = [word for before, word in pairwise(command) if before == "--operation"]
        assert operations == grant["operations"]
        assert command[command.index(f"--{grant['resource']}") + 1] == grant["name"]
        assert ("prefixed" in command) == (grant["pattern"] == "prefixed")


def test_a_table_has_every_role(config: Path) -> None:
    result = acls(config)
    assert result.returncode == 0
    for role in ("router", "sink growth", "ingest", "topics", "operator", "import", "doctor"):
        assert f"\n{role}  " in result.stdout


def test_an_unknown_role_is_told_with_those_that_there_are(config: Path) -> None:
    result = acls(config, "--role", "sink grwth")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Did you mean sink growth?" in result.stderr


@pytest.mark.parametrize("principal", ["growth", ":growth", "User:"])
def test_a_principal_without_its_type_or_name_is_refused(config: Path, principal: str) -> None:
    result = acls(config, "--principal", principal)
    assert (result.returncode, result.stdout) == (2, "")
    assert "TYPE:NAME" in result.stderr

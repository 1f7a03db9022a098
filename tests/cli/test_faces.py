"""How the command line looks: help that is whole, tables that fit, names that a shell completes, views that go on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from streams.cli.main import app
from streams.cli.output import fitted
from streams.testing.brokers import Broker
from tests.cli.test_on_kafka import Installation

STREAMS = Path(sys.executable).parent / "streams"


def nouns(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The program, and every noun that has verbs."""
    if not hasattr(command, "commands"):
        return []
    return [path, *(noun for name, one in command.commands.items() for noun in nouns(one, (*path, name)))]


@pytest.mark.parametrize("noun", nouns(typer.main.get_command(app)), ids=" ".join)
def test_help_tells_each_command_in_a_whole_sentence(noun: Sequence[str]) -> None:
    shown = CliRunner().invoke(app, [*noun, "--help"]).output
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_has_a_short_option_too(option: str) -> None:
    assert CliRunner().invoke(app, [option]).output.startswith("streams ")


def verbs(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that does something."""
    if not hasattr(command, "commands"):
        return [path]
    return [verb for name, one in command.commands.items() for verb in verbs(one, (*path, name))]


@pytest.mark.parametrize("verb", verbs(typer.main.get_command(app)), ids=" ".join)
def test_help_ends_with_examples_that_can_be_typed(
    verb: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports").mkdir()
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, [*verb, "--help"]).output.partition("Examples:")[2]
    examples = [line for line in shown.splitlines() if line.strip()]
    assert examples
    for example in examples:
        program, *words = shlex.split(example.partition(" | ")[0].partition(" > ")[0])
        assert (program, words[: len(verb)]) == ("streams", list(verb))
        command: Any = typer.main.get_command(app)
        for name in verb:
            command = command.commands[name]
        command.make_context(" ".join(verb), words[len(verb) :])


def test_a_purge_offers_no_again() -> None:
    """Letters that were replayed or purged already are not there to be purged."""
    assert "--again" in CliRunner().invoke(app, ["dlq", "replay", "--help"]).output
    assert "--again" not in CliRunner().invoke(app, ["dlq", "purge", "--help"]).output
    given = CliRunner().invoke(app, ["dlq", "purge", "growth", "--cause", "rejected", "--again"])
    assert (given.exit_code, "--again" in given.output) == (2, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("streams connectors show g", ["growth"]),
        ("streams connectors show r", ["router"]),
        ("streams connectors resume ", ["growth", "cdp"]),
        ("streams dlq list ", ["growth", "cdp", "source"]),
        ("streams run sink c", ["cdp"]),
    ],
)
def test_a_shell_completes_names_of_connectors_without_any_secret(
    tmp_path: Path, words: str, expected: list[str]
) -> None:
    config = tmp_path / "streams.yaml"
    config.write_text("connectors: {growth: {project_token: '${NOT_SET}'}, cdp: {}}")
    environment = {
        **os.environ,
        "_STREAMS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "STREAMS_CONFIG": str(config),
    }
    result = subprocess.run([STREAMS], capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert result.stdout.split() == expected


@pytest.mark.parametrize("content", ["", "- a list", "connectors: nothing", ": {", "\x00"])
def test_a_file_that_is_no_configuration_completes_to_nothing(tmp_path: Path, content: str) -> None:
    config = tmp_path / "streams.yaml"
    config.write_text(content)
    environment = {
        **os.environ,
        "_STREAMS_COMPLETE": "complete_bash",
        "COMP_WORDS": "streams connectors resume ",
        "COMP_CWORD": "3",
        "STREAMS_CONFIG": str(config),
    }
    result = subprocess.run([STREAMS], capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert (result.stdout.strip(), result.stderr) == ("", "")


def test_texts_give_way_on_a_narrow_terminal_and_numbers_do_not() -> None:
    assert fitted([30, 9, 60], [False, True, False], 80) == [30, 9, 37]
    assert fitted([60, 9, 60], [False, True, False], 80) == [33, 9, 34]
    assert fitted([5, 9], [False, True], 80) == [5, 9]
    assert fitted([100, 9], [False, True], 10) == [12, 9]


@pytest.mark.kafka
@pytest.mark.parametrize("arguments", [("list",), ("show", "growth"), ("show", "router")], ids=" ".join)
def test_what_is_watched_is_shown_again_until_ctrl_c(kafka: Broker, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    installation = Installation(kafka.bootstrap_servers, tmp_path)
    installation.json("topics", "apply")
    command = [sys.executable, "-m", "streams", "connectors", *arguments, "--watch", "-o", "json"]
    with subprocess.Popen(
        [*command, "--config", str(installation.config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=240)
    assert all(line.startswith('{"v":1') for line in lines)
    assert (process.returncode, said) == (0, "")

"""People on call have no secret of a destination on their machine: what sends nothing needs none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.dlq.desk import SETTINGS, Desk

UNSET = "STREAMS_TEST_IS_NOT_SET"


@pytest.fixture
def bare_desk(desk: Desk) -> Desk:
    """The desk, with a project token in a variable that is not set."""
    text = desk.config.read_text()
    assert SETTINGS["project_token"] in text
    desk.config.write_text(text.replace(SETTINGS["project_token"], f"${{{UNSET}}}"))
    return desk


def test_every_command_about_letters_runs_without_a_secret(bare_desk: Desk, tmp_path: Path) -> None:
    bare_desk.park(3)
    letters = str(tmp_path / "letters")
    for arguments in (
        ("list", "growth"),
        ("top", "growth"),
        ("jobs", "growth"),
        ("replay", "growth", "--cause", "rejected"),
        ("purge", "growth", "--cause", "rejected"),
        ("export", "growth", "--cause", "rejected", "--to", letters),
        ("import", "growth", "--from", letters),
    ):
        bare_desk.json(*arguments)
    said = bare_desk.refused("extend", "growth", "--scope", "default", "--by", "1h", "--reason", "night", code=5)
    assert "is a sink of growth running?" in said


def test_a_letter_is_shown_and_what_would_be_sent_is_said_to_be_unknown(bare_desk: Desk) -> None:
    (letter,) = bare_desk.park(1)
    shown = bare_desk.json("show", "growth", "--event-id", letter.event_id)
    assert shown["payload"]["id"] == letter.event_id
    assert UNSET in shown["sent"]["unknown"]
    assert "would be sent: unknown here" in bare_desk.dlq("show", "growth", "--event-id", letter.event_id).stdout


def test_an_event_is_explained_and_files_are_looked_for_without_a_secret(bare_desk: Desk, tmp_path: Path) -> None:
    (letter,) = bare_desk.park(1)
    explained = bare_desk.streams("explain", letter.event_id, "--since", "1h")
    assert explained.returncode == 0, explained.stderr
    assert f"what growth would skip: a secret cannot be read here: environment variable {UNSET}" in (
        explained.stdout + explained.stderr
    )
    assert bare_desk.streams("ingest", str(tmp_path / "nothing")).returncode == 3

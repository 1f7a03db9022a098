"""What doctor says of the folder of what a sink remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.adapters.memories import room_in
from streams.config import load
from streams.operations.doctor.scratch import FREE_BYTES_MIN, scratch_findings
from streams.ports.memory import Room

CONFIG = """
kafka: {bootstrap_servers: "kafka:9092"}
connectors:
  growth: {destination: mixpanel, project_token: "00000000000000000000000000000000"}
  back:
    destination: braze
    instance: US-01
    rest_key: a-rest-key
    scratch: /somewhere
    receive: {audiences: {kind: mparticle_audiences, keys: [sixteen-characters]}}
"""


@pytest.mark.parametrize(
    ("room", "outcome", "says"),
    [
        (Room("", FREE_BYTES_MIN), "ok", "1.0 GB free"),
        (Room("", FREE_BYTES_MIN - 1), "warning", "only 1.0 GB"),
        (Room("this user may not write to /", 0), "problem", "/somewhere/back cannot be written here: this user"),
    ],
)
def test_each_connector_that_remembers_has_one_finding(tmp_path: Path, room: Room, outcome: str, says: str) -> None:
    config = tmp_path / "streams.yaml"
    config.write_text(CONFIG)
    asked: list[Path] = []

    def look(folder: Path) -> Room:
        asked.append(folder)
        return room

    (finding,) = scratch_findings(load(config), look)
    assert (finding.what, finding.outcome, asked) == ("scratch back", outcome, [Path("/somewhere/back")])
    assert says in finding.detail


def test_the_room_of_a_folder_that_is_not_made_yet_is_that_of_the_one_above(tmp_path: Path) -> None:
    room = room_in(tmp_path / "scratch" / "back")
    assert (room.problem, room.free_bytes > 0, list(tmp_path.iterdir())) == ("", True, [])


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")
    assert str(tmp_path / "scratch") in room_in(tmp_path / "scratch" / "back").problem

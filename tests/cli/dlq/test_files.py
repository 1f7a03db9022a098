"""`streams dlq export` and `import` against a broker: byte for byte, whole or refused, once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from streams.state.records import SettledBlock, key
from tests.chaos.scene import Read, read_to_end
from tests.cli.dlq.desk import Desk, Parked, bits

pytestmark = pytest.mark.kafka

Content = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


def contents(letters: list[Parked] | list[Read]) -> list[Content]:
    return sorted((one.key, one.value, tuple(one.headers)) for one in letters)


def there(desk: Desk, letters: str = "rejected") -> list[Read]:
    return read_to_end(desk.bootstrap_servers, f"{desk.prefix}dead-letter.growth.{letters}")


@pytest.mark.parametrize("name", ["letters.jsonl", "letters.jsonl.gz"])
def test_letters_come_back_byte_for_byte(desk: Desk, tmp_path: Path, name: str) -> None:
    written = desk.park(5) + desk.park(2, "too large", cause="gave-up", partition=1)
    file = tmp_path / name
    exported = desk.json("export", "growth", "--to", str(file))
    assert (exported["letters"], exported["connector"]) == (7, "growth")
    assert file.stat().st_mode & 0o077 == 0, "letters hold personal data"
    content = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
    assert json.loads(content.splitlines()[0])["format"] == "streams-dead-letters"
    imported = desk.json("import", "growth", "--from", str(file))
    assert (imported["letters"], imported["letters_before"]) == (7, 0)
    assert imported["causes"] == {"rejected": 5, "gave-up": 2}
    assert contents(there(desk)) == contents(written + written)
    assert desk.json("list", "growth")["causes"][1]["letters"] == 5


def test_the_same_file_is_imported_once_but_again_under_another_name(desk: Desk, tmp_path: Path) -> None:
    desk.park(3)
    file = tmp_path / "letters.gz"
    desk.json("export", "growth", "--to", str(file))
    renamed = file.rename(tmp_path / "other.gz")
    for options, expected in (
        ((), (3, 0)),
        ((), (0, 3)),
        (("--again", "second"), (3, 0)),
        (("--again", "second"), (0, 3)),
    ):
        imported = desk.json("import", "growth", "--from", str(renamed), *options)
        assert (imported["letters"], imported["letters_before"]) == expected
    assert len(there(desk)) == 9


def test_only_what_is_selected_and_not_settled_is_exported(desk: Desk, tmp_path: Path) -> None:
    desk.park(5)
    desk.park(2, cause="gave-up", partition=1)
    desk.park(3, cause="credentials")
    desk.say({key("settled", "growth", "rejected", 0, 0): SettledBlock(bits=bits([1, 2]))})
    assert desk.json("export", "growth", "--to", str(tmp_path / "a"))["letters"] == 5
    assert desk.json("export", "growth", "--to", str(tmp_path / "b"), "--cause", "gave-up")["letters"] == 2
    assert desk.json("export", "growth", "--to", str(tmp_path / "c"), "--limit", "1")["letters"] == 1
    assert desk.json("export", "growth", "--to", str(tmp_path / "d"), "--scope", "default")["letters"] == 3
    desk.json("import", "growth", "--from", str(tmp_path / "d"))
    assert len(there(desk, "credentials.default")) == 6


def test_letters_of_what_left_the_configuration_can_be_carried_away(desk: Desk, tmp_path: Path) -> None:
    (letter,) = desk.park(1)
    topic = desk.create(f"{desk.prefix}dead-letter.old.rejected")
    desk.write(topic, letter.key, letter.value, letter.headers)
    file = tmp_path / "old.gz"
    assert desk.json("export", "old", "--orphaned", "--to", str(file))["letters"] == 1
    assert "there is no connector old" in desk.refused("import", "old", "--from", str(file), code=2)
    assert "letters of old, not of growth" in desk.refused("import", "growth", "--from", str(file), code=2)
    assert "no orphaned" in desk.refused("export", "growth", "--orphaned", "--to", str(tmp_path / "x"), code=3)


def test_an_edited_or_cut_file_is_refused_with_its_line_and_nothing_is_written(desk: Desk, tmp_path: Path) -> None:
    desk.park(3)
    file = tmp_path / "letters"
    desk.json("export", "growth", "--to", str(file))
    lines = file.read_bytes().splitlines(keepends=True)
    whole_gzip = gzip.compress(b"".join(lines))
    for name, content, words in (
        ("cut", b"".join(lines[:3]), "line 4: the file is not complete"),
        ("half", b"".join(lines)[:-70], "line 5: the file ends within this line"),
        ("edited", b"".join(lines).replace(b'"partition":0', b'"partition":1', 1), "line 5: the file was changed"),
        ("cut.gz", whole_gzip[:-40], "the gzip file is not complete"),
        ("empty", b"", "line 1: the file is not complete"),
        ("other", b'{"a": 1}\n', "line 1: does not begin a file of `streams dlq export`"),
    ):
        bad = tmp_path / name
        bad.write_bytes(content)
        assert words in desk.refused("import", "growth", "--from", str(bad), code=1)
    assert len(there(desk)) == 3
    assert desk.json("list", "growth")["causes"][1]["letters"] == 0


def test_what_is_wrong_is_named_and_no_half_file_is_left(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "letters"
    assert "nothing was written" in desk.refused("export", "growth", "--to", str(file), code=3)
    desk.park(1)
    desk.json("export", "growth", "--to", str(file))
    before = file.read_bytes()
    assert "exists already" in desk.refused("export", "growth", "--to", str(file), code=1)
    assert file.read_bytes() == before
    missing = tmp_path / "no" / "such" / "folder"
    assert "cannot be written" in desk.refused("export", "growth", "--to", str(missing), code=1)
    assert "cannot be read" in desk.refused("import", "growth", "--from", str(missing), code=1)
    assert "label" in desk.refused("import", "growth", "--from", str(file), "--again", "a/b", code=2)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == sorted(["letters", desk.config.name])


def test_letters_without_a_topic_or_a_scope_are_refused(desk: Desk, tmp_path: Path) -> None:
    desk.park(1)
    desk.park(1, cause="credentials")
    rejected, credentials = tmp_path / "rejected", tmp_path / "credentials"
    desk.json("export", "growth", "--to", str(rejected))
    desk.json("export", "growth", "--to", str(credentials), "--scope", "default")
    desk.delete(f"{desk.prefix}dead-letter.growth.rejected")
    assert "there is no topic" in desk.refused("import", "growth", "--from", str(rejected), code=1)
    content = yaml.safe_load(desk.config.read_text())
    content["connectors"]["growth"] = {"destination": "mparticle", "feeds": {"unbound": {"key": "k", "secret": "s"}}}
    desk.config.write_text(yaml.safe_dump(content))
    told = desk.refused("import", "growth", "--from", str(credentials), code=2)
    assert "growth has no letters credentials.default" in told
    assert "credentials.unbound" in told


def test_an_export_to_stdout_is_the_file_that_an_import_takes(desk: Desk, tmp_path: Path) -> None:
    desk.park(3)
    exported = desk.dlq("export", "growth", "--to", "-")
    assert exported.returncode == 0, exported.stderr
    assert "3 letters" in exported.stderr
    file = tmp_path / "from-stdout.jsonl"
    file.write_text(exported.stdout)
    assert desk.json("import", "growth", "--from", str(file))["letters"] == 3

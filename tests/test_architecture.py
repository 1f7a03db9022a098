"""The rooms: who may import whom, and that the page about them names each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT_IMPORTS), "--no-cache", "--config", str(configuration)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=400, check=False, env={"PYTHONPATH": str(folder)}
    )


def rooms() -> list[str]:
    found = [path for path in (ROOT / "streams").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"]
    return sorted(path.name for path in found if not path.name.startswith("__"))


def test_every_room_imports_what_it_may_and_nothing_else() -> None:
    result = lint(ROOT, ROOT / "pyproject.toml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("workers", "import streams.adapters.kafka.consumer"),
        ("workers", "import confluent_kafka"),
        ("events", "import asyncio"),
        ("destinations", "import aiohttp"),
        ("delivery", "import streams.config"),
        ("emulators", "import streams.adapters"),
    ],
)
def test_an_import_that_climbs_is_found(tmp_path: Path, room: str, forbidden: str) -> None:
    package = tmp_path / "streams"
    for source in (ROOT / "streams").rglob("*.py"):
        copy = package / source.relative_to(ROOT / "streams")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text())
    (package / room / "intruder.py").write_text(f"{forbidden}\n")
    result = lint(tmp_path, ROOT / "pyproject.toml")
    assert result.returncode == 1
    assert f"streams.{room}.intruder" in result.stdout


@pytest.mark.parametrize("room", rooms())
def test_the_architecture_page_names_the_room(room: str) -> None:
    named = f"`streams/{room}`" if room.endswith(".py") else f"`streams/{room}/`"
    assert named in (ROOT / "docs" / "architecture.md").read_text()


def test_every_file_that_the_architecture_page_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", page)
    here = [name.removeprefix("streams/") for name in named if not name.startswith("tests/")]
    assert len(here) > 20
    assert [name for name in here if not (ROOT / "streams" / name).exists()] == []
    assert [name for name in named if name.startswith("tests/") and not (ROOT / name).exists()] == []

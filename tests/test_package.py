"""What is installed: a wheel that is whole, a source archive that builds, one version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc|\.dev)\d+)?")
CURRENTS_SCHEMAS = 100
WAY_BACK_SCHEMAS = 6


def run(*command: str, cwd: Path) -> str:
    # Without the variables of this run: the installed package must be found by itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STREAMS_"))}
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def build(kind: str, folder: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder), cwd=ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands' folder of an environment that has the wheel, and sees this one's dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    commands = folder / "venv" / "bin"
    python = str(commands / "python")
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
    # After the wheel's own folder on the path, and as plain entries: the editable install here must not be followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


def test_the_wheel_holds_schemas_types_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    schemas = [name for name in names if name.startswith("streams/avro/") and name.endswith(".avsc")]
    of_the_way_back = [name for name in schemas if name.startswith("streams/avro/wayback/")]
    assert len(of_the_way_back) == WAY_BACK_SCHEMAS
    assert len(schemas) - len(of_the_way_back) == CURRENTS_SCHEMAS
    assert "streams/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"streams"}


def test_the_installed_command_tells_its_version(wheel: Path, installed: Path, tmp_path: Path) -> None:
    answer = run(str(installed / "streams"), "--version", cwd=tmp_path)
    assert wheel.name.split("-")[1] in answer


@pytest.mark.parametrize(
    "command", [(), ("run",), ("topics",), ("connectors",), ("dlq",), ("schemas",), ("ingest",), ("explain",)]
)
def test_the_installed_command_helps(installed: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "Usage: streams" in run(str(installed / "streams"), *command, "--help", cwd=tmp_path)


def test_the_installed_command_checks_a_configuration_and_builds_its_destinations(
    installed: Path, tmp_path: Path
) -> None:
    config = tmp_path / "streams.yaml"
    token = "0123456789abcdef0123456789abcdef"
    config.write_text(
        "kafka: {bootstrap_servers: 'k:9092'}\n"
        "connectors:\n"
        f"  growth: {{destination: mixpanel, project_token: '{token}'}}\n"
        "  cdp: {destination: mparticle, feeds: {unbound: {key: k, secret: s}}}\n"
    )
    answer = run(str(installed / "streams"), "config", "check", "--config", str(config), cwd=tmp_path)
    assert "growth" in answer
    assert "cdp" in answer
    acls = run(str(installed / "streams"), "topics", "acls", "--config", str(config), cwd=tmp_path)
    assert "streams.dead-letter.cdp.credentials.unbound" in acls


def test_the_wheel_brings_every_file_of_the_package(wheel: Path) -> None:
    # Beside byte code there is, for a moment, what another process is about to rename to it.
    inside = [path for path in (ROOT / "streams").rglob("*") if "__pycache__" not in path.parts]
    files = [path for path in inside if path.suffix != ".so" and path.is_file()]
    missing = {str(path.relative_to(ROOT)) for path in files} - set(zipfile.ZipFile(wheel).namelist())
    assert missing == set()


def test_the_installed_package_finds_its_schemas(installed: Path, tmp_path: Path) -> None:
    program = (
        "import streams\n"
        "from streams.events.catalogue import CATALOGUE\n"
        "from streams.events.schemas import shipped\n"
        "book = shipped()\n"
        "print(streams.__file__)\n"
        "print(sum(book.by_event_type(event.name) is not None for event in CATALOGUE.values()))\n"
    )
    where, count = run(str(installed / "python"), "-c", program, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert int(count) == CURRENTS_SCHEMAS


def test_the_source_archive_builds_the_same_wheel(wheel: Path, source_archive: Path, tmp_path: Path) -> None:
    with tarfile.open(source_archive) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built", cwd=unpacked)
    (rebuilt,) = (unpacked / "built").iterdir()
    assert sorted(zipfile.ZipFile(rebuilt).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_the_version_is_written_in_one_place(wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert VERSION.fullmatch(version)
    assert version in (ROOT / "streams" / "__init__.py").read_text()
    assert "\nversion =" not in (ROOT / "pyproject.toml").read_text()


def test_the_changelog_begins_with_this_version_or_what_comes_after_it(wheel: Path) -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [heading for heading in headings if heading != "Unreleased"]
    assert versions[0] == wheel.name.split("-")[1]
    assert "Unreleased" not in headings[1:]

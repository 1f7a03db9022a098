"""The hot modules: what is compiled is in one list, which the tools, the image and the wheels share."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import yaml

from streams.compiled import MODULES

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", MODULES)
def test_each_hot_module_is_plain_python_that_is_there(name: str) -> None:
    assert ROOT.joinpath(*name.split(".")).with_suffix(".py").is_file()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what `streams --version` needs, without compiled files."""
    package = tmp_path / "streams"
    for name in ("__init__.py", "compiled.py"):
        package.mkdir(exist_ok=True)
        (package / name).write_text((ROOT / "streams" / name).read_text())
    return package


def _told(package: Path) -> str:
    code = "from streams.compiled import how_it_runs; print(how_it_runs())"
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(package.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


def test_it_tells_which_form_runs(package: Path) -> None:
    assert _told(package) == "plain Python"
    for number, name in enumerate(MODULES):
        file = package.parent.joinpath(*name.split("."))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name(file.name + EXTENSION_SUFFIXES[0]).touch()
        some = f"compiled in part: {', '.join(MODULES[: number + 1])}"
        assert _told(package) == ("compiled" if number == len(MODULES) - 1 else some)


def test_the_workflow_of_wheels_compiles_and_checks_what_it_built() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())
    steps = workflow["jobs"]["compiled"]["steps"]
    built = next(step["env"] for step in steps if "cibuildwheel" in step.get("uses", ""))
    assert built["CIBW_ENVIRONMENT"] == "STREAMS_COMPILE=1"
    assert "(compiled)" in built["CIBW_TEST_COMMAND"]
    pythons = {f"cp{minor}" for minor in (311, 312, 313, 314)}
    assert {name.partition("-")[0] for name in built["CIBW_BUILD"].split()} == pythons


def test_the_tests_run_on_both_forms() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["check"]["strategy"]["matrix"]["form"] == ["plain", "compiled"]

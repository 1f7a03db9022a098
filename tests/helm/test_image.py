"""The Dockerfile's text: what an engine would be told. No engine runs here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helm.chart import CHART, ROOT, render
from tests.helm.test_chart import values

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its words, comments away and lines joined."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in joined.splitlines() if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def last(name: str) -> str:
    """The words of an instruction of the stage that runs, where it stands once."""
    (words,) = (words for instruction, words in stages()[-1] if instruction == name)
    return words


def test_it_is_two_stages_with_one_python() -> None:
    bases = [words.split(" ")[0] for name, words in instructions() if name == "FROM"]
    assert len(bases) == 2
    versions = [re.fullmatch(r"python:(3\.\d+)(?:-slim)?-bookworm", base) for base in bases]
    assert all(versions)
    assert len({version[1] for version in versions if version}) == 1, "the environment is moved from one to the other"
    assert bases[1].endswith("-slim-bookworm")


def test_it_runs_as_a_number_that_is_not_root_and_the_chart_says_the_same() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) > 0
    context = render(values()).one("StatefulSet")["spec"]["template"]["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))


def test_no_shell_stands_between_the_engine_and_the_program() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["streams"]
    assert json.loads(last("CMD")) == ["--help"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert not [words for name, words in stages()[-1] if name in ("RUN", "ADD", "SHELL", "HEALTHCHECK")]


def test_everything_installed_is_locked_by_hash() -> None:
    for name, words in instructions():
        if name == "RUN":
            for command in re.findall(r"pip install ([^&]+)", words):
                assert (
                    "--require-hashes --only-binary :all: -r requirements/" in command
                    or "--no-deps --no-index" in command
                )


def test_the_port_is_the_charts() -> None:
    port = re.search(r"STREAMS_HTTP_PORT=(\d+)", last("ENV"))
    assert port
    assert last("EXPOSE") == port[1]
    assert f"httpPort: {port[1]}\n" in (CHART / "values.yaml").read_text(encoding="utf-8")


def test_it_says_what_it_is() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", last("LABEL")))
    assert labels == {"title", "description", "licenses", "version", "revision"}
    assert not re.search(r"(?i)password|secret|token", TEXT)


def sources() -> set[str]:
    """What is copied from this folder."""
    return {path.rstrip("/") for name, words in stages()[0] if name == "COPY" for path in words.split()[:-1]}


def test_the_engine_gets_what_is_copied_and_nothing_else() -> None:
    assert IGNORED.splitlines()[1] == "*"
    sent = {line[1:].rstrip("/") for line in IGNORED.splitlines() if line.startswith("!")}
    assert sent == sources()
    assert all((ROOT / path).exists() for path in sent)


@pytest.mark.parametrize("name", ["hatchling", "mypy"])
def test_what_builds_the_image_is_what_builds_here(name: str) -> None:
    def version(file: str) -> str:
        found = re.search(rf"^{name}==(\S+)", (Path(ROOT) / "requirements" / file).read_text(), re.MULTILINE)
        assert found
        return found[1]

    assert version("image.txt") == version("dev.txt")

"""The pages about the house say what is so: dependencies, make targets, links."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from streams.cli.main import app
from streams.config import loads
from streams.destinations import OWN, REGISTRY
from streams.events.catalogue import CATALOGUE
from streams.operations.audit import GROUPS
from streams.state.audit import KINDS
from streams.testing.kafka import KAFKA_VERSION
from tests.helm.kubernetes import VERSIONS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [page for place in ("", "docs/**/", "helm/", "requirements/") for page in ROOT.glob(f"{place}*.md")]


def requirements() -> list[str]:
    """Every name that pyproject.toml asks for."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    lines += [line for extra in extras for line in extra]
    return sorted({re.split(r"[\[<>=]", line)[0] for line in lines})


@pytest.mark.parametrize("name", requirements())
def test_each_dependency_has_its_reason_and_its_lock(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "dependencies.md").read_text()
    assert re.search(rf"^{name}==", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "image.txt"])
def test_the_locks_name_no_host_and_hash_every_version(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    locked = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in locked)


def test_what_runs_is_locked_alike_for_running_and_for_working() -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert versions("runtime.txt") <= versions("dev.txt")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+)", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", ["console.md", "privacy.md", "way-back.md"])
def test_every_promise_of_a_page_has_its_proof(page: str) -> None:
    """A test, or a row of the benchmark."""
    text = (ROOT / "docs" / page).read_text()
    table = re.search(r"^\| promise \| proved in \|\n\|[ -]+\|[ -]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    assert [row for row in table[1].splitlines() if "`tests/" not in row and "`make bench`" not in row] == []


def test_every_make_target_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"(?:^|`|apache )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert named <= targets
    assert {"demo", "test", "test-cold", "bench", "lint", "format", "build", "clean", "help"} <= targets


RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.name)
def test_every_runbook_is_in_the_list_of_them(page: Path) -> None:
    assert page.name == "README.md" or f"({page.name})" in (page.parent / "README.md").read_text()


def tables(text: str) -> list[list[str]]:
    """Runs of lines that begin as rows of a table, outside of code; a blank line ends one."""
    found: list[list[str]] = [[]]
    is_code = False
    for line in text.splitlines():
        is_code ^= line.lstrip().startswith("```")
        if line.startswith("|") and not is_code:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def cells(row: str) -> int:
    """A bar inside of code divides cells, too; one behind a backslash does not."""
    return len(re.findall(r"(?<!\\)\|", row.strip())) - 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_is_whole(page: Path) -> None:
    text = page.read_text()
    for table in tables(text):
        assert re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", table[1 if len(table) > 1 else 0].strip()), table[:2]
        assert {cells(row) for row in table} == {cells(table[1])}, [
            row for row in table if cells(row) != cells(table[1])
        ]
    assert not re.search(r"^[^|\n][^\n]*\n\|.*\|\n\|[ :|-]+\|$", text, re.MULTILINE), (
        "a table needs a blank line before it"
    )


def commands(page: Path) -> list[str]:
    """Every command of ours that a page tells to type."""
    return re.findall(r"(?:^|`|\$ )(streams [a-z][^`\n|]*)", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.name)
def test_every_command_of_a_runbook_exists_with_its_options(page: Path) -> None:
    for line in commands(page):
        command: Any = typer.main.get_command(app)
        words = shlex.split(line)[1:]
        while words and hasattr(command, "commands"):
            name = words.pop(0)
            assert name in command.commands, line
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that does something, by its words."""
    if not hasattr(command, "commands"):
        return [path]
    return [leaf for name, one in command.commands.items() for leaf in leaves(one, (*path, name))]


@pytest.mark.parametrize("path", leaves(typer.main.get_command(app)), ids=" ".join)
def test_every_command_is_told_on_the_page_of_commands(path: tuple[str, ...]) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    group, name = " ".join(path[:-1]), path[-1]
    row = next((line for line in page.splitlines() if line.startswith(f"| `streams {path[0]}") and name in line), "")
    section = page.partition(f"## `streams {group}`")[2].partition("\n## ")[0] if group else ""
    assert re.search(rf"`[^`]*\b{name}\b", row) or re.search(rf"`[^`]*\b{name}\b", section)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_destination_has_its_section(name: str) -> None:
    page = (ROOT / "docs" / "destinations.md").read_text().lower()
    assert re.search(rf"^## .*{name}", page, re.MULTILINE)


def test_pages_that_count_event_types_count_them_as_the_code_does() -> None:
    mixpanel, mparticle = (len(OWN[name].event_types) for name in ("mixpanel", "mparticle"))
    readme, comparison = ((ROOT / page).read_text() for page in ("README.md", "docs/comparison.md"))
    of_all = f"Of {len(CATALOGUE)} event types of Currents"
    assert f"{of_all}, {mixpanel} are mapped for Mixpanel and {mparticle} for mParticle" in readme
    assert f"{mixpanel} and {mparticle} of {len(CATALOGUE)} event types" in comparison


def yaml_examples() -> list[tuple[str, str]]:
    """Configurations that pages show, with the page's name."""
    found = []
    shown = re.compile(r"^connectors:\n  \w", re.MULTILINE)
    for page in PAGES:
        if page.is_relative_to(ROOT / "helm"):
            continue  # values of the chart, which the chart's tests render
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(str(page.relative_to(ROOT)), block) for block in blocks if shown.search(block)]
    return found


@pytest.mark.parametrize(("page", "block"), yaml_examples(), ids=[name for name, _ in yaml_examples()])
def test_every_configuration_that_a_page_shows_can_be_used(page: str, block: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    text = re.sub(r"file:/[^\s,}\"]+", f"file:{secret}", block)
    if "bootstrap_servers" not in text:
        text = "kafka: {bootstrap_servers: kafka:9092}\n" + text
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), secret.read_text())
    assert loads(text, variables).connectors


def test_the_command_line_page_lists_every_kind_of_the_audit_with_its_group() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = page.partition("| WHAT | tells of | group |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [[re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert sorted(kind for kinds, _, _ in rows for kind in kinds) == sorted(KINDS)
    assert {group: set(kinds) for kinds, _, groups in rows for group in groups} == {
        group: set(kinds) for group, kinds in GROUPS.items()
    }


def promised_tests() -> list[str]:
    """Tests that pages name as the proof of something."""
    return sorted({name for page in PAGES for name in re.findall(r"`(tests/[\w/]+\.py::\w+)`", page.read_text())})


@pytest.mark.parametrize("name", promised_tests())
def test_every_test_that_a_page_names_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE)


def row_of(table: str, what: str) -> str:
    """The rest of the row whose first cell begins so."""
    rows = re.findall(rf"^\| {re.escape(what)}(.*)$", table, re.MULTILINE)
    assert rows, f"no row for {what}"
    return str(rows[0])


def test_the_page_of_compatibility_names_what_the_tests_run_with() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    locked = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE))
    kafka = next(row for row in page.splitlines() if "| whole suite | all pass |" in row)
    assert kafka.startswith(f"| Apache Kafka {KAFKA_VERSION},")
    client = re.search(r"\| (\d+\.\d+) \|", row_of(page, "confluent-kafka"))
    assert client is not None
    assert locked["confluent-kafka"].startswith(f"{client[1]}.")
    node = json.loads((ROOT / "tests" / "emulators" / "node_library" / "package.json").read_text())
    assert f"| {node['dependencies']['mixpanel']}, on Node.js" in row_of(page, "Mixpanel's library for Node.js")
    assert re.findall(r"\d\.\d+", row_of(page, "Kubernetes API")) == list(VERSIONS)
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["check"]["strategy"]
    assert f"asks for {' and '.join(matrix['matrix']['python'])}, " in row_of(page, "Python |")


def test_pages_say_of_promtool_what_make_test_and_the_workflow_do() -> None:
    """`make test` fetches it; the workflow installs it; without it tests are skipped."""
    runs = re.findall(r"^\t.*pytest -n .*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line for line in runs if "PROMTOOL=$$(sh tools/promtool.sh)" not in line] == []
    assert "apt-get download prometheus" in (ROOT / "tools" / "promtool.sh").read_text()
    assert "prometheus" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "`promtool` where it is missing" in (ROOT / "README.md").read_text()
    assert "package `prometheus` into the cache" in " ".join((ROOT / "docs" / "testing.md").read_text().split())
    assert "`.ci/run` installs it" in (ROOT / "docs" / "compatibility.md").read_text()
    assert "tools/chromium.sh" in (ROOT / ".ci" / "run").read_text()
    assert "chromium.sh" not in (ROOT / "Makefile").read_text()

"""The page of environment variables is complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "environment.md").read_text()
OF_OTHERS = {"KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS", "KAFKA_VERSION"}
"""Set by us for a broker's container, and a name of ours that is no variable."""


def named_in_the_program() -> set[str]:
    """Names of variables among the program's texts, and in what runs it."""
    names: set[str] = set()
    for module in (ROOT / "streams").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(re.findall(r"^(?:OTEL|KAFKA|REQUIRE)_[A-Z_]+$", node.value))
                names |= set(re.findall(r"\bSTREAMS_[A-Z]+(?:_[A-Z]+)*\b", node.value))
    for file in [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *(ROOT / "helm" / "templates").iterdir()]:
        names |= set(re.findall(r"\bSTREAMS_[A-Z]+(?:_[A-Z]+)*\b", file.read_text())) if file.is_file() else set()
    return names - OF_OTHERS


@pytest.mark.parametrize("name", sorted(named_in_the_program()))
def test_each_variable_that_the_program_reads_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_each_variable_of_ours_on_the_page_is_read() -> None:
    assert set(re.findall(r"`(STREAMS_[A-Z_]+)`", PAGE)) <= named_in_the_program()

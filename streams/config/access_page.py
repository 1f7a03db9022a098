"""The tables of least access in the page about security, made for an example's configuration.

`python -m streams.config.access_page docs/security.md docs/examples/streams.yaml` renews the page between its marks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from streams.config.access import Grant, Role, roles
from streams.config.loader import Settings, loads

BEGIN = "<!-- access: begin (made by python -m streams.config.access_page) -->"
END = "<!-- access: end -->"


def example(path: Path) -> Settings:
    """Settings of a published example; its variables are set to something."""
    text = path.read_text(encoding="utf-8")
    return loads(text, dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "0" * 32))


def renewed(page: str, settings: Settings) -> str:
    """The page with its tables as they should be. Raises `ValueError` if the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks of the tables")
    tables = "\n\n".join(_table(role) for role in roles(settings))
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _table(role: Role) -> str:
    rows = [
        f"| {grant.resource} | {_name(grant)} | {', '.join(grant.operations)} | {grant.why} |" for grant in role.grants
    ]
    head = ["| resource | name | operations | for |", "|---|---|---|---|"]
    return "\n".join([f"#### {role.name}: `{role.does}`", "", *head, *rows])


def _name(grant: Grant) -> str:
    return f"begins with `{grant.name}`" if grant.is_prefix else f"`{grant.name}`"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(renewed(place.read_text(encoding="utf-8"), example(Path(sys.argv[2]))), encoding="utf-8")

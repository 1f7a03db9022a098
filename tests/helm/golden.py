"""Golden files: what the chart renders for each case, so that a change of the chart shows what it changes.

python -m tests.helm.golden     writes tests/helm/golden/*.yaml anew
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.helm.chart import CASES, Rendered, case, case_name, render

FOLDER = Path(__file__).parent / "golden"


def text(rendered: Rendered) -> str:
    """All templates with their names, without empty lines at their edges; versions of a release are no difference."""
    parts = []
    for name, template in rendered.templates.items():
        if body := template.strip("\n- \t"):
            parts.append(f"# --- {name}\n{body}\n")
    whole = "\n".join(parts)
    whole = re.sub(r"(helm\.sh/chart: streams-|app\.kubernetes\.io/version: \")[0-9][^\s\"]*", r"\1VERSION", whole)
    whole = re.sub(r"(image: \S*streams:)[0-9]\S*", r"\1VERSION", whole)
    return re.sub(r"^streams [0-9]\S*:", "streams VERSION:", whole, flags=re.MULTILINE)


def path(name: str) -> Path:
    """The golden file of a case."""
    return FOLDER / f"{name}.yaml"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    names = [case_name(values) for values in CASES]
    for name in names:
        path(name).write_text(text(render(case(name))), encoding="utf-8")
    for stale in {found.stem for found in FOLDER.glob("*.yaml")} - set(names):
        path(stale).unlink()


if __name__ == "__main__":
    main()

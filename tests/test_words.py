"""Plain words: what this project says is read once and understood, in a second language, at three in the morning.

`WORDS` are rare, old-fashioned, or phrases that are hard to read. Next to each is what to write instead. Released
parts of the changelog, golden files, and names in backticks (a field that was renamed) are not looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    r"mend|mends|mended|mending": "fix",
    r"heretofore|hitherto": "until now",
    r"thereof|therein|herein": "of it, in it",
    r"whence|whither": "from where, to where",
    r"notwithstanding|albeit": "although",
    r"lest": "so that … not",
    r"whoever|whosever|whomever": "the person who, the process that",
    r"anew": "again, from the beginning",
    r"shall": "must, will",
    r"dawdles?|dawdled|dawdling|dribbles?|dribbled|dribbling": "be slow",
    r"ever new": "different each time",
    r"all the same": "still, although",
    r"as things stand": "now",
    r"in vain": "without a result",
    r"affairs?": "matter, work, task",
    r"no connector's name|is no (?:key|section|destination|YAML|fingerprint|role)": "is not a …",
}
TEXTS = (".md", ".py", ".yaml", ".yml", ".tpl", ".toml", ".txt", ".sh", "Makefile", "Dockerfile")
FOLDERS = ("streams", "docs", "helm", "tools", "compose", "avro", "requirements")


def texts() -> list[Path]:
    """The texts of the project: those in its folders, and the files at the top."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in (*inside, *ROOT.glob("*")) if path.is_file() and path.name.endswith(TEXTS))


def unreleased(changelog: str) -> str:
    """The changelog without the parts of released versions, which stay as they were published."""
    return re.split(r"^## \d", changelog, maxsplit=1, flags=re.MULTILINE)[0]


def test_no_text_uses_a_word_that_has_a_plainer_one() -> None:
    found = []
    for path in texts():
        text = path.read_text()
        if path.name == "CHANGELOG.md":
            text = unreleased(text)
        for words, instead in WORDS.items():
            for match in re.finditer(rf"(?<!`)\b(?:{words})\b", text, re.IGNORECASE):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line}: {match.group()!r}; use: {instead}")
    assert not found, "\n".join(found)

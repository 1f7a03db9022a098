"""Makes `docs/pictures/<story>.svg`: the real output of `streams demo --story <story>` as a terminal picture.

    python tools/story_picture.py credentials              plays the story (about 40 s) and writes the picture
    python tools/story_picture.py credentials --text FILE  takes output that was recorded before

Lines appear in the order and pace of the seconds that the story printed, twice as fast. Where animation is not wanted
(reduced motion, paper) all lines stand there at once.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
STORIES = ("credentials", "loop")
STORY_SECONDS_MAX = 180.0

SPEED = 2.0
"""The picture plays this much faster than the story did."""
LINE_PIXELS = 20
CHARACTER_PIXELS = 8.6
"""Of the widest usual monospace font at 14 pixels."""
TOP_PIXELS = 64
LEFT_PIXELS = 24

TIMED = re.compile(r"^\s*(\d+) s  (.*)$")
ACCENTS = (
    (re.compile(r"the key dies|^INVALID|refuses the old one$"), "bad"),
    (re.compile(r"^VALID|the key is fixed|the accounts add up|: 0 writes in Braze$"), "good"),
    (re.compile(r"^purged what|purged, with receipts"), "warn"),
)
"""Which lines carry the story; the first pattern that fits decides."""

STYLE = """
    .window { fill: #0d1117; stroke: #30363d }
    text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #c9d1d9; white-space: pre }
    .command { fill: #ffffff; font-weight: 600 }
    .bad { fill: #ff7b72; font-weight: 600 }
    .good { fill: #7ee787; font-weight: 600 }
    .warn { fill: #ffa657; font-weight: 600 }
    .line { animation: appear 0.2s both }
    @keyframes appear { from { opacity: 0 } to { opacity: 1 } }
    @media (prefers-reduced-motion: reduce), print { .line { animation: none } }
"""  # noqa: E501


def accent(text: str) -> str:
    """The class of a line: `bad`, `good`, `warn`, or nothing."""
    words = TIMED.sub(r"\2", text).strip()
    return next((name for pattern, name in ACCENTS if pattern.search(words)), "")


def command(story: str) -> str:
    """What a reader types."""
    return f"streams demo --story {story}"


def picture(output: str, story: str) -> str:
    """The SVG of what the story printed. Lines without a second of their own appear with the ones before them."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    height = TOP_PIXELS + LINE_PIXELS * (len(lines) + 1)
    width = round(LEFT_PIXELS * 2 + CHARACTER_PIXELS * max(len(line) for line in [*lines, command(story)]))
    begin = next((int(found[1]) for line in lines if (found := TIMED.match(line))), 0)
    rows, second = [], begin
    for number, line in enumerate(lines):
        if found := TIMED.match(line):
            second = int(found[1])
        delay = (second - begin) / SPEED + 0.5
        name = f"line {accent(line)}".strip()
        y = TOP_PIXELS + LINE_PIXELS * (number + 1)
        rows.append(
            f'  <text class="{name}" style="animation-delay: {delay:.1f}s" x="{LEFT_PIXELS}" y="{y}" '
            f'xml:space="preserve">{escape(line)}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="Terminal: {escape(command(story))}">',
            f"  <style>{STYLE}  </style>",
            f'  <rect class="window" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *(
                f'  <circle cx="{24 + 20 * number}" cy="20" r="6" fill="{colour}"/>'
                for number, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
            ),
            f'  <text class="command" x="{LEFT_PIXELS}" y="52">$ {escape(command(story))}</text>',
            *rows,
            "</svg>",
            "",
        ]
    )


def played(story: str) -> str:
    """What a story prints, on both of its streams, in the order of printing. Ends the program where it fails."""
    run = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", *command(story).split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=STORY_SECONDS_MAX,
        check=False,
        text=True,
        cwd=ROOT,
    )
    if run.returncode:
        sys.exit(f"the story failed with exit code {run.returncode}:\n{run.stdout}")
    return run.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("story", choices=STORIES)
    parser.add_argument("--text", type=Path, help="output that was recorded before")
    parser.add_argument("--to", type=Path, help="where the picture goes; default: docs/pictures")
    given = parser.parse_args()
    output = given.text.read_text(encoding="utf-8") if given.text else played(given.story)
    to: Path = given.to or PICTURES / f"{given.story}.svg"
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(picture(output, given.story), encoding="utf-8")
    print(f"{to}: {len(output.splitlines())} lines")


if __name__ == "__main__":
    main()

"""A plot as SVG, by hand: lines with points over an axis of steps. No library: it is two loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#1f6feb", "#c2410c", "#15803d")
Lines = Mapping[str, Sequence[float]]
"""A line's name -> its value at each step."""


def svg(title: str, across: str, up: str, steps: Sequence[str], lines: Lines) -> str:
    """The plot. Steps are evenly apart, whatever they are: read their labels. The upward axis begins at 0."""
    top = _round_up(max(max(values) for values in lines.values()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, weight="bold"),
        _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        _text(8, TOP - 4, up),
    ]
    for quarter in range(5):
        height = _height(top * quarter / 4, top)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        parts.append(_text(LEFT - 8, height + 4, f"{top * quarter / 4:g}", anchor="end"))
    for index, step in enumerate(steps):
        parts.append(_text(_place(index, steps), HEIGHT - BOTTOM + 18, step, anchor="middle"))
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        points = [(_place(index, steps), _height(value, top)) for index, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), value in zip(points, values, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(_text(x, y - 8, f"{value:.3g}", anchor="middle", colour=colour))
        parts.append(_text(WIDTH - RIGHT + 12, points[-1][1] + 4, name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _place(index: int, steps: Sequence[str]) -> float:
    inside = WIDTH - LEFT - RIGHT - 40
    return LEFT + 20 + (inside * index / (len(steps) - 1) if len(steps) > 1 else inside / 2)


def _height(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP - 12) * value / top


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5 or 10 times a power of ten."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * factor for factor in (1, 2, 4, 5, 10) if power * factor >= value) if value > 0 else 1.0


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#1f2328"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-weight="{weight}" fill="{colour}">{escape(text)}</text>'

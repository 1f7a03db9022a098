"""Pictures as SVG, drawn on the server. Colours come from the stylesheet; each picture says in words what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup, escape

from streams.operations.timeline import Span
from streams.state.moments import told
from streams.web.console.history import Series

BAR_WIDTH, BAR_HEIGHT = 240, 14
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
CHART_WIDTH, CHART_HEIGHT = 640, 150
MARGIN_TOP, MARGIN_BOTTOM = 14, 20
SHARE_MIN = 0.012
"""A part that is there is seen, however small it is: two or three pixels."""
GAP_SECONDS = 45.0
"""If samples are further apart, the line is broken: nothing is known of the time between them."""
DAY_MS = 86_400_000
TIMELINE_HEIGHT = 22

PARTS = ("delivered", "skipped", "waiting", "parked", "purged", "expired", "lost")
"""Of an account, in the order in which they are drawn."""


@dataclass(frozen=True, slots=True)
class Part:
    """One term of the account."""

    name: str
    count: int


def parts_of(account: Mapping[str, object]) -> list[Part]:
    """The terms that a connector's records ended in, from the account as JSON."""
    return [Part(name, _sum(account[name])) for name in PARTS]


def _sum(value: object) -> int:
    return sum(value.values()) if isinstance(value, Mapping) else int(str(value))


def account_bar(account: Mapping[str, object], width: int = BAR_WIDTH) -> Markup:
    """What became of the records, as one stacked bar."""
    parts = [part for part in parts_of(account) if part.count]
    total = sum(part.count for part in parts)
    label = ", ".join(f"{part.count:,} {part.name}" for part in parts) or "nothing came yet"
    shares = [max(SHARE_MIN, part.count / total) for part in parts]
    scale = width / sum(shares) if shares else 0.0
    drawn, x = [], 0.0
    for part, share in zip(parts, shares, strict=True):
        size = share * scale
        title = f"<title>{part.count:,} {part.name}</title>"
        drawn.append(
            f'<rect class="part {part.name}" x="{x:.1f}" y="0" width="{size:.1f}" height="{BAR_HEIGHT}">{title}</rect>'
        )
        x += size
    if not drawn:
        drawn.append(f'<rect class="part none" x="0" y="0" width="{width}" height="{BAR_HEIGHT}"/>')
    return _svg("bar", width, BAR_HEIGHT, label, "".join(drawn))


def spark(series: Series, what: str, since_ms: int, now_ms: int) -> Markup:
    """A small line from `since_ms` to now, from 0 to its largest value, which stands below it."""
    if len(series.values) < 2:
        return Markup('<span class="none">no data yet</span>')
    largest = _short(max(series.values))
    label = f"{what}: now {_short(series.values[-1])}, at most {largest}"
    lines = _lines(series, since_ms, now_ms, SPARK_WIDTH, 2, SPARK_HEIGHT - 2, max(series.values) or 1.0)
    drawn = _svg("spark", SPARK_WIDTH, SPARK_HEIGHT, label, lines)
    return drawn + Markup('<span class="small">at most {}</span>').format(largest)


def chart(
    series: Series, what: str, since_ms: int, now_ms: int, unit: str = "", gap_seconds: float = GAP_SECONDS
) -> Markup:
    """A line over time with its scale: from 0 to the largest value, from `since_ms` to now."""
    if len(series.values) < 2:
        return Markup('<p class="none">Not known yet: samples are taken every 10 s from the start of the console.</p>')
    top = max(series.values) or 1.0
    bottom = CHART_HEIGHT - MARGIN_BOTTOM
    begin_ms = max(since_ms, series.times_ms[0])
    lines = _lines(series, begin_ms, now_ms, CHART_WIDTH, MARGIN_TOP, bottom, top, gap_seconds)
    marks = [f'<line class="axis" x1="0" x2="{CHART_WIDTH}" y1="{bottom}" y2="{bottom}"/>']
    marks.append(f'<line class="grid" x1="0" x2="{CHART_WIDTH}" y1="{MARGIN_TOP}" y2="{MARGIN_TOP}"/>')
    marks.append(f'<text x="0" y="{MARGIN_TOP - 3}">{escape(_short(top))} {escape(unit)}</text>')
    marks.append(f'<text x="0" y="{CHART_HEIGHT - 5}">{_clock(begin_ms, now_ms)} UTC</text>')
    marks.append(f'<text x="{CHART_WIDTH}" y="{CHART_HEIGHT - 5}" text-anchor="end">{_clock(now_ms)} UTC</text>')
    since = f"{what} since {_clock(begin_ms, now_ms)} UTC"
    label = f"{since}: now {_short(series.values[-1])} {unit}, at most {_short(top)} {unit}"
    return _svg("chart", CHART_WIDTH, CHART_HEIGHT, label, "".join(marks) + lines)


def timeline(spans: Sequence[Span], since_ms: int, now_ms: int) -> Markup:
    """States over time, side by side."""
    length = max(1, now_ms - since_ms)
    drawn, said = [], []
    for span in spans:
        if span.end_ms <= since_ms:
            continue
        begin = max(span.begin_ms, since_ms)
        x, width = CHART_WIDTH * (begin - since_ms) / length, CHART_WIDTH * max(0, span.end_ms - begin) / length
        words = f"{span.state} from {_clock(begin)} for {told(max(0, span.end_ms - begin) / 1000)}"
        said.append(words)
        drawn.append(
            f'<rect class="state {span.state.lower()}" x="{x:.1f}" y="0" width="{max(1.5, width):.1f}" '
            f'height="{TIMELINE_HEIGHT}"><title>{escape(words)}</title></rect>'
        )
    return _svg("timeline", CHART_WIDTH, TIMELINE_HEIGHT, "; ".join(said[-6:]) or "nothing known", "".join(drawn))


def _lines(
    series: Series,
    begin_ms: int,
    end_ms: int,
    width: float,
    top_y: float,
    bottom_y: float,
    top: float,
    gap_seconds: float = GAP_SECONDS,
) -> str:
    """Polylines, broken where samples are missing. At most one point for each pixel: the largest value counts."""
    length = max(1, end_ms - begin_ms)
    lines: list[list[tuple[float, float]]] = []
    previous_ms = None
    for at_ms, value in zip(series.times_ms, series.values, strict=True):
        x = width * (at_ms - begin_ms) / length
        y = bottom_y - (bottom_y - top_y) * value / top
        if previous_ms is None or at_ms - previous_ms > gap_seconds * 1000:
            lines.append([])
        if lines[-1] and int(lines[-1][-1][0]) == int(x):
            lines[-1][-1] = (x, min(y, lines[-1][-1][1]))
        else:
            lines[-1].append((x, y))
        previous_ms = at_ms
    return "".join(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>' for line in lines if len(line) > 1
    )


def _svg(kind: str, width: int, height: int, label: str, content: str) -> Markup:
    # Only numbers and texts that were escaped get into it.
    return Markup(  # noqa: S704
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'preserveAspectRatio="none">{content}</svg>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def _clock(at_ms: int, now_ms: int = 0) -> str:
    """With the day where it is long ago."""
    shape = "%m-%d %H:%M" if now_ms - at_ms > DAY_MS else "%H:%M"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime(shape)

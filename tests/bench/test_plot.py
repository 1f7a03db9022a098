"""The plots of the benchmark are SVG that a browser can read."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.bench.plot import svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(values: list[float]) -> tuple[list[float], list[str]]:
    """Heights of the points, from the top, and all texts."""
    steps = [str(number) for number in range(len(values))]
    root = ElementTree.fromstring(svg("A & B", "steps", "µs < ms", steps, {"CPU": values}))
    heights = [float(circle.attrib["cy"]) for circle in root.iter(f"{SVG}circle")]
    return heights, [text.text or "" for text in root.iter(f"{SVG}text")]


def test_a_larger_value_stands_higher_and_equal_ones_equally_high() -> None:
    heights, texts = drawn([1.0, 3.0, 3.0, 0.0])
    assert heights[1] == heights[2] < heights[0] < heights[3]
    assert {"A & B", "steps", "µs < ms", "CPU"} <= set(texts)


@pytest.mark.parametrize("value", [0.0, 0.003, 1.0, 9.99, 10.0, 186.5])
def test_one_point_of_any_size_stays_within_the_plot(value: float) -> None:
    [height], _ = drawn([value])
    assert 40 < height <= 252

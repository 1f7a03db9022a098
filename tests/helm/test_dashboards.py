"""The dashboards: Grafana can load them, and every query names what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.telemetry.metrics import METRICS
from tests.helm.chart import CHART
from tests.helm.promql import unknown

FILES = sorted((CHART / "dashboards").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
INTERVALS = {"$__rate_interval": "5m"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and query, with Grafana's variables as Grafana would fill them in."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"])
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], filled(annotation["expr"])


def filled(query: str) -> str:
    for name, value in INTERVALS.items():
        query = query.replace(name, value)
    return query.replace("$namespace", ".*").replace("$connector", ".*")


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_can_be_read_and_names_only_what_there_is(name: str) -> None:
    found = {title: unknown(query) for title, query in queries(BOARDS[name])}
    assert len(found) > 10
    assert {title: names for title, names in found.items() if names} == {}
    assert not [query for _, query in queries(BOARDS[name]) if "$" in query]


@pytest.mark.parametrize("name", BOARDS)
def test_its_variables_come_from_metrics_that_there_are(name: str) -> None:
    variables = {variable["name"]: variable for variable in BOARDS[name]["templating"]["list"]}
    assert variables.keys() == {"datasource", "namespace", "connector"}
    for variable in variables.values():
        if variable["type"] == "query":
            matched = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert matched
            assert unknown(filled(matched[1])) == set()


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_has_a_unit_a_description_and_the_data_source_that_was_chosen(name: str) -> None:
    for panel in panels(BOARDS[name]):
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("name", BOARDS)
def test_no_two_panels_have_one_number_or_lie_over_each_other(name: str) -> None:
    numbers = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(own), panel["title"]
        taken |= own


def test_links_between_dashboards_lead_to_one() -> None:
    identities = {board["uid"] for board in BOARDS.values()}
    assert len(identities) == len(BOARDS)
    for board in BOARDS.values():
        for link in board["links"]:
            assert Path(link["url"]).name in identities


def test_together_they_show_every_metric_there_is() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    assert [name for name in METRICS if name not in text] == []

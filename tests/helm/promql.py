"""Which metrics there are, and which of them a query names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser

from streams.adapters.telemetry.metrics import METRICS

FOREIGN = {
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "process_resident_memory_bytes": set[str](),
}
"""Metrics of others: the kubelet's, and those of any Python process with prometheus_client."""
OF_EVERY_SERIES = {"namespace", "pod", "instance", "job"}
"""Labels that Prometheus puts on what it scrapes."""


def series() -> dict[str, set[str]]:
    """Every name that a query may use, with its labels."""
    found = {name: set(labels) for name, labels in FOREIGN.items()}
    for metric in METRICS.values():
        if metric.kind == "histogram":
            found[f"{metric.name}_bucket"] = {*metric.labels, "le"}
            found[f"{metric.name}_sum"] = found[f"{metric.name}_count"] = set(metric.labels)
        else:
            found[metric.name] = set(metric.labels)
    return found


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """Name and labels of every selector of a query. Raises `ValueError` where it is no PromQL."""
    yield from _selectors(promql_parser.parse(query))


def _selectors(node: object) -> Iterator[tuple[str, set[str]]]:
    match node:
        case promql_parser.VectorSelector():
            yield node.name or "", {matcher.name for matcher in node.matchers.matchers}
        case promql_parser.MatrixSelector():
            yield from _selectors(node.vector_selector)
        case promql_parser.BinaryExpr():
            yield from _selectors(node.lhs)
            yield from _selectors(node.rhs)
        case promql_parser.Call():
            for argument in node.args:
                yield from _selectors(argument)
        case (
            promql_parser.AggregateExpr()
            | promql_parser.ParenExpr()
            | promql_parser.UnaryExpr()
            | promql_parser.SubqueryExpr()
        ):
            yield from _selectors(node.expr)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            pass
        case _:
            raise AssertionError(f"a node of PromQL that is not known here: {type(node).__name__}")


def grouped(query: str) -> set[str]:
    """Labels that `by` and `on` name anywhere in a query."""
    return {label for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query) for label in re.findall(r"\w+", labels)}


def unknown(query: str) -> set[str]:
    """What a query names that no metric of it has: names, labels in selectors, labels that it groups by."""
    known = series()
    found = set()
    labels_of_all = set(OF_EVERY_SERIES)
    for name, labels in selectors(query):
        if name not in known:
            found.add(name)
        else:
            found |= {f"{name}{{{label}}}" for label in labels - known[name] - OF_EVERY_SERIES}
            labels_of_all |= known[name]
    return found | {f"({label})" for label in grouped(query) - labels_of_all}

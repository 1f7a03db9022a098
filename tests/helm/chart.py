"""Renders the chart as Helm does. The one place that knows the engine: Helm's own, from a wheel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart, HelmError, disable_logging, lint

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE = "release"
NAMESPACE = "streams"

Values = dict[str, Any]
Manifest = dict[str, Any]


class Refused(Exception):
    """Helm refused the values: the schema, or our own checks. The message is what the user sees."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release would be made of: each template's text, and every object in them."""

    templates: Mapping[str, str]
    objects: tuple[Manifest, ...]

    def of(self, kind: str, ending: str = "") -> list[Manifest]:
        """Objects of this kind whose name ends so."""
        return [found for found in self.objects if found["kind"] == kind and found["metadata"]["name"].endswith(ending)]

    def one(self, kind: str, ending: str = "") -> Manifest:
        """The only such object."""
        (found,) = self.of(kind, ending)
        return found

    @property
    def notes(self) -> str:
        """What is printed after an install."""
        return self.templates["NOTES.txt"]

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """The specification of each pod that the objects make, with the name of its object."""
        for found in self.objects:
            if found["kind"] == "Pod":
                yield found["metadata"]["name"], found["spec"]
            elif found["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield f"{found['kind']} {found['metadata']['name']}", found["spec"]["template"]["spec"]

    def settings(self, ending: str) -> str:
        """The text of streams.yaml in the ConfigMap whose name ends so."""
        text = self.one("ConfigMap", ending)["data"]["streams.yaml"]
        assert isinstance(text, str)
        return text


@cache
def _chart() -> Chart:
    disable_logging()
    return Chart.load(CHART)


def render(values: Values, namespace: str = NAMESPACE) -> Rendered:
    """Render with these values over the chart's own. Raises `Refused`."""
    try:
        texts = _chart().render(values, name=RELEASE, namespace=namespace)
    except HelmError as error:
        raise Refused(str(error)) from None
    templates = {name.removeprefix("streams/templates/"): text for name, text in sorted(texts.items())}
    objects = tuple(
        document
        for name, text in templates.items()
        if name.endswith(".yaml")
        for document in yaml.load_all(text, Loader=StrictLoader)
        if document
    )
    return Rendered(templates, objects)


def merged(values: Values) -> Values:
    """The values over the chart's own, as Helm checks them: a null takes a default away."""
    found = _chart().merge_values(values)
    assert isinstance(found, dict)
    return found


def lint_messages(values: Values) -> list[str]:
    """What `helm lint --strict` complains of."""
    report = lint(CHART, values, strict=True, namespace=NAMESPACE, quiet=True)
    return [f"{message['severity']}: {message['error']}" for message in report.get("messages") or ()]


def case(name: str) -> Values:
    """The values of `helm/ci/NAME-values.yaml`."""
    values = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


def case_name(path: Path) -> str:
    """The case of a file in `helm/ci`."""
    return path.name.removesuffix("-values.yaml")


class StrictLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice, which a template with two hands in one mapping produces."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise yaml.constructor.ConstructorError(None, None, f"stands twice: {twice}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)

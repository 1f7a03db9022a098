"""The reference of every key of the configuration, as Markdown tables made from the JSON Schema.

`python -m streams.config.reference docs/configuration.md` renews the tables in the page, between its two marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streams.config.connector import ConnectorKeys
from streams.config.connector_section import Registry, connector_model
from streams.config.inlets import INLET_KINDS
from streams.config.schema import json_schema
from streams.destinations import REGISTRY

BEGIN = "<!-- reference: begin (made by python -m streams.config.reference) -->"
END = "<!-- reference: end -->"

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SIZES = (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000), ("B", 1))

Schema = Mapping[str, Any]


def reference(registry: Registry = REGISTRY) -> str:
    """The tables: each section, what every connector has, and what each destination adds."""
    schema = json_schema(registry)
    definitions: Schema = schema["$defs"]
    parts = [
        _table("`kafka`", "kafka", _resolved(schema["properties"]["kafka"], definitions), definitions),
        _table("`source`", "source", _resolved(schema["properties"]["source"], definitions), definitions),
        _table("`http`", "http", _resolved(schema["properties"]["http"], definitions), definitions),
        _table("`notify`", "notify", _resolved(schema["properties"]["notify"], definitions), definitions),
        _table("`receiver`", "receiver", _resolved(schema["properties"]["receiver"], definitions), definitions),
        _table("`console`", "console", _resolved(schema["properties"]["console"], definitions), definitions),
    ]
    for name, model in INLET_KINDS.items():
        section = definitions[model.__name__]
        parts.append(_table(f"`inlets` with `kind: {name}`", "inlets.NAME", section, definitions))
    every = ConnectorKeys.model_json_schema()
    every["properties"]["destination"] = {"enum": sorted(registry), "description": "Kind of outside system."}
    parts.append(_table("Every connector", "connectors.NAME", every, every["$defs"]))
    for name, kind in sorted(registry.items()):
        connector = definitions[connector_model(kind).__name__]
        declared = {field.alias or key for key, field in kind.settings.model_fields.items()}
        own = _only(connector, lambda key, declared=declared: key in declared)
        parts.append(_table(f"`destination: {name}`", "connectors.NAME", own, definitions))
        parts += _choices(name, own, definitions)
    return "\n\n".join(parts)


def renewed(page: str, registry: Registry = REGISTRY) -> str:
    """The page with its tables as they should be. Raises `ValueError` if the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks of the reference")
    return f"{before}{BEGIN}\n\n{reference(registry)}\n\n{END}{after}"


def _choices(name: str, schema: Schema, definitions: Schema) -> Iterator[str]:
    """A table for each kind of section that may stand under a key of the reader's choice."""
    for key, value in schema["properties"].items():
        inner = value.get("additionalProperties")
        if not isinstance(inner, Mapping) or "discriminator" not in inner:
            continue
        chosen_by = inner["discriminator"]["propertyName"]
        for choice, reference in sorted(inner["discriminator"]["mapping"].items()):
            title = f"`destination: {name}`, `{key}` with `{chosen_by}: {choice}`"
            section = _resolved({"$ref": reference}, definitions)
            yield _table(title, f"connectors.NAME.{key}.KEY", section, definitions)


def _only(schema: Schema, wanted: Any) -> dict[str, Any]:
    properties = {key: value for key, value in schema["properties"].items() if wanted(key)}
    return {"properties": properties, "required": schema.get("required", ())}


def _table(title: str, prefix: str, schema: Schema, definitions: Schema) -> str:
    rows = [
        f"| `{path}` | {_kind(value, definitions)} | {default} | {_meaning(value)} |"
        for path, value, default in _rows(prefix, schema, definitions)
    ]
    return "\n".join([f"### {title}", "", "| key | value | default | meaning |", "|---|---|---|---|", *rows])


def _rows(prefix: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema, str]]:
    for key, value in schema.get("properties", {}).items():
        path = f"{prefix}.{key}"
        is_required = key in schema.get("required", ())
        yield path, value, "required" if is_required else _default(value, definitions)
        for alternative in _alternatives(value, definitions):
            yield from _rows(path, alternative, definitions)
            inner = alternative.get("additionalProperties")
            if isinstance(inner, Mapping):
                yield from _rows(f"{path}.KEY", _resolved(inner, definitions), definitions)


def _alternatives(value: Schema, definitions: Schema) -> list[Schema]:
    options = value.get("anyOf") or value.get("oneOf") or [value]
    return [_resolved(option, definitions) for option in options]


def _resolved(value: Schema, definitions: Schema) -> Schema:
    while "$ref" in value:
        value = definitions[value["$ref"].rpartition("/")[2]]
    return value


def _kind(value: Schema, definitions: Schema) -> str:
    kinds = [_kind_of(option) for option in _alternatives(value, definitions)]
    return " or ".join(dict.fromkeys(kind for kind in kinds if kind))


def _kind_of(value: Schema) -> str:
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if _is_duration(value):
        return "duration"
    if _is_size(value):
        return "size"
    if value.get("writeOnly"):
        return "secret"
    kind = value.get("type", "")
    if isinstance(kind, list):
        return "text, number, true or false"
    if kind == "object" and "properties" not in value:
        return "mapping"
    names = {"string": "text", "boolean": "true or false", "array": "list", "object": "section", "null": ""}
    return names.get(kind, str(kind))


def _is_duration(value: Schema) -> bool:
    return "ms|s|m|h|d" in value.get("pattern", "")


def _is_size(value: Schema) -> bool:
    return "B|kB|MB|GB" in value.get("pattern", "")


def _default(value: Schema, definitions: Schema) -> str:
    default = value.get("default")
    if default is None or isinstance(default, dict) or default == "":
        return "none"
    if isinstance(default, int | float) and any(_is_duration(part) for part in _alternatives(value, definitions)):
        unit, length = next((unit, length) for unit, length in _UNITS if default % length == 0)
        return f"`{default / length:.0f}{unit}`"
    if isinstance(default, int) and any(_is_size(part) for part in _alternatives(value, definitions)):
        unit, size = next((unit, size) for unit, size in _SIZES if default % size == 0)
        return f"`{default // size}{unit}`"
    return f"`{json.dumps(default, ensure_ascii=False)}`" if not isinstance(default, str) else f"`{default}`"


def _meaning(value: Schema) -> str:
    text = value.get("description", "")
    examples = [json.dumps(example, ensure_ascii=False) for example in value.get("examples", ())]
    if examples and "pattern" not in value:
        text += f" For example `{examples[0]}`."
    return str(text).replace("|", "\\|").replace("\n", " ").strip()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(renewed(place.read_text(encoding="utf-8")), encoding="utf-8")

"""Values that a schema allows, drawn at random: for the part of JSON Schema that the chart's schema uses."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Schema = dict[str, Any]

ASCII = st.characters(min_codepoint=33, max_codepoint=126)
UNDERSTOOD = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "discriminator", "enum",
    "examples", "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
    "minLength", "minProperties", "minimum", "not", "oneOf", "pattern", "patternProperties", "properties",
    "propertyNames", "required", "title", "type", "format", "writeOnly", "$schema", "$defs", "if", "then",
}  # fmt: skip
"""Keywords of the chart's schema: a new one needs a branch below."""


def keywords(schema: Any, is_schema: bool = True) -> set[str]:
    """Every keyword that a schema uses, wherever it stands."""
    if isinstance(schema, list):
        return {word for part in schema for word in keywords(part, is_schema)}
    if not isinstance(schema, dict):
        return set()
    found = set(schema) if is_schema else set()
    for key, value in schema.items():
        if not (is_schema and key in ("default", "discriminator", "examples", "const", "enum", "required")):
            found |= keywords(value, not (is_schema and key in ("properties", "patternProperties", "$defs")))
    return found


class Drawing:
    """Draws from one schema. Optional keys come seldom, so that a document stays small and mostly makes sense."""

    def __init__(self, draw: DrawFn, whole: Schema) -> None:
        self._draw = draw
        self._whole = whole

    def value(self, schema: Schema) -> Any:
        """Something that the schema allows."""
        if "$ref" in schema:
            return self.value(self._resolved(schema["$ref"]))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._draw(st.sampled_from(schema["enum"]))
        if "allOf" in schema:
            return self._alternative_section(schema)
        if among := schema.get("anyOf") or schema.get("oneOf"):  # alternatives of ours exclude each other
            return self.value(self._draw(st.sampled_from(among)))
        if "not" in schema:  # the only negation: what must be a reference to a secret
            return "${TOKEN}"
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self._draw(st.sampled_from(kind))
        return self._plain(kind, schema)

    def _plain(self, kind: str | None, schema: Schema) -> Any:
        match kind:
            case "object" | None:
                return self._section(schema)
            case "array":
                least = schema.get("minItems", 0)
                length = self._draw(st.integers(least, min(schema.get("maxItems", 99), least + 2)))
                return [self.value(schema.get("items", {})) for _ in range(length)]
            case "string":
                return self._draw(_text(schema.get("pattern"), schema.get("minLength", 0), schema.get("maxLength", 60)))
            case "boolean":
                return self._draw(st.booleans())
            case "integer":
                least = schema.get("minimum", 0)
                return self._draw(st.integers(least, min(schema.get("maximum", least + 9), least + 9)))
            case "number":
                least = float(schema["minimum"] if "minimum" in schema else schema.get("exclusiveMinimum", 0))
                return self._draw(st.sampled_from([least + 0.5, least + 1]))
            case "null":
                return None
        raise AssertionError(f"no values are known for {schema}")

    def _section(self, schema: Schema) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        found = {
            name: self.value(part)
            for name, part in schema.get("properties", {}).items()
            if name in required or self._draw(st.integers(0, 3)) == 0
        }
        others = schema.get("additionalProperties", False)
        if isinstance(others, dict) and (others or schema.get("minProperties")):
            names = schema.get("propertyNames", {})
            keys = st.sampled_from(names["enum"]) if "enum" in names else st.from_regex("[a-z]{3,8}", fullmatch=True)
            for name in self._draw(st.lists(keys, min_size=schema.get("minProperties", 0), max_size=2, unique=True)):
                found[name] = self.value(others)
        return found

    def _alternative_section(self, schema: Schema) -> Any:
        """`allOf` of `if … then …`, one for each constant of one key."""
        branch = self._draw(st.sampled_from(schema["allOf"]))
        return self.value(branch["then"]) | {
            key: part["const"] for key, part in branch["if"]["properties"].items() if "const" in part
        }

    def _resolved(self, reference: str) -> Schema:
        place: Any = self._whole
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
        assert isinstance(place, dict)
        return place


@cache
def _text(pattern: str | None, least: int, most: int) -> SearchStrategy[str]:
    if pattern is None:
        return st.text("abcxyz0129-./: {}'\"", min_size=least, max_size=min(most, 12))
    # Helm's \\d is a digit from 0 to 9, Python's any that Unicode has.
    return st.from_regex(pattern, fullmatch=True, alphabet=ASCII).filter(lambda text: least <= len(text) <= most)


def documents(schema: Schema) -> SearchStrategy[Any]:
    """Documents that the schema allows."""

    @st.composite
    def strategy(draw: DrawFn) -> Any:
        return Drawing(draw, schema).value(schema)

    return strategy()

"""Avro schemas that name types of other schemas: combines them into one schema that needs no other.

A registry stores such a schema with `references`. Each type that they define is put where the schema names it first,
as if its author had written it there. The result has one definition, one fingerprint and one decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "enum", "fixed", "error"})
DEPTH_MAX = 100
"""How deep schemas may be nested. Python's own limit is near 1,000 calls."""


def inlined(definition: Any, references: Sequence[Any]) -> Any:
    """The schema with every type of `references` (parsed JSON) in the place where it is named first.

    Names that no schema defines stay; the parser reports them. Raises `ValueError` if schemas are nested too deeply.
    """
    known: dict[str, dict[str, Any]] = {}
    for reference in references:
        _gather(reference, "", known, 0)
    return _inlined(definition, "", known, set(), 0)


def _gather(node: Any, namespace: str, known: dict[str, dict[str, Any]], depth: int) -> None:
    """Every named type that a schema defines, by its full name; the definitions contain the full name."""
    _require(depth)
    if isinstance(node, list):
        for branch in node:
            _gather(branch, namespace, known, depth + 1)
    elif isinstance(node, dict):
        kind = node.get("type")
        if kind in _NAMED:
            name = _full_name(node, namespace)
            namespace = name.rpartition(".")[0]
            known.setdefault(name, {**node, "name": name, "namespace": namespace})
            for field in node.get("fields") or ():
                if isinstance(field, dict):
                    _gather(field.get("type"), namespace, known, depth + 1)
        else:
            for key in ("type", "items", "values"):
                _gather(node.get(key), namespace, known, depth + 1)


def _inlined(node: Any, namespace: str, known: dict[str, dict[str, Any]], defined: set[str], depth: int) -> Any:
    _require(depth)
    if isinstance(node, str):
        return _named(node, namespace, known, defined, depth)
    if isinstance(node, list):
        return [_inlined(branch, namespace, known, defined, depth + 1) for branch in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") not in _NAMED:
        inner = {key: node[key] for key in ("type", "items", "values") if key in node}
        return node | {key: _inlined(item, namespace, known, defined, depth + 1) for key, item in inner.items()}
    name = _full_name(node, namespace)
    if name in defined:  # a reference defines it, too: Avro allows one definition of a name
        return name
    defined.add(name)
    if not isinstance(node.get("fields"), list):
        return node
    namespace = name.rpartition(".")[0]
    fields = [
        field | {"type": _inlined(field.get("type"), namespace, known, defined, depth + 1)}
        if isinstance(field, dict)
        else field
        for field in node["fields"]
    ]
    return node | {"fields": fields}


def _named(name: str, namespace: str, known: dict[str, dict[str, Any]], defined: set[str], depth: int) -> Any:
    """A type that is given by its name: its definition, if this is the first use. A short name is one of this
    namespace, or of no namespace."""
    if name in _PRIMITIVES:
        return name
    for full in [name] if "." in name or not namespace else [f"{namespace}.{name}", name]:
        if full in defined:
            return full
        if full in known:
            return _inlined(known[full], "", known, defined, depth + 1)
    return name


def _full_name(node: dict[str, Any], namespace: str) -> str:
    name = str(node.get("name", ""))
    own = node.get("namespace")
    if "." in name:
        return name
    space = own if isinstance(own, str) else namespace
    return f"{space}.{name}" if space else name


def _require(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError("not a valid Avro schema: nested too deeply")

"""Whether a schema is safe to read with: corrupt bytes must not use more memory or stack than their length allows.

Two kinds of types are unsafe. If an array's items take no bytes, a corrupt count of five bytes can ask for gigabytes.
If a type contains itself, a corrupt datum can be nested deeper than the reader's stack. No Currents event has them.
"""

from __future__ import annotations

from typing import Any


def unbounded(parsed: Any) -> str | None:
    """Why the schema is unsafe, or None. It is as fastavro parses it: full names, each defined before it is used."""
    return _problem(parsed, {}, frozenset())


def _problem(node: Any, named: dict[str, Any], around: frozenset[str]) -> str | None:
    """`named` are the types defined so far; `around` are the types that contain this node."""
    match node:
        case str():
            return f"{node} contains itself" if node in around else None
        case list():
            return next((problem for branch in node if (problem := _problem(branch, named, around))), None)
        case {"type": "array", "items": items}:
            problem = _problem(items, named, around)
            return problem or ("an array's items take no bytes" if _is_empty(items, named) else None)
        case {"type": "map", "values": values}:
            return _problem(values, named, around)
        case {"type": "record", "name": name, "fields": fields}:
            named[name] = node
            inside = around | {name}
            return next((problem for field in fields if (problem := _problem(field["type"], named, inside))), None)
        case {"type": "fixed", "name": name}:
            named[name] = node
            return None
        case {"type": inner}:
            return _problem(inner, named, around)
        case _:
            return None


def _is_empty(node: Any, named: dict[str, Any]) -> bool:
    """Whether a value may take no bytes. Called only with types that do not contain themselves."""
    match node:
        case "null":
            return True
        case str():
            return node in named and _is_empty(named[node], named)
        case {"type": "record", "fields": fields}:
            return all(_is_empty(field["type"], named) for field in fields)
        case {"type": "fixed", "size": size}:
            return bool(size == 0)
        case {"type": str() as inner}:
            return inner == "null"
        case _:
            return False

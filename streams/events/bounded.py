"""Whether reading any datum of a schema costs no more than its bytes: what is not so could stop a process.

Corrupt bytes are read too. An array of items that take no bytes lets a count of five bytes ask for gigabytes, and a
type that holds itself nests as deep as the datum is long, beyond the reader's stack. No Currents event has either.
"""

from __future__ import annotations

from typing import Any


def unbounded(parsed: Any) -> str | None:
    """What makes the schema (as fastavro parses it: full names, each defined before it is used) unsafe, in words."""
    return _problem(parsed, {}, frozenset())


def _problem(node: Any, named: dict[str, Any], around: frozenset[str]) -> str | None:
    """`named` gathers the types defined so far; `around` are those that the node stands in."""
    match node:
        case str():
            return f"{node} holds itself" if node in around else None
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
    """Whether a value may take no bytes. Called only with types that do not hold themselves."""
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

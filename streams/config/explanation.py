"""Turns pydantic's errors into problems: the path in the file, the value unless secret, the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streams.config.document import Document, Path, dotted
from streams.config.problems import Problem

VALUE_LENGTH_MAX = 80

_SECRET_NAME = re.compile(
    r"secret|salt|password|passphrase|token|key|credential|auth|webhook|jaas|feeds|sasl|ssl", re.IGNORECASE
)
_URL_USER = re.compile(r"(?<=://)[^/@\s]+@")


def explain(error: ValidationError, model: type[BaseModel], document: Document, prefix: Path) -> list[Problem]:
    """One problem per path, in the file's order of paths as pydantic reports them."""
    fixes: dict[Path, list[str]] = {}
    values: dict[Path, str | None] = {}
    raw = _at(document.content, prefix)
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:  # its items are at fault, and are named themselves
            continue
        inner = _path_in_file(detail, raw)
        path = (*prefix, *inner)
        fix = _fix(detail, model, inner)
        if fix not in fixes.setdefault(path, []):
            fixes[path].append(fix)
        values[path] = shown(path, detail["input"]) if _shows_value(detail) else None
    for path, fix in _relations(model, raw, prefix):  # pydantic looks at them only where all else is right
        values.setdefault(path, None)
        if fix not in fixes.setdefault(path, []):
            fixes[path].append(fix)
    return [
        Problem(dotted(path), ", or ".join(sentences), values[path], document.line(path))
        for path, sentences in fixes.items()
    ]


def _relations(model: type[BaseModel], raw: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """What keys have against each other, by the values as they are written: the checks of a model that come last."""
    if not isinstance(raw, Mapping):
        return
    keys = _as_written(model, raw)
    for check in model.__pydantic_decorators__.model_validators.values():
        if check.info.mode != "after":
            continue
        try:
            check.func(keys)
        except ValueError as error:
            yield path, str(error)
        except (TypeError, AttributeError, KeyError):
            continue  # a value of another kind, which is a problem of its own
    for name, field in model.model_fields.items():
        for inner in _alternatives(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _relations(inner, raw.get(name), (*path, name))


def _as_written(model: type[BaseModel], raw: Mapping[Any, Any]) -> SimpleNamespace:
    """A section with the values of the file, else the defaults, for checks that ask what is there."""
    keys = SimpleNamespace()
    for name, field in model.model_fields.items():
        value = raw.get(name, field.get_default(call_default_factory=True))
        models = [
            one for one in _alternatives(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)
        ]
        setattr(keys, name, _as_written(models[0], value) if models and isinstance(value, Mapping) else value)
    return keys


def shown(path: Path, value: Any) -> str | None:
    """The value as an error may show it, or None: never one that could be a secret, never a whole section."""
    if isinstance(value, Mapping | list | tuple | BaseModel) or any(
        _SECRET_NAME.search(element) for element in path[1:] if isinstance(element, str)
    ):
        return None
    text = _URL_USER.sub("…@", repr(value) if isinstance(value, str) else str(value))
    return text if len(text) <= VALUE_LENGTH_MAX else text[: VALUE_LENGTH_MAX - 1] + "…"


def problem_at(document: Document, path: Path, fix: str, value: Any = None) -> Problem:
    """A problem at this place of the file, with its value where that may be shown."""
    return Problem(dotted(path), fix, None if value is None else shown(path, value), document.line(path))


def suggestion(name: str, known: Iterable[str]) -> str:
    """`Did you mean x? ` where a known name is near, and all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return (f"Did you mean {near[0]}? " if near else "") + "Known names: " + ", ".join(names)


def _shows_value(detail: ErrorDetails) -> bool:
    return detail["type"] not in ("missing", "extra_forbidden") and detail["loc"][-1:] != ("[key]",)


def _at(content: Any, path: Path) -> Any:
    for element in path:  # a name may be a number in the file
        content = content.get(element, next((value for key, value in content.items() if str(key) == element), None))
        if not isinstance(content, Mapping):
            return {}
    return content


def _path_in_file(detail: ErrorDetails, raw: Any) -> Path:
    """pydantic's place without what stands for alternatives of a type and not for a key of the file."""
    place: list[Any] = []
    last = len(detail["loc"]) - 1
    for position, element in enumerate(detail["loc"]):
        if isinstance(raw, Mapping) and (element in raw or (position == last and detail["type"] == "missing")):
            place.append(element)
            raw = raw.get(element)
        elif isinstance(raw, list) and isinstance(element, int) and element < len(raw):
            place.append(element)
            raw = raw[element]
    return tuple(place)


def _fix(detail: ErrorDetails, model: type[BaseModel], path: Path) -> str:
    match detail["type"]:
        case "missing":
            return "is missing: it must be set"
        case "extra_forbidden":
            known = _keys_at(model, path[:-1])
            return (
                "is not a known key here. " + suggestion(str(detail["loc"][-1]), known)
                if known
                else "is not a known key here: remove it"
            )
        case "value_error" | "assertion_error":
            return str(detail["ctx"]["error"])
        case "string_pattern_mismatch":
            return f"must match {detail['ctx']['pattern']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping of keys to values"
        case "tuple_type" | "list_type":
            return "must be a list"
        case _:
            message = detail["msg"].removeprefix("Input should be ")
            return f"must be {message}"


def _keys_at(model: type[BaseModel], path: Path) -> set[str]:
    """Keys that may stand at this path of the model, over all alternatives of its type."""
    places: list[Any] = [model]
    for element in path:
        places = [inner for place in places for inner in _within(place, element)]
    return {
        field.alias or name
        for place in places
        if isinstance(place, type) and issubclass(place, BaseModel)
        for name, field in place.model_fields.items()
    }


def _within(place: Any, element: str | int) -> list[Any]:
    if isinstance(place, type) and issubclass(place, BaseModel):
        return [
            alternative
            for name, field in place.model_fields.items()
            if (field.alias or name) == element
            for alternative in _alternatives(field.annotation)
        ]
    if issubclass(get_origin(place) or object, Mapping):
        return _alternatives(get_args(place)[1])
    return _alternatives(get_args(place)[0]) if isinstance(element, int) and get_args(place) else []


def _alternatives(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [inner for argument in get_args(annotation) for inner in _alternatives(argument)]
    return [] if origin is Literal else [annotation]

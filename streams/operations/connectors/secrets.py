"""Which secrets a credential scope is made of: the key in the configuration, and where it stands. Never the secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic import BaseModel

from streams.config.connector import CommonKeys, Connector
from streams.values import Secret

AGAIN, AT_START = "read again before each probe", "read when processes start: restart them"


def secret_places(connector: Connector, scope: str) -> tuple[tuple[str, Secret], ...]:
    """Each secret of a scope, with its key in the configuration: `connectors.growth.project_token`."""
    found: Callable[[], Mapping[str, str]] | None = getattr(connector.settings, "scopes", None)
    scopes = {} if found is None else found()
    return tuple(
        (f"connectors.{connector.name}.{'.'.join(path)}", secret)
        for path, secret in _secrets(connector.settings)
        if path[0] not in CommonKeys.model_fields and _is_of(path, scope, scopes)
    )


def fix_of(connector: Connector, scope: str) -> str:
    """What to do about refused credentials, for a sentence."""
    named = [
        f"{key} ({secret.place}, {AGAIN if secret.is_file else AT_START})"
        for key, secret in secret_places(connector, scope)
    ]
    return f"fix the secret {' or '.join(named)}" if named else "fix the secret"


def _is_of(path: tuple[str, ...], scope: str, scopes: Mapping[str, str]) -> bool:
    """A destination with one key pair tells no scopes: all its secrets are of this one."""
    return not scopes or any(scopes.get(part) == scope for part in path)


def _secrets(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Secret]]:
    match value:
        case Secret():
            yield path, value
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name), (*path, name))
        case Mapping():
            for name, one in value.items():
                yield from _secrets(one, (*path, str(name)))

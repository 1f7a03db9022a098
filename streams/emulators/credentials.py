"""Credentials of an emulated vendor, as control calls list and change them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar


class Credential(Protocol):
    """One credential. Its name is not secret."""

    name: str
    is_revoked: bool

    def renew(self, secret: str) -> None:
        """Give it another secret."""


Kept = TypeVar("Kept", bound=Credential)


class Credentials(Generic[Kept]):
    """The credentials of one vendor, by their names."""

    def __init__(self, credentials: Iterable[Kept]) -> None:
        self._by_name = {each.name: each for each in credentials}

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Kept:
        return self._by_name[name]

    def listed(self) -> list[dict[str, Any]]:
        """Names of the credentials, and whether each is revoked."""
        return [{"name": each.name, "revoked": each.is_revoked} for each in self]

    def change(self, name: str, revoked: bool | None, secret: str | None) -> bool:
        """Revoke or restore a credential, or give it another secret. False if no credential has this name."""
        credential = self._by_name.get(name)
        if credential is None:
            return False
        if revoked is not None:
            credential.is_revoked = revoked
        if secret is not None:
            credential.renew(secret)
        return True

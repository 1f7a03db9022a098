"""Records of the topic `streams.forgotten`: whose records and letters of a connector are not delivered any more.

The key is `<connector>/<hash>`, the hash HMAC-SHA-256 of a user's id with the value's salt, in lower-case hex: of the
external id, or of the id that Braze gave, which is all that a deletion in Braze tells.
Nobody is named. The connector's keeper writes them, and takes each back once no topic can hold a record of that time.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

IdKind = Literal["external", "braze"]
FIELD_OF: Mapping[IdKind, str] = {"external": "external_user_id", "braze": "user_id"}
"""The Avro field that holds an id of this kind."""
SALT_BYTES = 16
USERS_MAX = 100_000
"""Of one connector at once: some 20 MB in a sink's memory."""


IdOf = Callable[[IdKind], str | None]
"""A user's id of a kind; None where there is none or it cannot be read."""


class ForgottenUser(BaseModel):
    """One value. `at` is when the job was ordered, `until` when the record is taken back: milliseconds since 1970.

    `by` is the kind of id that was hashed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    v: int = 1
    salt: str
    at: int
    until: int
    by: IdKind = "external"

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


def new_salt() -> str:
    return secrets.token_hex(SALT_BYTES)


def hash_of(salt: str, user_id: str) -> str:
    """Of a user's id."""
    return hmac.digest(salt.encode(), user_id.encode(errors="surrogatepass"), "sha256").hex()


def key_of(connector: str, user_hash: str) -> str:
    return f"{connector}/{user_hash}"


class ForgottenUsers:
    """Those of one connector, as the topic tells."""

    def __init__(self, connector: str) -> None:
        self._prefix = key_of(connector, "")
        self._users: dict[str, ForgottenUser] = {}
        self._by_salt: dict[tuple[IdKind, str], set[str]] = {}

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[tuple[str, ForgottenUser]]:
        """Hashes with their values."""
        return iter(self._users.items())

    @property
    def salts(self) -> list[str]:
        """The one with most users first."""
        by_size = sorted(self._by_salt, key=lambda known: -len(self._by_salt[known]))
        return list(dict.fromkeys(salt for _, salt in by_size))

    @property
    def newest_at(self) -> int:
        """When the newest of them was ordered; 0 where there are none."""
        return max((user.at for user in self._users.values()), default=0)

    def apply(self, key: str, value: bytes | None) -> bool:
        """Take one record. Returns whether it is of a user of this connector who was not forgotten before.

        Raises `ValueError` for a value that another program wrote, or a newer version.
        """
        if not key.startswith(self._prefix):
            return False
        user_hash = key.removeprefix(self._prefix)
        before = self._users.pop(user_hash, None)
        if before is not None:
            known = (before.by, before.salt)
            self._by_salt[known].discard(user_hash)
            if not self._by_salt[known]:
                del self._by_salt[known]
        if value is None:
            return False
        try:
            user = ForgottenUser.model_validate_json(value)
        except ValidationError:
            raise ValueError(f"{key} of the topic of forgotten users is not understood") from None
        self._users[user_hash] = user
        self._by_salt.setdefault((user.by, user.salt), set()).add(user_hash)
        return before is None or user.at > before.at

    def holds(self, id_of: IdOf) -> bool:
        """Whether the user with these ids is forgotten."""
        return self.hash_of(id_of) is not None

    def hash_of(self, id_of: IdOf) -> str | None:
        """The hash under which the user with these ids is forgotten; None where the user is not."""
        ids: dict[IdKind, str | None] = {}
        for (by, salt), users in self._by_salt.items():
            if by not in ids:
                ids[by] = id_of(by)
            user_id = ids[by]
            if user_id is not None and (user_hash := hash_of(salt, user_id)) in users:
                return user_hash
        return None

    def user(self, user_hash: str) -> ForgottenUser:
        """The value of one that is forgotten."""
        return self._users[user_hash]

    def over(self, now_ms: int) -> list[str]:
        """Hashes of those whose time has come."""
        return [user_hash for user_hash, user in self._users.items() if user.until <= now_ms]

"""Object stores through obstore: S3, GCS, Azure and folders, by one URL. Foreign exceptions stop here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.inlets.objects import StoredObject
from streams.ports.errors import (
    ObjectChanged,
    ObjectVanished,
    StoreForbidden,
    StoreThrottled,
    StoreUnavailable,
    StoreUnreachable,
)
from streams.ports.objects import Level

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

FOLDER = "file://"
PAGE_OBJECTS = 1_000
"""What S3 gives at once."""
CHUNK_BYTES = 1 << 20
CONNECT_SECONDS = 5
READ_SECONDS = 60
"""From one piece of an answer to the next. The library's own limit, 30 s for a whole answer, ends large files."""
ANSWER_SECONDS = 24 * 3600
RETRY_SECONDS = 10
RETRIES_MAX = 2
"""We wait and ask again ourselves, and say why: the library would do so in silence for three minutes."""

_FORBIDDEN = ("403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "credential")
_THROTTLED = ("429", "503 ", "SlowDown", "TooManyRequests", "Throttl", "RequestLimitExceeded", "ServerBusy")


class StorageNotInstalled(Exception):
    """The library for object stores is missing; the message says how to install it."""


class StoreOptionsWrong(Exception):
    """The store cannot be built from its URL and options; the message names the option."""


class ObstoreObjects:
    """What lies under one URL. One thread uses it."""

    def __init__(self, url: str, options: Callable[[], Mapping[str, Any]] = dict) -> None:
        """`options` gives obstore's, with secrets as they are now; without keys the platform's identity is used.

        Nobody is asked yet. Raises `StorageNotInstalled` and `StoreOptionsWrong`.
        """
        self._url = url
        self._options = options
        self._built: Client | None = None
        if not url.startswith(FOLDER):
            self._client()

    @classmethod
    def of(cls, client: Client, url: str) -> ObstoreObjects:
        """Of a client that exists already, such as one in memory."""
        objects = cls(FOLDER)
        objects._url, objects._built = url, client
        return objects

    def _client(self) -> Client:
        if self._built is None:
            self._built = _client(self._url, dict(self._options()))
        return self._built

    @contextmanager
    def _asking(self, key: str = "") -> Iterator[Client]:
        """Around a request. After a refusal the options are read again: keys may have been changed."""
        try:
            client = self._client()
            with _translated(self._url, key):
                yield client
        except StoreForbidden:
            self._built = None
            raise

    def level(self, folder: str) -> Level:
        import obstore

        with self._asking() as client:
            found = obstore.list_with_delimiter(client, folder or None)
            return Level(tuple(found["common_prefixes"]), tuple(_stored(one) for one in found["objects"]))

    def pages(self, folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        import obstore

        with self._asking() as client:
            for page in obstore.list(client, folder or None, offset=after or None, chunk_size=PAGE_OBJECTS):
                # Not every server knows where to begin.
                yield [_stored(one) for one in page if not after or one["path"] > after]

    def read(self, wanted: StoredObject) -> Iterator[bytes]:
        import obstore
        from obstore.exceptions import PreconditionError

        with self._asking(wanted.key) as client:
            options: Any = {"if_match": wanted.etag} if wanted.etag else {}
            try:
                found = obstore.get(client, wanted.key, options=options)
            except PreconditionError:
                obstore.head(client, wanted.key)  # Azure says 412, not 404, of an object that is gone
                raise
            if _is_another(_stored(found.meta), wanted):
                raise ObjectChanged(f"{self._url}: {wanted.key} was written again since it was listed")
            length = 0
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                length += len(chunk)
                yield bytes(chunk)
        if length != wanted.size_bytes:
            raise StoreUnreachable(f"{wanted.key}: {length:,} of {wanted.size_bytes:,} bytes came")


def _client(url: str, options: dict[str, Any]) -> Client:
    try:
        from obstore import store
        from obstore.exceptions import BaseError
    except ImportError:
        raise StorageNotInstalled(
            f"{url} needs the library for object stores: pip install 'currents-streams[storage]'"
        ) from None
    if url.startswith(FOLDER):
        return _folder(url, options)
    patience: Any = {"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    is_plain = any(isinstance(value, str) and value.startswith("http://") for value in options.values())
    client_options: Any = {
        "timeout": timedelta(seconds=ANSWER_SECONDS),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=READ_SECONDS),
        "allow_http": bool(options.pop("allow_http", False)) or is_plain,
    }
    build: Any = store.from_url  # each store has option types of its own; the library itself checks them
    try:
        client: Client = build(url, config=options, client_options=client_options, retry_config=patience)
    except (BaseError, ValueError, TypeError) as error:
        raise StoreOptionsWrong(f"{url}: {_first_line(error)}") from None
    return client


def _folder(url: str, options: Mapping[str, Any]) -> Client:
    from obstore.store import LocalStore

    if options:
        raise StoreOptionsWrong(f"{url}: a folder takes no options")
    folder = Path(url.removeprefix(FOLDER))
    if not folder.is_dir():
        raise StoreUnreachable(f"{url}: there is no such folder")
    return LocalStore(folder)


def _is_another(one: StoredObject, wanted: StoredObject) -> bool:
    """Whether the answer is not what was listed, for servers that do not compare. Their listings may name an object's
    etag in another form than their answers, so that alone tells nothing; and answers tell times by the second."""
    is_same_time = one.modified_ms // 1000 == wanted.modified_ms // 1000
    return one.size_bytes != wanted.size_bytes or (one.etag != wanted.etag and not is_same_time)


def _stored(meta: Any) -> StoredObject:
    etag = meta["e_tag"] or meta["version"] or f"{meta['last_modified'].isoformat()}-{meta['size']}"
    return StoredObject(meta["path"], meta["size"], etag, int(meta["last_modified"].timestamp() * 1000))


@contextmanager
def _translated(url: str, key: str) -> Iterator[None]:
    from obstore.exceptions import (
        BaseError,
        NotFoundError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except (FileNotFoundError, NotFoundError):
        if key:
            raise ObjectVanished(f"{url}: {key} is not there any more") from None
        raise StoreUnreachable(f"{url}: there is no such bucket, container or folder") from None
    except PreconditionError:
        raise ObjectChanged(f"{url}: {key} was written again since it was listed") from None
    except (PermissionError, PermissionDeniedError, UnauthenticatedError) as error:
        raise StoreForbidden(f"{url}: {_first_line(error)}") from None
    except (BaseError, OSError) as error:
        raise _unavailable(url, error) from None


def _unavailable(url: str, error: BaseException) -> StoreUnavailable:
    """By what the message says: the library has one class for all that is left."""
    text, first = str(error), _first_line(error)
    if " 404 Not Found" in first:  # of a listing: an object that is gone has a class of its own
        return StoreUnreachable(f"{url}: there is no such bucket or container")
    if any(word in text for word in _THROTTLED):
        return StoreThrottled(f"{url}: {first}")
    if any(word in text for word in _FORBIDDEN):
        return StoreForbidden(f"{url}: {first}")
    return StoreUnreachable(f"{url}: {first}")


def _first_line(error: BaseException) -> str:
    """The message without the library's dump of its own state, which may hold what was configured."""
    return str(error).strip().partition("\n")[0][:300]

"""Whether storage inlets may list and read their store, and use the queue that tells of new files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain

from streams.config import Settings
from streams.config.inlets import StorageInlet
from streams.inlets.layout import is_file
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.ports.errors import (
    ObjectChanged,
    ObjectVanished,
    QueueForbidden,
    QueueMissing,
    QueueUnavailable,
    StoreForbidden,
    StoreUnavailable,
)
from streams.ports.notices import NoticeQueue
from streams.ports.objects import ObjectStore

OpenStore = Callable[[StorageInlet], ObjectStore]
"""Raises `ValueError` where the store cannot be built, with the reason."""
OpenQueue = Callable[[StorageInlet], NoticeQueue]
"""Raises `ValueError` where the library for it is missing."""
PAGES_MAX = 3
"""So far a file is looked for that can be read on trial."""
QUEUE_RIGHTS = "the inlet needs sqs:ReceiveMessage and sqs:DeleteMessage on this queue"
RIGHTS = "the inlet needs the rights to list the bucket and to get its objects, and kms:Decrypt where it is encrypted"


def storage_findings(settings: Settings, open_store: OpenStore) -> Iterator[Finding]:
    """Each inlet's store is listed, and the beginning of one file is read. Nothing is written."""
    for name, inlet in settings.storage_inlets.items():
        what = f"inlet {name}"
        try:
            yield _looked(what, inlet, open_store(inlet))
        except StoreForbidden as error:
            yield problem(what, "credentials", str(error), RIGHTS)
        except StoreUnavailable as error:
            yield problem(what, "unreachable", str(error), f"are inlets.{name}.url and options right?")
        except ValueError as error:
            yield problem(what, "configuration", str(error), f"see inlets.{name}")


def queue_findings(settings: Settings, open_queue: OpenQueue) -> Iterator[Finding]:
    """Each queue is asked for a message, which stays in it. Without a queue, files are still found by `poll`."""
    for name, inlet in settings.storage_inlets.items():
        if inlet.notify_queue:
            what = f"queue of inlet {name}"
            try:
                open_queue(inlet).try_out()
            except QueueForbidden as error:
                yield problem(what, "credentials", str(error), QUEUE_RIGHTS)
            except QueueMissing as error:
                yield problem(what, "unreachable", str(error), f"make the queue, or correct inlets.{name}.notify_queue")
            except QueueUnavailable as error:
                fix = f"is inlets.{name}.notify_queue right, and can this machine reach it?"
                yield problem(what, "unreachable", str(error), fix)
            except ValueError as error:
                yield problem(what, "configuration", str(error), f"see inlets.{name}")
            else:
                yield ok(what, f"messages can be received from {inlet.notify_queue}, and deleted")


def _looked(what: str, inlet: StorageInlet, store: ObjectStore) -> Finding:
    pages = (page for page, _ in zip(store.pages(""), range(PAGES_MAX), strict=False))
    one = next((found for found in chain.from_iterable(pages) if is_file(found.key)), None)
    if one is None:
        return warning(what, f"{inlet.url} can be listed and holds no Currents file yet, so reading was not tried")
    try:
        with closing(store.read(one)) as chunks:  # type: ignore[type-var]
            next(iter(chunks), b"")
    except (ObjectVanished, ObjectChanged):
        return warning(what, f"{inlet.url} can be listed; {one.key} changed while it was looked at", "run it again")
    return ok(what, f"{inlet.url} can be listed and read")

"""Opens the object stores of inlets, and of URLs on the command line, and the queues of buckets."""

from __future__ import annotations

from streams.adapters.objects import ObstoreObjects, StorageNotInstalled, StoreOptionsWrong
from streams.adapters.sqs import SqsNotices, SqsNotInstalled
from streams.cli.errors import CommandError, ExitCode
from streams.config import Settings
from streams.config.inlets import StorageInlet
from streams.ports.notices import NoticeQueue
from streams.ports.objects import ObjectStore


def store_of(inlet: StorageInlet) -> ObjectStore:
    """The store of an inlet. Raises `ValueError` with the reason where it cannot be built."""
    try:
        return ObstoreObjects(inlet.url, inlet.revealed_options)
    except (StorageNotInstalled, StoreOptionsWrong) as error:
        raise ValueError(str(error)) from None


def opened_store(inlet: StorageInlet) -> ObjectStore:
    """The same. Raises `CommandError`."""
    try:
        return store_of(inlet)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None


def queue_at(inlet: StorageInlet) -> NoticeQueue:
    """The queue of an inlet that has one. Raises `ValueError` with the reason where it cannot be built."""
    try:
        return SqsNotices(inlet.notify_queue, inlet.revealed_options)
    except SqsNotInstalled as error:
        raise ValueError(str(error)) from None


def queue_of(inlet: StorageInlet) -> NoticeQueue:
    """The same. Raises `CommandError`."""
    try:
        return queue_at(inlet)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None


def store_at(settings: Settings, url: str) -> ObjectStore:
    """The store at a URL, with the options of the inlet that covers it, else with those of the environment.

    Raises `CommandError`.
    """
    for inlet in settings.storage_inlets.values():
        if f"{url.rstrip('/')}/".startswith(f"{inlet.url.rstrip('/')}/"):
            return opened_store(inlet.model_copy(update={"url": url}))
    try:
        return ObstoreObjects(url)
    except (StorageNotInstalled, StoreOptionsWrong) as error:
        raise CommandError(str(error), ExitCode.USAGE) from None

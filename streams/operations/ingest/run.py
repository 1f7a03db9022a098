"""The ingest itself: topics, progress of earlier runs, then the loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from streams.config import Settings
from streams.config.topology import wanted_topics
from streams.events.schemas import shipped
from streams.inlets.inlet_view import InletView
from streams.operations.errors import BadRequest, OperationError
from streams.operations.ingest.places import place_of
from streams.operations.ingest.plan import IngestPlan
from streams.operations.ingest.topics import create_event_topics
from streams.ports.clock import Clock
from streams.ports.cluster import Cluster
from streams.ports.errors import Fenced, TopicMissing, TransactionAborted
from streams.ports.kafka import Transactions
from streams.workers.ingest import Broken, Failure, File, Ingest, Outcome, Place, Progress, Target

KEY_PREFIX = b"ingest/"
"""The prefix of the keys of progress on the state topic."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What an ingest needs from outside.

    `open_transactions` fences an ingest that runs elsewhere; its progress is read after that. `read_latest` returns the
    latest value of each key of a topic that has a prefix.
    """

    cluster: Cluster
    open_transactions: Callable[[], Transactions]
    read_latest: Callable[[str, bytes], dict[bytes, bytes]]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Order:
    """How to ingest: `restamp` gives fresh ids and times; `again` names a further ingest of the same bytes."""

    restamp: bool = False
    again: str = ""


def ingested(
    settings: Settings,
    ports: Ports,
    plan: IngestPlan,
    files: Iterable[File | Broken],
    order: Order,
    report: Callable[[Outcome], None] = lambda _outcome: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Write the records of these files to their topics, each once. Missing topics are created as the plan says.

    `report` is told after each transaction, and `is_stopped` asked. Raises `OperationError`, `KafkaUnreachable` and
    `KafkaRefusal`; started again it continues where it stopped.
    """
    _create_ours(settings, ports.cluster)
    places = _Places(settings, ports.cluster, plan)
    places.create(plan.missing)
    broken: list[Broken] = []
    try:
        with closing(ports.open_transactions()) as transactions:
            progress = _progress(ports.read_latest(settings.topics.state, KEY_PREFIX))
            progress = _of_inlets(settings, ports) | progress
            written = ports.read_latest(settings.topics.schemas, b"")
            loop = Ingest(
                _target(settings, places, written),
                transactions,
                progress,
                monotonic=ports.clock.monotonic,
                now_ms=ports.clock.epoch_ms(),
                restamp=order.restamp,
                again=order.again,
                report=report,
                is_stopped=is_stopped,
            )
            outcome = loop.run(_readable(files, broken))
    except Fenced:
        raise OperationError("another `streams ingest` took over; run this one again when it is done") from None
    except TransactionAborted as error:
        raise OperationError(
            f"Kafka refused the records ({error}); run it again, it continues where it stopped"
        ) from None
    outcome.failures += [Failure(each.name, None, each.reason) for each in broken]
    return outcome


def _readable(files: Iterable[File | Broken], broken: list[Broken]) -> Iterator[File]:
    """Files that can be opened; the plan has named the others."""
    for file in files:
        if isinstance(file, Broken):
            broken.append(file)
        else:
            yield file


class _Places:
    """Returns a file's place. Creates its topic if it is missing."""

    def __init__(self, settings: Settings, cluster: Cluster, plan: IngestPlan) -> None:
        self._prefix = settings.source.topic_prefix
        self._settings = settings
        self._plan = plan
        self._cluster = cluster
        self._known = set(plan.files) - set(plan.missing)

    def create(self, topics: Collection[str]) -> None:
        create_event_topics(self._settings, self._cluster, topics, self._plan.partitions, self._plan.replication)
        self._known.update(topics)

    def __call__(self, file: File) -> Place:
        place = place_of(file, self._prefix)
        if place.topic not in self._known:  # the file changed since the plan
            self.create([place.topic])
        return place


def _target(settings: Settings, places: Callable[[File], Place], written: Collection[bytes]) -> Target:
    book = shipped()
    return Target(
        place_of=places,
        is_known=lambda mark: book.by_fingerprint(mark) is not None or mark.hex().encode() in written,
        state_topic=settings.topics.state,
        schemas_topic=settings.topics.schemas,
    )


def _progress(state: dict[bytes, bytes]) -> dict[str, Progress]:
    try:
        return {key.decode(): Progress.from_json(value) for key, value in state.items()}
    except (ValueError, KeyError, TypeError):
        raise OperationError(
            "the progress of an earlier ingest cannot be read: was it written by a newer version?"
        ) from None


def _of_inlets(settings: Settings, ports: Ports) -> dict[str, Progress]:
    """What storage inlets took, or have begun with. Raises `StateError`."""
    if not settings.storage_inlets:
        return {}
    try:
        rows = ports.read_latest(settings.topics.inlets, b"")
    except TopicMissing:
        return {}
    found = dict[str, Progress]()
    for name in settings.storage_inlets:
        view = InletView(name)
        for key, value in rows.items():
            view.apply(key.decode(errors="replace"), value)
        for one in view.containers():
            found[f"{KEY_PREFIX.decode()}{one.sha256.hex()}"] = Progress(one.records, one.is_done, 0)
    return found


def _create_ours(settings: Settings, cluster: Cluster) -> None:
    """The topics of state and schemas, for the progress and for new schemas."""
    needed = {settings.topics.state, settings.topics.schemas}
    missing = needed - cluster.topic_names()
    if missing and not settings.kafka.topics.create:
        names = ", ".join(sorted(missing))
        raise BadRequest(
            f"missing topics: {names}; create them with `streams topics apply`, or set kafka.topics.create"
        )
    for topic in wanted_topics(settings, cluster.brokers()):
        if topic.name in missing:
            cluster.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)

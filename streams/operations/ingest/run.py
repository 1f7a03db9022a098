"""The ingest itself: topics, progress of earlier runs, then the loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from streams.config import Settings
from streams.config.kafka import MESSAGE_BYTES_MAX
from streams.config.topology import wanted_topics
from streams.events.schemas import shipped
from streams.operations.errors import BadRequest, OperationError
from streams.operations.ingest.places import place_of
from streams.operations.ingest.plan import IngestPlan
from streams.ports.clock import Clock
from streams.ports.cluster import Cluster
from streams.ports.errors import Fenced, TransactionAborted
from streams.ports.kafka import Transactions
from streams.workers.ingest import Broken, Failure, File, Ingest, Outcome, Place, Progress, Target

KEY_PREFIX = b"ingest/"
"""How the keys of progress begin on the topic of state."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What an ingest asks of the outside.

    `open_transactions` fences an ingest that runs elsewhere: what that one committed is read afterwards. `read_latest`
    gives the latest value of each key of a topic that begins so.
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
    """Put the records of these files onto their topics, each once. What is missing is created as the plan says.

    `report` is told after each transaction, and `is_stopped` asked. Raises `OperationError`, `KafkaUnreachable` and
    `KafkaRefusal`; started again it goes on where it stopped.
    """
    _create_ours(settings, ports.cluster)
    places = _Places(settings, ports.cluster, plan)
    places.create(plan.missing)
    broken: list[Broken] = []
    try:
        with closing(ports.open_transactions()) as transactions:
            progress = _progress(ports.read_latest(settings.topics.state, KEY_PREFIX))
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
            f"Kafka refused the records ({error}); run it again, it goes on where it stopped"
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
    """Gives a file's place, and creates its topic where it is missing."""

    def __init__(self, settings: Settings, cluster: Cluster, plan: IngestPlan) -> None:
        self._prefix = settings.source.topic_prefix
        self._may_create = settings.kafka.topics.create
        self._plan = plan
        self._cluster = cluster
        self._known = set(plan.files) - set(plan.missing)

    def create(self, topics: Collection[str]) -> None:
        if topics and not self._may_create:
            names = ", ".join(sorted(topics))
            raise BadRequest(f"missing topics: {names}; create them, or set kafka.topics.create")
        configuration = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        for topic in topics:
            self._cluster.create_topic(topic, self._plan.partitions, self._plan.replication, configuration)
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
            "the progress of an earlier ingest is not readable: was it written by a newer version?"
        ) from None


def _create_ours(settings: Settings, cluster: Cluster) -> None:
    """The topics of state and schemas, which progress and new schemas go onto."""
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

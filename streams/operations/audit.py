"""Reads the audit: who or what did what, when and why, with filters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from streams.config.explanation import suggestion
from streams.config.names import SOURCE
from streams.operations.errors import BadRequest, NothingMatched
from streams.operations.installation import Installation
from streams.ports.kafka import Partition
from streams.ports.search import Search
from streams.state.audit import KINDS, ORDERS, Line, parse_line

LINES_MAX = 50_000
"""The most lines of one reading, the newest ones. This limits the memory."""
CLOCKS_MS = 300_000
"""Kafka's time of a line may be this much earlier than the time in the line."""

GROUPS: Mapping[str, Collection[str]] = {
    "order": ORDERS,
    "receipt": ("purged", "expired"),
    "credentials": ("credentials INVALID", "credentials VALID"),
    "start": ("started at the earliest record", "started at a copy"),
}
"""Names for groups of kinds."""

Report = Callable[[int, int], None]
"""Called from time to time with the offsets read so far, and with all offsets."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. A filter that is empty or None takes all. `until_ms` is exclusive. `actor` is a part of who did
    it."""

    connectors: frozenset[str] = frozenset()
    actor: str = ""
    kinds: frozenset[str] = frozenset()
    since_ms: int = 0
    until_ms: int | None = None

    def takes(self, line: Line) -> bool:
        return (
            (not self.connectors or line.connector in self.connectors)
            and self.actor.lower() in line.who.lower()
            and (not self.kinds or line.what in self.kinds)
            and line.at >= self.since_ms
            and (self.until_ms is None or line.at < self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in the order of their time. `unknown` counts records that are not audit lines.

    `is_cut`: older lines were left out.
    """

    lines: Sequence[Line]
    unknown: int
    is_cut: bool


def kinds_of(names: Collection[str]) -> frozenset[str]:
    """Kinds by their names or by the names of groups, in any case. Raises `BadRequest` that lists both."""
    known = {kind.lower(): (kind,) for kind in KINDS} | dict(GROUPS)
    found: set[str] = set()
    for name in names:
        if name.lower() not in known:
            groups, kinds = ", ".join(GROUPS), ", ".join(f"'{kind}'" if " " in kind else kind for kind in KINDS)
            raise BadRequest(f"{name} is not a kind of line. Groups: {groups}. Kinds: {kinds}", field="kind")
        found.update(known[name.lower()])
    return frozenset(found)


def read_audit(installation: Installation, wanted: Wanted, report: Report) -> Page:
    """The lines of the audit now. Raises `BadRequest`, `NothingMatched`, `KafkaUnreachable`."""
    with closing(follow_audit(installation, wanted, report, pause=lambda: None)) as pages:
        page = next(pages)
    unheard = [name for name in sorted(wanted.connectors) if not _is_known(installation, name)]
    if unheard and not page.lines:
        known = suggestion(unheard[0], [*installation.settings.connectors, SOURCE])
        raise NothingMatched(f"no line is about {unheard[0]}, and there is no such connector. {known}")
    return page


def follow_audit(
    installation: Installation, wanted: Wanted, report: Report, pause: Callable[[], None]
) -> Generator[Page]:
    """The lines of the audit now, then new lines, without an end. `pause` is called before each look for new lines.

    Raises `BadRequest`, `NothingMatched`, `KafkaUnreachable`.
    """
    if wanted.until_ms is not None and wanted.since_ms >= wanted.until_ms:
        raise BadRequest("must be before --until", field="since")
    search = installation.open_search(report)
    try:
        places = _places(search, installation.settings.topics.audit)
        read_to: dict[Partition, int] = {}
        while True:
            yield _page(search, places, wanted, read_to)
            pause()
    finally:
        search.close()


def _places(search: Search, topic: str) -> list[Partition]:
    count = search.topics().get(topic)
    if count is None:
        raise NothingMatched(f"there is no topic {topic} yet; `streams topics apply` creates it")
    return [(topic, number) for number in range(count)]


def _page(search: Search, places: Sequence[Partition], wanted: Wanted, read_to: dict[Partition, int]) -> Page:
    """Lines from the end of the last page. Moves `read_to` on."""
    spans = []
    for span in search.spans(places, max(0, wanted.since_ms - CLOCKS_MS)):
        begin = read_to.get(span.partition, span.start)
        # If the topic was made again, it may end before the offset that was read of the old one.
        spans.append(replace(span, start=max(begin, span.earliest) if begin <= span.end else span.earliest))
        read_to[span.partition] = span.end
    found: list[Line] = []
    unknown, is_cut = 0, False
    for record in search.holding(b"", spans):
        line = parse_line(record.message.value())
        if line is None:
            unknown += 1
        elif wanted.takes(line):
            found.append(line)
            if len(found) >= 2 * LINES_MAX:
                found, is_cut = _newest(found), True
    is_cut = is_cut or len(found) > LINES_MAX
    return Page(_newest(found), unknown, is_cut)


def _newest(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.at)[-LINES_MAX:]


def _is_known(installation: Installation, name: str) -> bool:
    return name == SOURCE or name in installation.settings.connectors

"""How cost grows: CPU time per event while one number grows and all others stay, as figures and as plots.

Each point is a run of our real workers on Apache Kafka until their commits say that all is settled. Of several rounds
the median counts. CPU time is that of all processes of the role with all their threads, from their first partitions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from streams.destinations import REGISTRY
from streams.events.encodings import encode_single_object
from streams.events.samples import MIX, sample_record
from streams.events.schemas import shipped
from tests.bench.measurement import Measurement
from tests.bench.plot import svg

if TYPE_CHECKING:
    from tests.bench.__main__ import Bench

PARTITIONS = (1, 4, 12)
CONNECTORS = (1, 5, 20)
TYPES = (1, 11, 90)
RECORD_KB = (1, 10, 100, 900)
BACKLOG_SHARES = (0.1, 0.3, 1.0)
SINKS = (1, 2, 3, 4)
BYTES_IN_TOTAL = 60_000_000
"""Of the runs with larger records: their number falls as their size grows."""
OPEN = "users.messages.email.Open"
CUSTOM_EVENT = "users.behaviors.CustomEvent"
Record = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Growth:
    """One plot: `values` has a line's name and its value at each of `steps`."""

    name: str
    title: str
    across: str
    up: str
    steps: Sequence[str]
    values: Mapping[str, Sequence[float]]


def growths(bench: Bench, rounds: int, wanted: Sequence[str]) -> Iterator[Growth]:
    """Measure what is wanted, one after the other."""
    for name in wanted or PLOTS:
        yield replace(PLOTS[name](bench, rounds), name=name)


def draw(growth: Growth, folder: Path) -> Path:
    """Write the plot; returns its file."""
    path = folder / f"growth-{growth.name}.svg"
    path.write_text(svg(growth.title, growth.across, growth.up, growth.steps, growth.values))
    return path


def _partitions(bench: Bench, rounds: int) -> Growth:
    points = [
        _sink(bench, rounds, f"partitions-{count}", _mix(bench.records), bench.records, partitions=count)
        for count in PARTITIONS
    ]
    return _cpu("Sink to Mixpanel: partitions", "partitions of the topic", PARTITIONS, points)


def _types(bench: Bench, rounds: int) -> Growth:
    mapped = sorted(REGISTRY["mixpanel"].event_types)
    choices = {1: [OPEN], 11: list(MIX), 90: mapped[:90]}
    points = [
        _sink(bench, rounds, f"types-{count}", _in_turn(bench.records, choices[count]), bench.records)
        for count in TYPES
    ]
    return _cpu("Sink to Mixpanel: event types, in turn", "event types", TYPES, points)


def _record_size(bench: Bench, rounds: int) -> Growth:
    points = []
    for size in RECORD_KB:
        count = max(50, min(bench.records, BYTES_IN_TOTAL // (size * 1000)))
        point = _sink(bench, rounds, f"size-{size}", _large(count, size * 1000), count)
        points.append(replace(point, per_event=point.per_event / size))
    return Growth(
        "",
        "Sink to Mixpanel: size of records",
        "kB of a record",
        "CPU µs per kB",
        [str(size) for size in RECORD_KB],
        {"CPU": [point.per_event for point in points]},
    )


def _backlog(bench: Bench, rounds: int) -> Growth:
    counts = [round(bench.records * share) for share in BACKLOG_SHARES]
    points = [_sink(bench, rounds, f"backlog-{count}", _mix(count), count) for count in counts]
    return Growth(
        "",
        "Sink to Mixpanel: memory at a backlog",
        "events that wait",
        "MiB, peak",
        [f"{count:,}" for count in counts],
        {"peak of RSS": [point.rss_mib for point in points]},
    )


def _sinks(bench: Bench, rounds: int) -> Growth:
    points = [
        _sink(bench, rounds, f"sinks-{count}", _mix(bench.records), bench.records, processes=count) for count in SINKS
    ]
    return _cpu("Sinks to Mixpanel in one group", "processes", SINKS, points)


def _connectors(bench: Bench, rounds: int) -> Growth:
    """The router writes each event to the topic of every connector: the cost is per record that it writes."""
    source_prefix = f"growth-{bench.tag}-currents."
    topic = bench.topic(source_prefix + OPEN)
    bench.fill_with(topic, _in_turn(bench.records, [OPEN]))
    points = []
    for count in CONNECTORS:
        measured = []
        for number in range(rounds):
            prefix = f"growth-{bench.tag}-connectors-{count}-{number}."
            connector = {
                "destination": "mixpanel",
                "project_token": "0123456789abcdef0123456789abcdef",
                "events": [OPEN],
            }
            config = bench.configuration(prefix, {f"copy-{one}": connector for one in range(count)}, source_prefix)
            measured.append([bench.ours(config, "router")])
        points.append(_point(measured, bench.records * count))
    return _cpu(
        "Router: connectors that take every event", "connectors", CONNECTORS, points, "CPU µs per record written"
    )


PLOTS: Mapping[str, Callable[[Bench, int], Growth]] = {
    "partitions": _partitions,
    "connectors": _connectors,
    "types": _types,
    "record-size": _record_size,
    "backlog": _backlog,
    "sinks": _sinks,
}


@dataclass(frozen=True, slots=True)
class _Point:
    """CPU microseconds per event of all processes together, and the largest peak of one."""

    per_event: float
    rss_mib: float


def _point(rounds: Sequence[Sequence[Measurement]], events: int) -> _Point:
    cpu = statistics.median(sum(one.cpu_seconds for one in measured) for measured in rounds)
    return _Point(cpu / events * 1e6, max(one.rss_mib for measured in rounds for one in measured))


def _sink(
    bench: Bench,
    rounds: int,
    name: str,
    records: Iterable[Record],
    count: int,
    *,
    partitions: int = 4,
    processes: int = 1,
) -> _Point:
    records, measured = list(records), []
    with bench.mixpanel() as connector:
        for number in range(rounds):
            prefix = f"growth-{bench.tag}-{name}-{number}."
            config = bench.configuration(prefix, {"growth": connector}, topics={"partitions": partitions})
            bench.fill_with(f"{prefix}connector.growth", records)
            bench.count_routed(config, "growth", count)
            measured.append(bench.group(config, "growth", processes, count))
    return _point(measured, count)


def _cpu(
    title: str, across: str, steps: Sequence[int], points: Sequence[_Point], up: str = "CPU µs per event"
) -> Growth:
    return Growth("", title, across, up, [str(step) for step in steps], {"CPU": [point.per_event for point in points]})


def _mix(count: int) -> Iterator[Record]:
    random = Random(1)
    names, weights = list(MIX), list(MIX.values())
    return _events(count, lambda _number: random.choices(names, weights)[0])


def _in_turn(count: int, event_types: Sequence[str]) -> Iterator[Record]:
    return _events(count, lambda number: event_types[number % len(event_types)])


def _events(count: int, event_type: Callable[[int], str]) -> Iterator[Record]:
    random, now_s = Random(2), int(time.time())
    for number in range(count):
        name = event_type(number)
        yield _encoded(name, sample_record(name, random, now_s), number)


def _large(count: int, size: int) -> Iterator[Record]:
    """Custom events with one long property, so that the whole record has about this many bytes."""
    random, now_s = Random(3), int(time.time())
    for number in range(count):
        record = sample_record(CUSTOM_EVENT, random, now_s)
        text = "".join(random.choices("abcdefghij klmnopqrst", k=max(1, size - 400)))
        yield _encoded(CUSTOM_EVENT, {**record, "properties": orjson.dumps({"text": text}).decode()}, number)


def _encoded(event_type: str, record: Mapping[str, Any], number: int) -> Record:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    return b"%d" % (number % 997), encode_single_object(schema, record)

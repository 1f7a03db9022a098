"""An inlet from a folder against a bare loop: fastavro's block reader, each record cut out and produced as it stands.

`python -m tests.bench.ingest ours CONFIG INLET RECORDS`, or `… bare BOOTSTRAP TOPIC FOLDER`.
"""

from __future__ import annotations

import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fastavro
import orjson
from confluent_kafka import Producer

from streams.adapters.telemetry.log import configure_log
from streams.config import load
from streams.events.encodings import single_object_header
from streams.events.schemas import writer_schema
from tests.bench.measurement import report

if TYPE_CHECKING:
    from tests.bench.__main__ import Bench
    from tests.bench.measurement import Measurement

RECORDS_PER_TRANSACTION = 2_000
RECORDS_PER_FILE = 15_000
"""Braze writes a file of so many events, or each five minutes."""
EVENT_TYPE = "users.messages.email.Open"


def write_files(folder: Path, records: int) -> None:
    """Files as Braze names them, with sample events of one type."""
    from datetime import UTC, datetime

    from streams.events.samples import sample_events
    from streams.events.schemas import shipped

    schema = shipped().by_event_type(EVENT_TYPE)
    assert schema is not None
    hour = datetime.now(UTC).strftime("%Y-%m-%d-%H")
    place = folder / f"dataexport.bench.S3.integration.1/event_type={EVENT_TYPE}/date={hour}/version=1/prod"
    place.mkdir(parents=True)
    samples = sample_events(records, seed=1, now_s=int(time.time()), event_types=[EVENT_TYPE])
    values = [event.value[10:] for event in samples]
    for start in range(0, records, RECORDS_PER_FILE):
        part = values[start : start + RECORDS_PER_FILE]
        events = [fastavro.schemaless_reader(BytesIO(value), schema.parsed, None) for value in part]
        with (place / f"bench+0+{start}.avro").open("wb") as file:
            fastavro.writer(file, schema.parsed, events)


def ours(config: Path, name: str, records: int) -> None:
    """The real inlet from the real composition, until it has taken so many records."""
    from streams.cli.assembly.inlet import inlets
    from streams.cli.assembly.observation import observed
    from streams.cli.assembly.processes import named

    configure_log("json", "error")
    settings = load(config)
    stop = threading.Event()
    with (
        named("ingest") as instance,
        observed("ingest", 0, instance) as observation,
        inlets(settings, [name], observation, instance) as run,
    ):
        loop = run.args[0][0].loop  # type: ignore[attr-defined]
        started: list[tuple[float, float]] = []

        def watch() -> None:
            while not stop.wait(0.02):
                lease = loop.lease
                if lease is not None and not started:
                    started.append((time.process_time(), time.monotonic()))
                if lease is not None and lease.view.head.counts.records >= records:
                    stop.set()

        threading.Thread(target=watch, daemon=True).start()
        run(stop)
        report(started[0])


def bare(bootstrap: str, topic: str, folder: Path) -> None:
    """The same files, in transactions of as many records. It remembers nothing and checks nothing."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": uuid4().hex,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    started = (time.process_time(), time.monotonic())
    for path in sorted(folder.rglob("*.avro")):
        with path.open("rb") as file:
            blocks: Any = fastavro.block_reader(file)
            schema = writer_schema(orjson.loads(blocks.metadata["avro.schema"]))
            header, count = single_object_header(schema), 0
            producer.begin_transaction()
            for block in blocks:
                content = block.bytes_.getvalue()
                stream, start = BytesIO(content), 0
                for _ in range(block.num_records):
                    record: Any = fastavro.schemaless_reader(stream, schema.parsed, None)
                    end = stream.tell()
                    key = (record.get("external_user_id") or record.get("user_id") or "").encode()
                    producer.produce(topic, header + content[start:end], key)
                    start, count = end, count + 1
                    if count % RECORDS_PER_TRANSACTION == 0:
                        producer.commit_transaction(30)
                        producer.begin_transaction()
            producer.commit_transaction(30)
    report(started)


def ingest_row(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our inlet and the bare loop, in turn, from one folder to a topic each."""
    folder = bench.folder / "bucket"
    write_files(folder, bench.records)
    ratios, of_ours, of_bare = [], [], []
    for number in range(rounds):
        prefix = f"i{bench.tag}{number}."
        source = f"currents-{bench.tag}-{number}."
        inlet = {"kind": "storage", "url": f"file://{folder}", "scratch": str(bench.folder / "inlet-scratch")}
        connectors = {"one": {"destination": "mixpanel", "project_token": "0" * 32}}
        config = bench.configuration(prefix, connectors, source, inlets={"bucket": inlet})
        bench.topic(f"{source}{EVENT_TYPE}")
        of_ours.append(bench.finished("ingest", "ours", str(config), "bucket", bench.count))
        topic = bench.topic(f"bare-{bench.tag}-{number}")
        of_bare.append(bench.finished("ingest", "bare", bench.bootstrap, topic, str(folder)))
        ratios.append(bench.per_cpu_second(of_ours[-1]) / bench.per_cpu_second(of_bare[-1]))
    return ratios, of_ours, of_bare


if __name__ == "__main__":
    who, *rest = sys.argv[1:]
    if who == "ours":
        ours(Path(rest[0]), rest[1], int(rest[2]))
    else:
        bare(rest[0], rest[1], Path(rest[2]))

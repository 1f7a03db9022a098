"""`streams run ingest` on Apache Kafka: files of a bucket reach their topic, each record once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from streams.testing.brokers import Broker
from tests.cli.files import opens, write_avro
from tests.inlets.gate import gate
from tests.inlets.stage import Inlet, key
from tests.inlets.stores import s3_client, s3_options, s3_server
from tests.waiting import wait_until

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]


@pytest.fixture
def inlet(kafka: Broker, tmp_path: Path) -> Iterator[Inlet]:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path)
    yield inlet
    inlet.stop()


def put(inlet: Inlet, name: str, count: int, *, back: int = 0, version: int = 3, tag: str = "") -> list[str]:
    """A file that appears at once, as in a bucket; returns the ids of its records."""
    records = opens(count, tag or name)
    whole = write_avro(inlet.folder / "made" / name, records)
    path = inlet.bucket / key(name, back=back, version=version)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.rename(path)
    return [record["id"] for record in records]


def test_files_that_are_there_and_files_that_come_reach_their_topic_once(inlet: Inlet) -> None:
    ids = put(inlet, "a+0+9.avro", 300) + put(inlet, "a+0+10.avro", 20, back=30)
    process = inlet.start()
    inlet.await_records(len(ids))
    ids += put(inlet, "a+0+11.avro", 40) + put(inlet, "a+0+2.avro", 50) + put(inlet, "b+0+1.avro", 60, version=4)
    assert sorted(inlet.await_records(len(ids))) == sorted(ids)
    names = ("a+0+9.avro", "a+0+10.avro", "a+0+11.avro", "a+0+2.avro", "b+0+1.avro")
    # The last record of a file may be written before the word that the file is done.
    wait_until(lambda: inlet.states() == dict.fromkeys(names, "done"), "all files to be done")
    process.stop()
    inlet.start()
    ids += put(inlet, "c+0+1.avro", 5)
    assert sorted(inlet.await_records(len(ids))) == sorted(ids)


def test_a_stand_by_takes_over_from_a_killed_process(inlet: Inlet) -> None:
    ids = put(inlet, "a.avro", 100)
    first = inlet.start("one")
    inlet.await_records(len(ids))
    second = inlet.start("two")
    wait_until(lambda: inlet.members() == 2, "the second one stands by", 100)
    before = inlet.head()
    assert (before["instance"], "inlet starts" in second.log.read_text()) == ("one", False)
    first.kill()
    ids += put(inlet, "b.avro", 100)
    assert sorted(inlet.await_records(len(ids), 100)) == sorted(ids)
    after = inlet.head()
    assert (after["instance"], after["term"]) == ("two", before["term"] + 1)
    assert "inlet starts" in second.log.read_text()


def commanded(inlet: Inlet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", "inlets", *arguments, "--config", str(inlet.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def listed(inlet: Inlet) -> dict[str, Any]:
    """The inlet as `streams inlets list` tells it."""
    process = commanded(inlet, "list", "-o", "json")
    assert process.returncode == 0, process.stderr
    (one,) = json.loads(process.stdout)["inlets"]
    return dict(one)


def cut(inlet: Inlet, name: str) -> str:
    """A file whose end is missing; its key, which tells the hour."""
    put(inlet, name, 400)
    (path,) = inlet.bucket.rglob(name)
    path.write_bytes(path.read_bytes()[:-200])
    return str(path.relative_to(inlet.bucket))


def test_a_person_sees_a_parked_file_salvages_it_and_the_audit_tells(kafka: Broker, tmp_path: Path) -> None:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, damaged_after="1s")
    cut_off = cut(inlet, "a.avro")
    before = commanded(inlet, "list", "-o", "json")
    assert json.loads(before.stdout)["inlets"][0]["state"] == "new", before.stderr
    inlet.start("one")
    try:
        wait_until(lambda: inlet.progress().get("a.avro", {}).get("state") == "parked", "the file is parked")
        told = listed(inlet)
        assert (told["state"], told["active_instance"], told["taken"]) == ("active", "one", 0)
        (parked,) = told["parked"]
        assert parked["key"] == cut_off
        assert "cut-off block" in parked["reason"]
        assert parked["since"]
        assert told.keys() >= {"oldest_pending_seconds", "pending", "rewritten", "copies", "lost", "ignored"}
        shown = commanded(inlet, "show", "bucket")
        assert (shown.returncode, "parked" in shown.stdout) == (0, True), shown.stderr
        unknown = commanded(inlet, "show", "pail")
        assert (unknown.returncode, "there is no storage inlet pail; there are: bucket" in unknown.stderr) == (2, True)
        assert commanded(inlet, "retry", "bucket", cut_off).returncode == 2, "nobody said why"
        parked_at = inlet.progress()["a.avro"]["since"]
        again = commanded(inlet, "retry", "bucket", cut_off, "--reason", "Braze wrote it again")
        assert again.returncode == 0, again.stderr

        def is_parked_again() -> bool:
            entry = inlet.progress()["a.avro"]
            return (entry["state"], entry.get("since", 0) > parked_at) == ("parked", True)

        wait_until(is_parked_again, "the file is parked again")
        wrong = commanded(inlet, "skip", "bucket", "nothing", "--reason", "x")
        assert (wrong.returncode, cut_off in wrong.stderr) == (3, True)
        done = commanded(inlet, "skip", "bucket", cut_off, "--salvage", "--reason", "Braze lost the rest")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: inlet.progress()["a.avro"]["state"] == "skipped", "the file is salvaged")
        taken = inlet.ids()
        assert sorted(taken) == sorted(f"a.avro-{number}" for number in range(len(taken)))
        assert 0 < len(taken) < 400
        inlet.values(f"{inlet.prefix}audit")  # from here on its newest lines are readable
        command = [sys.executable, "-m", "streams", "audit", "bucket", "-o", "json", "--config", str(inlet.config)]
        audit = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert "Braze lost the rest" in audit.stdout, audit.stderr
        assert "Braze wrote it again" in audit.stdout
        assert f'"records":{len(taken)}' in audit.stdout
    finally:
        inlet.stop()


@pytest.mark.chaos
def test_killed_and_refused_at_random_under_a_growing_bucket_each_record_arrives_once(
    kafka: Broker, tmp_path: Path
) -> None:
    """Late files, unpadded names, new version folders, rewritten, cut off and copied ones; two processes that are
    killed; and a bucket of S3 that answers 403 for a while."""
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids = set[str]()
    with s3_server(tmp_path) as server, gate(server) as store:
        bucket = s3_client(server, "exports")
        options = json.dumps(s3_options(store.address))
        inlet = Inlet(kafka.bootstrap_servers, tmp_path, "s3://exports/braze", options)

        def put(name: str, content: bytes) -> None:
            obstore.put(bucket, f"braze/{name}", content)

        processes = [inlet.start("one"), inlet.start("two")]
        try:
            for number in range(24):
                name = f"a+{chance.randrange(3)}+{number}.avro"
                place = key(name, back=chance.choice([0, 0, 1, 5, 100]), version=chance.choice([3, 9, 10]))
                records = opens(chance.randrange(1, 6_000), f"f{number}")
                whole = write_avro(tmp_path / "made" / name, records).read_bytes()
                match chance.randrange(6):
                    case 0:
                        put(place, whole[: len(whole) // 2])
                        time.sleep(chance.uniform(0, 3))
                    case 1:
                        put(place, whole)
                        records = opens(7_000, f"f{number}")
                        whole = write_avro(tmp_path / "made" / name, records).read_bytes()
                    case 2:
                        put(f"{place.removesuffix(name)}copy-{name}", whole)
                    case _:
                        time.sleep(chance.uniform(0, 1))
                put(place, whole)
                ids |= {record["id"] for record in records}
                if chance.random() < 0.5:
                    victim = chance.randrange(2)
                    processes[victim].kill()
                    processes[victim] = inlet.start(("one", "two")[victim])
                if number % 8 == 4:
                    store.shut()
                elif store.refused and chance.random() < 0.5:
                    store.open()
            store.shut()
            refused = store.refused
            wait_until(lambda: store.refused > refused, f"the store refuses a process, seed {seed}", 200)
            store.open()
            for process in processes:
                process.kill()
            inlet.start("three")  # lists the look-back first, so that late files need not wait for their turn
            wait_until(lambda: len(set(inlet.ids())) >= len(ids), f"all records, seed {seed}", 150)
            found = inlet.ids()
            assert (len(found), set(found)) == (len(ids), ids)
            assert inlet.head()["counts"]["lost"] == 0
        finally:
            inlet.stop()

"""`streams ingest` and `streams run ingest` on one S3 bucket (moto over HTTP): no record comes twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from streams.testing.brokers import Broker
from tests.cli.files import opens, write_avro
from tests.inlets.stage import Inlet, key
from tests.inlets.stores import s3_client, s3_options, s3_server
from tests.waiting import wait_until

pytestmark = pytest.mark.apache


def commanded(inlet: Inlet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", *arguments, "--config", str(inlet.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_by_hand_and_service_know_each_others_files(kafka: Broker, tmp_path: Path) -> None:
    with s3_server(tmp_path) as endpoint:
        client = s3_client(endpoint, "exports")
        options = json.dumps(s3_options(endpoint))
        inlet = Inlet(kafka.bootstrap_servers, tmp_path, url="s3://exports/braze", options=options)

        def put(name: str, count: int) -> None:
            path = write_avro(tmp_path / name, opens(count, name))
            obstore.put(client, f"braze/{key(name)}", path.read_bytes())

        empty = commanded(inlet, "ingest", "s3://exports/braze")
        assert (empty.returncode, "no Avro, gzip or zip files in s3://exports/braze" in empty.stderr) == (3, True)
        put("a.avro", 300)
        by_hand = commanded(inlet, "ingest", "s3://exports/braze", "-o", "json")
        assert by_hand.returncode == 0, by_hand.stderr
        assert json.loads(by_hand.stdout)["records"] == 300
        inlet.start()
        try:
            put("b.avro", 50)
            inlet.await_records(350)
            wait_until(lambda: inlet.states() == dict.fromkeys(("a.avro", "b.avro"), "done"), "both are known")
            again = commanded(inlet, "ingest", "s3://exports/braze", "-o", "json")
            told = json.loads(again.stdout)
            assert (told["records"], told["files_before"]) == (0, 2), again.stderr
            found = commanded(inlet, "doctor", "-o", "json")
            looked = [one for one in json.loads(found.stdout)["findings"] if one["what"] == "inlet bucket"]
            assert [one["detail"] for one in looked] == ["s3://exports/braze can be listed and read"], found.stdout
        finally:
            inlet.stop()
        assert len(inlet.ids()) == len(set(inlet.ids())) == 350

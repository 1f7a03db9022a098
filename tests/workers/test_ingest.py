"""Ingest: each record of each file onto its topic once, whatever happens in between."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

from streams.adapters.files.currents import Export, NoSuchFile, exports, find
from streams.events.schemas import writer_schema
from streams.operations.ingest.places import place_of
from streams.ports.errors import TransactionAborted
from streams.testing.ports import FakeKafka, FakeMessage, FakeTransactions
from streams.workers.ingest import (
    BATCH_RECORDS_MAX,
    Broken,
    Ingest,
    Outcome,
    Progress,
    Target,
    record_key,
    restamped,
)
from tests.cli.files import OPEN_SCHEMA, opens, write_avro

TOPIC = "currents.users.messages.email.Open"
NOW_MS = 1_800_000_000_000
FINGERPRINT = writer_schema(OPEN_SCHEMA).fingerprint


class Harness:
    """A fake Kafka and what an ingest needs to write to it."""

    def __init__(self) -> None:
        self.kafka = FakeKafka()
        self.target = Target(
            place_of=lambda file: place_of(file, "currents."),
            is_known=lambda _fingerprint: False,
            state_topic="state",
            schemas_topic="schemas",
        )

    def ingest(self, *paths: Path, transactions: Any = None, **options: Any) -> Outcome:
        loop = Ingest(
            self.target,
            transactions or FakeTransactions(self.kafka),
            self.progress(),
            monotonic=lambda: 0.0,
            now_ms=options.pop("now_ms", NOW_MS),
            **options,
        )
        return loop.run(_readable(find([str(path) for path in paths]).files))

    def progress(self) -> dict[str, Progress]:
        return {
            message.key().decode(): Progress.from_json(message.value() or b"")  # type: ignore[union-attr]
            for message in self.kafka.read("state")
        }

    def records(self, topic: str = TOPIC) -> list[dict[str, Any]]:
        return [_decoded(message) for message in self.kafka.read(topic)]

    def ids(self) -> list[str]:
        return [record["id"] for record in self.records()]


def _readable(files: list[Path]) -> Iterator[Export]:
    for file in files:
        for export in exports(file):
            assert isinstance(export, Export)
            yield export


def _decoded(message: FakeMessage) -> dict[str, Any]:
    value = message.value() or b""
    assert value[:2] == b"\xc3\x01"
    assert value[2:10] == FINGERPRINT
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), OPEN_SCHEMA, None)
    return dict(record)


class KilledTransactions(FakeTransactions):
    """A process that dies in its commit number `commits_left` + 1: nothing of that transaction stays."""

    def __init__(self, kafka: FakeKafka, commits_left: int) -> None:
        super().__init__(kafka)
        self.commits_left = commits_left

    def commit(self, positions: Any, consumer: Any) -> None:
        if self.commits_left == 0:
            raise KeyboardInterrupt
        self.commits_left -= 1
        super().commit(positions, consumer)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_every_record_arrives_byte_for_byte_in_the_order_of_the_file(harness: Harness, tmp_path: Path) -> None:
    records = opens(1_000)
    outcome = harness.ingest(write_avro(tmp_path / "a.avro", records))
    assert harness.records() == records
    assert outcome.records == 1_000
    assert outcome.topics == {TOPIC: 1_000}
    assert [message.key() for message in harness.kafka.read(TOPIC)][:3] == [b"person-0", b"person-1", b"person-2"]


def test_a_schema_that_is_not_shipped_is_written_once_before_its_first_record(harness: Harness, tmp_path: Path) -> None:
    harness.ingest(write_avro(tmp_path / "a.avro", opens(3)), write_avro(tmp_path / "b.avro", opens(3, "other")))
    (message,) = harness.kafka.read("schemas")
    assert message.key() == writer_schema(OPEN_SCHEMA).fingerprint.hex().encode()
    assert orjson.loads(message.value() or b"")["fields"] == OPEN_SCHEMA["fields"]


def test_what_was_ingested_is_not_ingested_again(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(10))
    harness.ingest(path)
    outcome = harness.ingest(path)
    assert (outcome.records, outcome.records_before, outcome.files_before) == (0, 10, 1)
    assert len(harness.ids()) == 10


def test_the_same_bytes_under_another_name_or_compressed_are_the_same_file(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(10))
    (tmp_path / "copy.avro").write_bytes(path.read_bytes())
    with gzip.open(tmp_path / "a.avro.gz", "wb") as file:
        file.write(path.read_bytes())
    harness.ingest(tmp_path)
    assert len(harness.ids()) == 10


@pytest.mark.parametrize("commits", [0, 1, 2, 3])
def test_killed_in_any_commit_and_started_again_each_record_arrives_once(
    harness: Harness, tmp_path: Path, commits: int
) -> None:
    first = write_avro(tmp_path / "a.avro", opens(2 * BATCH_RECORDS_MAX + 500, "a"))
    second = write_avro(tmp_path / "b.avro", opens(BATCH_RECORDS_MAX, "b"))
    with pytest.raises(KeyboardInterrupt):
        harness.ingest(first, second, transactions=KilledTransactions(harness.kafka, commits))
    partial = len(harness.ids())
    outcome = harness.ingest(first, second)
    ids = harness.ids()
    assert partial == commits * BATCH_RECORDS_MAX
    assert len(ids) == len(set(ids)) == 3 * BATCH_RECORDS_MAX + 500
    assert outcome.records + partial == len(ids)
    assert ids[: 2 * BATCH_RECORDS_MAX + 500] == [record["id"] for record in opens(2 * BATCH_RECORDS_MAX + 500, "a")]


def test_a_refused_transaction_leaves_nothing_behind(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(10))
    harness.kafka.refuse_commits = 1
    with pytest.raises(TransactionAborted):
        harness.ingest(path)
    assert harness.ids() == []
    assert harness.ingest(path).records == 10


def test_a_label_ingests_the_same_file_once_more_and_only_once(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(10))
    for again in ("", "second", "second"):
        harness.ingest(path, again=again)
    assert len(harness.ids()) == 20


def test_restamped_events_have_ids_of_their_own_and_times_within_the_hour(harness: Harness, tmp_path: Path) -> None:
    records = [{**record, "id": "same", "time": 2_033_802_504} for record in opens(500)]
    harness.ingest(write_avro(tmp_path / "a.avro", records), restamp=True)
    stamped = harness.records()
    assert len({record["id"] for record in stamped}) == 500
    assert all(NOW_MS / 1000 - 3600 <= record["time"] <= NOW_MS / 1000 for record in stamped)
    assert len({record["time"] for record in stamped}) == 500
    assert [record["external_user_id"] for record in stamped] == [record["external_user_id"] for record in records]


def test_restamping_goes_on_as_it_began(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(BATCH_RECORDS_MAX + 10))
    undisturbed = Harness()
    undisturbed.ingest(path, restamp=True)
    with pytest.raises(KeyboardInterrupt):
        harness.ingest(path, restamp=True, transactions=KilledTransactions(harness.kafka, 1))
    harness.ingest(path, restamp=True, now_ms=NOW_MS + 86_400_000)
    assert harness.records() == undisturbed.records()


def test_files_are_read_through_gzip_and_zip(harness: Harness, tmp_path: Path) -> None:
    plain = write_avro(tmp_path / "in" / "a.avro", opens(10, "a")).read_bytes()
    other = write_avro(tmp_path / "in" / "b.avro", opens(10, "b")).read_bytes()
    with zipfile.ZipFile(tmp_path / "out.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("event_type=x/a.avro", plain)
        archive.writestr("b.avro.gz", gzip.compress(other))
        archive.writestr("README.txt", "no events")
    outcome = harness.ingest(tmp_path / "out.zip")
    assert (outcome.files, outcome.records) == (2, 20)
    assert len(set(harness.ids())) == 20


DAMAGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("cut off", lambda content: content[: len(content) * 2 // 3]),
    ("sync marker overwritten", lambda content: content[:-200] + bytes(200)),
    ("bytes flipped", lambda content: content[: len(content) // 2] + b"\xff" * 64 + content[len(content) // 2 + 64 :]),
    ("header cut off", lambda content: content[:40]),
]


@pytest.mark.parametrize(("damage"), [damage for _, damage in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_a_damaged_file_is_named_with_its_record_and_the_rest_goes_on(
    harness: Harness, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    good = write_avro(tmp_path / "z.avro", opens(10, "good"))
    bad = write_avro(tmp_path / "a.avro", opens(2_000, "bad"), codec="null")
    bad.write_bytes(damage(bad.read_bytes()))
    outcome = harness.ingest(bad, good)
    (failure,) = outcome.failures
    assert failure.file == str(bad)
    taken = [number for number in harness.ids() if number.startswith("bad")]
    assert taken == [record["id"] for record in opens(len(taken), "bad")]
    if failure.record is not None:
        assert failure.record == len(taken) + 1
    assert [number for number in harness.ids() if number.startswith("good")] == [f"good-{n}" for n in range(10)]
    assert harness.ingest(bad, good).records == 0


def test_a_record_that_no_topic_takes_is_named_and_the_rest_goes_on(harness: Harness, tmp_path: Path) -> None:
    records = opens(3)
    records[1]["subject_of_tests"] = "x" * 2_000_000
    harness.kafka.topic_bytes_max[TOPIC] = 2_000_000
    outcome = harness.ingest(write_avro(tmp_path / "a.avro", records))
    (failure,) = outcome.failures
    assert failure.record == 2
    assert harness.ids() == ["event-0", "event-2"]


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ({"external_user_id": "e", "user_id": "u"}, b"e"),
        ({"external_user_id": None, "user_id": "u"}, b"u"),
        ({"external_user_id": "", "user_id": "u"}, b"u"),
        ({"user_id": "ü"}, "ü".encode()),
        ({"id": "i"}, None),
    ],
)
def test_the_key_is_the_external_user_id_else_the_user_id(record: dict[str, Any], key: bytes | None) -> None:
    assert record_key(record) == key


def test_restamping_touches_only_what_the_event_has() -> None:
    assert restamped({"id": "a", "time": 5, "x": 1}, "name", 0, NOW_MS).keys() == {"id", "time", "x"}
    stamped = restamped({"id": "a", "time": 5, "time_ms": 5_000}, "name", 7, NOW_MS)
    assert stamped["time_ms"] == stamped["time"] * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/x.avro", "b/y.avro.gz", "a.zip", "notes.txt", ".hidden/z.avro", "_SUCCESS"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_a_folder_gives_its_files_at_any_depth_in_a_stable_order(folder: Path) -> None:
    assert [path.name for path in find([str(folder)]).files] == ["a.zip", "x.avro", "y.avro.gz"]


def test_globs_and_repeated_paths_give_each_file_once(folder: Path) -> None:
    found = find([str(folder / "b" / "*.avro"), str(folder / "**" / "*.avro"), str(folder / "b" / "x.avro")])
    assert [path.name for path in found.files] == ["x.avro"]


@pytest.mark.parametrize("path", ["/nowhere/at/all.avro", "/nowhere/*.avro", "s3://bucket/key"])
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(NoSuchFile, match=path.replace("*", r"\*")):
        find([path])


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04 no zip", gzip.compress(b"no avro", mtime=0), b"\x1f\x8bno gzip"]
)
def test_a_file_that_is_no_export_is_broken_and_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.avro"
    path.write_bytes(content)
    (found,) = exports(path)
    assert isinstance(found, Broken)
    assert found.reason


SPARK = {**OPEN_SCHEMA, "name": "topLevelRecord"}
"""What Spark writes: the fields, under a name of its own."""


def test_a_file_that_another_program_wrote_again_goes_as_its_path_says(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "event_type=users.messages.email.Open" / "date=2026-11-28-10" / "part-0.avro"
    outcome = harness.ingest(write_avro(path, opens(3), SPARK))
    assert (outcome.failures, outcome.topics) == ([], {TOPIC: 3})
    (schema,) = harness.kafka.read("schemas")
    known = writer_schema(orjson.loads(schema.value() or b""))
    assert known.event_type == "users.messages.email.Open"
    values = [message.value() or b"" for message in harness.kafka.read(TOPIC)]
    assert {value[2:10] for value in values} == {known.fingerprint}


def test_a_file_that_nothing_names_is_refused_and_says_what_would_be_right(harness: Harness, tmp_path: Path) -> None:
    outcome = harness.ingest(write_avro(tmp_path / "part-0.avro", opens(3), SPARK))
    (failure,) = outcome.failures
    assert "topLevelRecord" in failure.reason
    assert "event_type=<type>" in failure.reason
    assert outcome.records == 0


def test_an_event_type_that_is_newer_than_the_catalogue_is_taken(harness: Harness, tmp_path: Path) -> None:
    schema = {**OPEN_SCHEMA, "name": "dataexport.S3.inner.users.messages.hologram.Open"}
    outcome = harness.ingest(write_avro(tmp_path / "a.avro", opens(1), schema))
    assert outcome.topics == {"currents.users.messages.hologram.Open": 1}


def test_a_byte_that_is_no_utf8_costs_nothing(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(10), codec="null")
    path.write_bytes(path.read_bytes().replace(b"person-3", b"person\xff3").replace("ä".encode(), b"\xe4\xe4"))
    outcome = harness.ingest(path)
    assert (outcome.records, outcome.failures) == (10, [])
    messages = harness.kafka.read(TOPIC)
    assert messages[3].key() == b"person\xff3"
    assert b"\xe4\xe4" in (messages[2].value() or b""), "bytes go as they stand"


def test_a_byte_that_is_no_utf8_is_replaced_where_a_record_is_written_anew(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(4), codec="null")
    path.write_bytes(path.read_bytes().replace(b"person-3", b"person\xff3"))
    assert harness.ingest(path, restamp=True).failures == []
    assert harness.records()[3]["external_user_id"] == "person\ufffd3"


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_every_codec_of_avro_is_read(harness: Harness, tmp_path: Path, codec: str) -> None:
    assert harness.ingest(write_avro(tmp_path / "a.avro", opens(100), codec=codec)).failures == []
    assert harness.records() == opens(100)


@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_a_damaged_block_of_any_codec_is_named(harness: Harness, tmp_path: Path, codec: str) -> None:
    path = write_avro(tmp_path / "a.avro", opens(100), codec=codec)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff" * 40 + content[len(content) // 2 + 40 :])
    (failure,) = harness.ingest(path).failures
    assert failure.record is not None


def named_codec(path: Path, codec: str) -> Path:
    """A file whose header names this codec."""
    content = write_avro(path, opens(3), codec="null").read_bytes()
    path.write_bytes(content.replace(b"\x08null", bytes([2 * len(codec)]) + codec.encode()))
    return path


def test_a_codec_that_avro_does_not_know_is_named_with_those_that_it_does(harness: Harness, tmp_path: Path) -> None:
    (failure,) = harness.ingest(named_codec(tmp_path / "a.avro", "brotli")).failures
    assert "'brotli', which is none of Avro's: null, deflate, bzip2, xz, snappy, zstandard" in failure.reason


def test_a_codec_without_its_library_is_named_with_the_command_to_type(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.events.encodings.CODECS", {"snappy": ("not_installed_here",)})
    (failure,) = harness.ingest(named_codec(tmp_path / "a.avro", "snappy")).failures
    assert failure.reason == "its codec is snappy, which needs a library: pip install 'currents-streams[codecs]'"


def test_somebody_stops_it_and_it_goes_on_where_it_stopped(harness: Harness, tmp_path: Path) -> None:
    path = write_avro(tmp_path / "a.avro", opens(BATCH_RECORDS_MAX + 10))
    outcome = harness.ingest(path, write_avro(tmp_path / "b.avro", opens(1, "b")), is_stopped=lambda: True)
    assert (outcome.is_stopped, outcome.records) == (True, 0)
    outcome = harness.ingest(path, is_stopped=iter([False, True]).__next__)
    assert (outcome.is_stopped, outcome.records, len(harness.ids())) == (True, BATCH_RECORDS_MAX, BATCH_RECORDS_MAX)
    assert harness.ingest(path).records == 10


def names(paths: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_links_are_followed_once_and_one_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    write_avro(folder / "a.avro", opens(1))
    write_avro(tmp_path / "far" / "b.avro", opens(2))
    (folder / "linked").symlink_to(tmp_path / "far")
    (folder / "again").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "round").symlink_to(folder)
    (folder / "gone.avro").symlink_to(tmp_path / "nowhere")
    found = find([str(folder)])
    assert [path.name for path in found.files] == ["a.avro", "b.avro"]
    assert [(each.name, each.reason) for each in found.broken] == [
        (str(folder / "gone.avro"), "is a link that leads nowhere")
    ]


def test_a_linked_folder_keeps_the_name_that_says_the_event_type(harness: Harness, tmp_path: Path) -> None:
    write_avro(tmp_path / "far" / "b.avro", opens(2), SPARK)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "event_type=users.messages.email.Open").symlink_to(tmp_path / "far")
    assert harness.ingest(tmp_path / "exports").topics == {TOPIC: 2}


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_avro(tmp_path / "a.avro", opens(1))
    write_avro(tmp_path / "closed" / "b.avro", opens(1))
    entries = Path.iterdir

    def refused(folder: Path) -> Iterator[Path]:
        # Tests often run as root, whom no permission keeps out.
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return entries(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    found = find([str(tmp_path)])
    assert names(found.files, tmp_path) == ["a.avro"]
    assert found.broken == [Broken(str(tmp_path / "closed"), "cannot be read: Permission denied")]


def test_files_without_a_name_of_theirs_are_known_by_their_first_bytes_and_others_are_named(tmp_path: Path) -> None:
    write_avro(tmp_path / "part-0", opens(1))
    (tmp_path / "README.txt").write_text("no events")
    found = find([str(tmp_path)])
    assert names(found.files, tmp_path) == ["part-0"]
    assert found.passed_over == [str(tmp_path / "README.txt")]


def test_a_glob_that_matches_folders_takes_what_is_in_them(tmp_path: Path) -> None:
    write_avro(tmp_path / "day-1" / "a.avro", opens(1))
    write_avro(tmp_path / "day-2" / "b.avro", opens(1))
    assert names(find([str(tmp_path / "day-*")]).files, tmp_path) == ["day-1/a.avro", "day-2/b.avro"]


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_an_archive_made_by_macos_holds_its_files_and_nothing_broken(harness: Harness, tmp_path: Path) -> None:
    content = write_avro(tmp_path / "a.avro", opens(2)).read_bytes()
    fork = b"\0\5\x16\7" + bytes(80)
    path = zipped(tmp_path / "x.zip", **{"x/f.avro": content, "__MACOSX/x/._f.avro": fork, "x/._f.avro": fork})
    outcome = harness.ingest(path)
    assert (outcome.records, outcome.failures) == (2, [])


def test_an_archive_made_on_windows_says_event_types_by_backslashes(harness: Harness, tmp_path: Path) -> None:
    content = write_avro(tmp_path / "a.avro", opens(2), SPARK).read_bytes()
    name = "x\\event_type=users.messages.email.Open\\date=2026-11-28-10\\f.avro"
    assert harness.ingest(zipped(tmp_path / "x.zip", **{name: content})).topics == {TOPIC: 2}


def test_a_file_of_an_archive_that_cannot_be_opened_costs_nothing_but_itself(tmp_path: Path) -> None:
    content = write_avro(tmp_path / "a.avro", opens(2)).read_bytes()
    path = zipped(tmp_path / "x.zip", **{"1.avro": content, "2.avro": content + b" ", "3.avro": content})
    # The flag of encryption, in the second file's entry of the directory at the archive's end.
    packed = bytearray(path.read_bytes())
    second = packed.index(b"PK\x01\x02", packed.index(b"PK\x01\x02") + 1)
    packed[second + 8] |= 1
    path.write_bytes(packed)
    found = [
        (type(each).__name__, each.name.partition("!")[2])
        for each in exports(path)
        if isinstance(each, Export | Broken)
    ]
    assert found == [("Export", "1.avro"), ("Broken", "2.avro"), ("Export", "3.avro")]

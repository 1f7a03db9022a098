"""An inlet on fakes: what it finds, what it takes, and what it does about files that are damaged or changed."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from streams.events.encodings import CODECS
from streams.inlets.inlet_view import Start
from streams.inlets.progress import State, What
from streams.ports.errors import StoreForbidden, StoreThrottled, StoreUnreachable
from streams.state.audit import InletOrdered
from streams.workers.ingest import Progress
from tests.inlets.desk import DAMAGED_AFTER, DAY, LOOKBACK, TOPIC, TOPICS, Desk, avro, events, ids_of, key


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def state(desk: Desk, name: str) -> State | None:
    entry = desk.entry(name)
    return None if entry is None else entry.state


# What it finds. Each of these was lost, or came twice, with other people's watchers.


def test_names_that_sort_before_what_was_taken_are_found(desk: Desk) -> None:
    """Offsets in names are not always padded: 10 sorts before 9."""
    desk.store.put(key("a+0+9.avro"), avro(events(3, "nine")))
    desk.run()
    desk.store.put(key("a+0+10.avro"), avro(events(3, "ten")))
    desk.poll()
    assert desk.ids == ids_of(events(3, "nine"), events(3, "ten"))


def test_a_new_version_folder_is_found(desk: Desk) -> None:
    desk.store.put(key("a.avro", version=9), avro(events(1, "v9")))
    desk.run()
    desk.store.put(key("a.avro", version=10), avro(events(1, "v10")))
    desk.poll()
    assert desk.ids == ["v9-0", "v10-0"]


def test_a_folder_that_is_not_the_last_one_is_still_followed(desk: Desk) -> None:
    desk.store.put(key("a.avro", "2026-11-24-11"), avro(events(1, "eleven")))
    desk.store.put(key("a.avro", "2026-11-24-12"), avro(events(1, "twelve")))
    desk.run()
    desk.store.put(key("b.avro", "2026-11-24-11"), avro(events(1, "late")))
    desk.poll()
    assert desk.ids == ["eleven-0", "twelve-0", "late-0"]


def test_a_new_event_type_is_found_at_the_next_poll(desk: Desk) -> None:
    desk.run()
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.poll()
    assert desk.ids == ids_of(events(2))


@pytest.mark.parametrize("hours", [5, 100, 190])
def test_a_file_that_comes_late_is_found_within_fifteen_minutes(desk: Desk, hours: int) -> None:
    desk.run()
    desk.clock.advance(hours * 3600)
    desk.run()
    desk.store.now_ms = desk.clock.epoch_ms()
    desk.store.put(key("late.avro"), avro(events(2)))
    desk.poll()
    if hours > 2:
        desk.poll(15 * 60)
    assert desk.ids == ids_of(events(2))


def test_a_file_that_comes_after_the_look_back_is_found_within_a_day(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(2, "a")))
    desk.run()
    desk.poll(LOOKBACK + DAY)
    desk.poll(DAY)
    assert desk.entry(key("a.avro")) is None, "the old hour is closed"
    desk.store.put(key("b.avro"), avro(events(2, "b")))
    desk.poll(DAY)
    assert desk.ids == ids_of(events(2, "a"), events(2, "b"))


def test_closed_hours_are_taken_once_by_whoever_takes_over(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(2, "a")))
    desk.run()
    desk.poll(LOOKBACK + DAY)
    desk.poll(DAY)
    desk.restart()
    desk.poll()
    desk.poll(2 * DAY)
    assert desk.ids == ids_of(events(2, "a"))


def test_another_layout_is_listed_whole(desk: Desk) -> None:
    name = f"2026/11/event_type={TOPIC.removeprefix('currents.')}/x.avro"
    desk.store.put(name, avro(events(1, "a")))
    desk.store.put("flat.avro", avro(events(1, "b")))
    desk.run()
    desk.store.put("another/place.avro", avro(events(1, "c")))
    desk.poll()
    assert sorted(desk.ids) == ["a-0", "b-0", "c-0"]
    desk.poll(LOOKBACK + 2 * DAY)
    desk.poll(2 * DAY)
    assert len(desk.ids) == 3


def test_what_is_no_currents_file_is_counted_and_left(desk: Desk) -> None:
    for name in ("_SUCCESS", "notes.txt", key(".hidden.avro"), key("part.tmp")):
        desk.store.put(name, b"no events")
    desk.run()
    assert (desk.ids, desk.lease.view.head.ignored, desk.store.reads) == ([], 4, [])


def test_gzip_and_zip_are_opened_and_all_their_files_taken(desk: Desk) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one.avro", avro(events(2, "one")))
        file.writestr("two.avro", avro(events(2, "two")))
    desk.store.put(key("a.avro.gz"), gzip.compress(avro(events(2, "packed"))))
    desk.store.put(key("b.zip"), archive.getvalue())
    desk.run()
    assert sorted(desk.ids) == sorted(ids_of(events(2, "packed"), events(2, "one"), events(2, "two")))


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_every_codec_is_taken_also_inside_gzip(desk: Desk, codec: str) -> None:
    desk.store.put(key("a.avro"), avro(events(30, "plain"), codec))
    desk.store.put(key("b.avro.gz"), gzip.compress(avro(events(30, "packed"), codec)))
    desk.run()
    assert sorted(desk.ids) == sorted(ids_of(events(30, "plain"), events(30, "packed")))


def test_a_codec_without_its_library_is_named_and_holds_back_no_other_and_is_taken_when_it_is_installed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr("streams.events.encodings.CODECS", {**CODECS, "snappy": ("not_installed_here",)})
        desk.store.put(key("a.avro"), avro(events(3, "snappy"), "snappy"))
        desk.store.put(key("b.avro"), avro(events(2, "b")))
        desk.run()
        desk.poll(DAMAGED_AFTER)
        entry = desk.entry(key("a.avro"))
        assert entry is not None
        assert (entry.state, desk.ids) == (State.PARKED, ids_of(events(2, "b")))
        assert entry.reason == "its codec is snappy, which needs a library: pip install 'currents-streams[codecs]'"
    desk.order(key("a.avro"), What.RETRY, "the library is installed")
    desk.poll()
    assert desk.ids == ids_of(events(2, "b"), events(3, "snappy"))


# Where it begins.


def test_from_now_on_means_the_hour_of_the_first_start_and_is_remembered(tmp_path: Path) -> None:
    desk = Desk(tmp_path, start=None)
    desk.store.put(key("old.avro", "2026-11-24-11"), avro(events(1, "old")))
    desk.store.put(key("new.avro", "2026-11-24-12"), avro(events(1, "new")))
    desk.store.put("old.avro", avro(events(1, "plain")), modified_ms=desk.clock.epoch_ms() - 1000)
    desk.run()
    desk.restart()
    desk.poll(3600)
    assert desk.ids == ["new-0"]


def test_it_begins_at_an_hour(tmp_path: Path) -> None:
    desk = Desk(tmp_path, start=Start("2026-11-20-00", 0))
    desk.store.put(key("old.avro", "2026-11-19-23"), avro(events(1, "old")))
    desk.store.put(key("new.avro", "2026-11-20-00"), avro(events(1, "new")))
    desk.run()
    assert desk.ids == ["new-0"]


# Each record once.


def test_identical_bytes_under_two_keys_are_taken_once(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(3)))
    desk.store.put(key("b.avro"), avro(events(3)))
    desk.store.put(key("c.avro.gz"), gzip.compress(avro(events(3))))
    desk.run()
    assert desk.ids == ids_of(events(3))
    assert desk.lease.view.head.counts.copies == 2


def test_what_was_ingested_by_hand_is_not_taken_again(desk: Desk) -> None:
    import hashlib

    content = avro(events(3))
    progress = Progress(3, True, 0).to_json("by hand")
    desk.kafka.write("streams.state", progress, f"ingest/{hashlib.sha256(content).hexdigest()}".encode(), [], 0)
    desk.store.put(key("a.avro"), content)
    desk.run()
    half = avro(events(4, "half"))
    progress = Progress(1, False, 0).to_json("by hand")
    desk.kafka.write("streams.state", progress, f"ingest/{hashlib.sha256(half).hexdigest()}".encode(), [], 0)
    desk.store.put(key("b.avro"), half)
    desk.poll()
    assert desk.ids == ids_of(events(3, "half", 1))


def test_a_file_that_grew_is_gone_on_with_behind_what_was_taken(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(100)))
    desk.run()
    desk.store.put(key("a.avro"), avro(events(250)))
    desk.poll()
    assert desk.ids == ids_of(events(250))
    assert desk.lease.view.head.counts.rewritten == 0


def test_other_records_under_the_same_name_are_all_taken_and_counted(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(100)))
    desk.run()
    desk.store.put(key("a.avro"), avro(events(120, "other")))
    desk.poll()
    assert desk.ids == ids_of(events(100), events(120, "other"))
    assert desk.lease.view.head.counts.rewritten == 1


@pytest.mark.parametrize("count", [1, 30, 64, 99])
def test_a_shorter_rewrite_adds_nothing_and_the_long_one_after_it_neither(desk: Desk, count: int) -> None:
    desk.store.put(key("a.avro"), avro(events(100)))
    desk.run()
    desk.store.put(key("a.avro"), avro(events(count)))
    desk.poll()
    desk.store.put(key("a.avro"), avro(events(130)))
    desk.poll()
    assert desk.ids == ids_of(events(130))


def test_the_same_bytes_written_again_add_nothing(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(5)))
    desk.run()
    desk.store.put(key("a.avro"), avro(events(5)), etag="another")
    desk.poll()
    assert desk.ids == ids_of(events(5))
    assert desk.lease.view.head.counts.copies == 0


def test_a_record_that_kafka_does_not_take_is_passed_and_the_others_are_taken(desk: Desk) -> None:
    large = {**events(1, "large")[0], "subject_of_tests": "x" * 5_000}
    desk.kafka.topic_bytes_max[TOPIC] = 2_000
    desk.store.put(key("a.avro"), avro([*events(20), large, *events(20, "behind")]))
    desk.store.put(key("b.avro"), avro(events(2, "b")))
    desk.run()
    assert sorted(desk.ids) == sorted(ids_of(events(20), events(20, "behind"), events(2, "b")))
    assert desk.lease.view.head.counts.passed == 1


# Damage.


def test_a_damaged_file_waits_and_is_parked_while_others_are_taken(desk: Desk) -> None:
    whole = avro(events(200))
    desk.store.put(key("a.avro"), whole[: len(whole) - 100])
    desk.store.put(key("b.avro"), avro(events(2, "b")))
    desk.run()
    assert (desk.ids, state(desk, key("a.avro"))) == (ids_of(events(2, "b")), State.DAMAGED)
    desk.poll(DAMAGED_AFTER - POLL_SECONDS)
    assert state(desk, key("a.avro")) is State.DAMAGED
    desk.restart()
    desk.poll(DAMAGED_AFTER)
    entry = desk.entry(key("a.avro"))
    assert entry is not None
    assert (entry.state, "block" in entry.reason) == (State.PARKED, True)
    assert desk.ids == ids_of(events(2, "b"))


POLL_SECONDS = 30.0


def test_a_correct_file_that_replaces_a_damaged_one_is_taken_by_itself(desk: Desk) -> None:
    """Google's storage may hold incomplete files that Braze replaces."""
    whole = avro(events(200))
    desk.store.put(key("a.avro"), whole[:2_000])
    desk.run()
    desk.store.put(key("a.avro"), whole)
    desk.poll()
    assert (desk.ids, state(desk, key("a.avro"))) == (ids_of(events(200)), State.DONE)


def test_a_damaged_file_of_an_earlier_day_that_is_replaced_while_nobody_looks_is_taken_by_the_next_process(
    desk: Desk,
) -> None:
    """What is remembered of it must not take the place of what the look-back lists."""
    old = key("a.avro", "2026-11-23-12")
    whole = avro(events(200))
    desk.store.put(old, whole[:2_000])
    desk.run()
    assert state(desk, old) is State.DAMAGED
    desk.clock.advance(DAMAGED_AFTER)
    desk.store.now_ms = desk.clock.epoch_ms()
    desk.store.put(old, whole)
    desk.restart()
    for _ in range(5):
        desk.listing_alone()  # the whole look-back, before anything is taken
    desk.run()
    assert (desk.ids, state(desk, old)) == (ids_of(events(200)), State.DONE)


def test_a_file_of_an_earlier_day_that_is_replaced_while_it_waits_is_taken_at_once(desk: Desk) -> None:
    """Only the look-back lists it, which is not due for a quarter of an hour."""
    old = key("a.avro", "2026-11-23-12")
    whole = avro(events(200))
    desk.store.put(old, whole[:2_000])
    desk.run()
    desk.poll(DAMAGED_AFTER - 60)
    desk.store.put(old, whole)
    desk.poll(60)
    assert (desk.ids, state(desk, old)) == (ids_of(events(200)), State.DONE)


def test_a_parked_file_that_is_replaced_is_taken_by_itself(desk: Desk) -> None:
    desk.store.put(key("a.avro"), b"Obj\x01 rubbish")
    desk.run()
    desk.poll(DAMAGED_AFTER)
    assert state(desk, key("a.avro")) is State.PARKED
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.poll()
    assert desk.ids == ids_of(events(2))


def test_a_file_larger_than_the_scratch_folder_may_hold_is_parked_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, scratch_max=1_000)
    desk.store.put(key("a.avro"), avro(events(200)))
    desk.store.put(key("b.avro"), avro(events(1, "b")))
    desk.run()
    assert (state(desk, key("a.avro")), desk.ids) == (State.PARKED, ["b-0"])


def parked(desk: Desk) -> bytes:
    """A file of 200 events that is cut off, and parked; returns its bytes."""
    whole = avro(events(200))
    cut = whole[: len(whole) - 100]
    desk.store.put(key("a.avro"), cut)
    desk.run()
    desk.poll(DAMAGED_AFTER)
    assert state(desk, key("a.avro")) is State.PARKED
    return cut


def test_a_person_lets_a_parked_file_be_read_again(desk: Desk) -> None:
    parked(desk)
    desk.order(key("a.avro"), What.RETRY, "the disk is fixed")
    desk.poll()
    assert state(desk, key("a.avro")) is State.DAMAGED
    (line,) = desk.audit()
    assert isinstance(line, InletOrdered)
    assert (line.what, line.who, line.why, line.key) == ("retry", "ada", "the disk is fixed", key("a.avro"))


def test_a_person_skips_a_parked_file(desk: Desk) -> None:
    parked(desk)
    desk.order(key("a.avro"), What.SKIP)
    desk.poll()
    desk.poll(DAY)
    assert (state(desk, key("a.avro")), desk.ids) == (State.SKIPPED, [])


def test_a_person_salvages_what_can_be_read_and_the_audit_says_how_many(desk: Desk) -> None:
    parked(desk)
    desk.order(key("a.avro"), What.SALVAGE)
    desk.poll()
    taken = len(desk.ids)
    assert 0 < taken < 200
    assert (state(desk, key("a.avro")), desk.ids) == (State.SKIPPED, ids_of(events(taken)))
    ends = [line for line in desk.audit() if isinstance(line, InletOrdered)]
    assert [(line.what, line.records) for line in ends] == [("salvage", 0), ("salvage done", taken)]
    assert ends[1].outcome.startswith("the rest, from record ")
    desk.store.put(key("a.avro"), avro(events(200)))
    desk.poll()
    assert desk.ids == ids_of(events(200)), "a correct file goes on behind what was salvaged"


def test_an_order_about_a_file_that_does_not_wait_changes_nothing(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.run()
    desk.order(key("a.avro"), What.SKIP)
    desk.poll()
    (line,) = desk.audit()
    assert isinstance(line, InletOrdered)
    assert line.outcome == "nothing waits under this key any more"
    assert (state(desk, key("a.avro")), desk.lease.view.orders) == (State.DONE, {})


# A store that does not serve.


@pytest.mark.parametrize("failure", [StoreForbidden("403"), StoreThrottled("503"), StoreUnreachable("no route")])
def test_while_the_store_does_not_serve_nothing_is_skipped_and_it_is_told(
    desk: Desk, failure: StoreForbidden | StoreThrottled | StoreUnreachable
) -> None:
    desk.run()
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.store.failing = failure
    for _ in range(100):
        desk.poll(60)
    assert desk.meter.state is not None
    assert (desk.meter.state.failing, desk.meter.state.listing_seconds >= 5_900) == (failure.reason, True)
    assert desk.store.lists < 250, "it backs off"
    desk.store.failing = None
    desk.poll(60)
    desk.poll(60)
    assert (desk.ids, desk.meter.state.failing) == (ids_of(events(2)), "")


def test_one_object_that_is_refused_does_not_hold_back_the_others(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(1, "a")))
    desk.store.put(key("b.avro"), avro(events(1, "b")))
    desk.store.refused[key("a.avro")] = StoreForbidden("403")
    desk.run()
    for _ in range(5):
        desk.poll(60)
    assert desk.ids == ["b-0"]
    del desk.store.refused[key("a.avro")]
    desk.poll(60)
    desk.poll(60)
    assert desk.ids == ["b-0", "a-0"]


def test_an_object_that_vanished_before_it_was_read_is_lost_and_counted_once(desk: Desk) -> None:
    desk.run()
    desk.store.refused[key("a.avro")] = StoreUnreachable("no route")
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.poll()
    desk.store.refused.clear()
    desk.store.delete(key("a.avro"))
    desk.poll(60)
    desk.poll(60)
    assert state(desk, key("a.avro")) is State.LOST
    assert desk.lease.view.head.counts.lost == 1
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.poll()
    assert desk.ids == ids_of(events(2)), "it came back"


def test_how_much_waits_is_told(desk: Desk) -> None:
    desk.run()
    desk.store.refused = dict.fromkeys((key("a.avro"), key("b.avro")), StoreForbidden("403"))
    content = avro(events(2))
    for name in ("a.avro", "b.avro"):
        desk.store.put(key(name), content)
    desk.poll()
    for _ in range(20):
        desk.poll(60)
    told = desk.meter.state
    assert told is not None
    assert (told.pending, told.pending_bytes, told.parked) == (2, 2 * len(content), 0)
    assert told.oldest_pending_seconds >= 1_200
    assert told.silence_seconds.keys() == {TOPIC.removeprefix("currents.")}


def test_progress_is_written_again_if_its_topic_is_made_again_and_no_file_comes_twice(desk: Desk) -> None:
    desk.store.put(key("a.avro"), avro(events(3, "a")))
    desk.run()
    desk.kafka.make_again(TOPICS.inlets)
    desk.store.put(key("b.avro"), avro(events(2, "b")))
    desk.poll()
    desk.restart()
    desk.poll()
    assert desk.ids == ids_of(events(3, "a"), events(2, "b"))
    assert desk.entry(key("a.avro")) is not None


def test_files_that_were_ingested_by_hand_stay_known_though_the_topic_of_state_is_made_again(desk: Desk) -> None:
    desk.run()
    desk.kafka.make_again("streams.state")
    desk.store.put(key("a.avro"), avro(events(1, "a")))
    desk.poll()
    assert desk.ids == ids_of(events(1, "a"))

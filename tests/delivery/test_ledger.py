"""The ledger: commits go only past settled records, and each record counts once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.account import SinkCounts
from streams.delivery.ledger import Ledger, ParkedRecord, Progress


def letter(cause: str = "rejected") -> ParkedRecord[str]:
    return ParkedRecord("record", cause, 400, "why", "default", 1)


def ledger_with(offsets: list[int]) -> tuple[Ledger[str], list[int]]:
    ledger = Ledger[str](offsets[0] if offsets else 0, SinkCounts())
    return ledger, [ledger.read(offset, 10) for offset in offsets]


def progress_of(ledger: Ledger[str]) -> Progress[str]:
    progress = ledger.progress(100)
    assert progress is not None
    return progress


def test_nothing_is_committed_past_a_record_that_is_not_settled() -> None:
    ledger, places = ledger_with([5, 6, 7])
    ledger.delivered(places[1], places[2] + 1)
    assert ledger.progress(100) is None
    ledger.delivered(places[0], places[0] + 1)
    progress = ledger.progress(100)
    assert progress is not None
    assert (progress.next_offset, progress.records, progress.counts.delivered) == (8, 3, 3)


def test_offsets_with_holes_of_transaction_markers_commit_after_the_last_record() -> None:
    ledger, places = ledger_with([5, 9, 40])
    for place in places:
        ledger.delivered(place, place + 1)
    progress = ledger.progress(100)
    assert progress is not None
    assert progress.next_offset == 41


def test_a_refused_commit_moves_nothing() -> None:
    ledger, places = ledger_with([0, 1])
    ledger.delivered(places[0], places[0] + 1)
    first = ledger.progress(100)
    assert first is not None
    ledger.delivered(places[1], places[1] + 1)
    second = ledger.progress(100)
    assert second is not None
    assert second.counts.delivered == 2
    assert ledger.counts.delivered == 0


def test_letters_beyond_the_limit_wait_for_the_next_commit() -> None:
    ledger, places = ledger_with([0, 1, 2, 3])
    ledger.parked(places[0], letter())
    ledger.delivered(places[1], places[1] + 1)
    ledger.parked(places[2], letter())
    ledger.delivered(places[3], places[3] + 1)
    progress = ledger.progress(1)
    assert progress is not None
    assert (progress.next_offset, len(progress.letters), progress.counts.delivered) == (2, 1, 1)
    ledger.committed(progress)
    rest = ledger.progress(1)
    assert rest is not None
    assert (rest.next_offset, rest.counts.parked, rest.counts.delivered) == (4, {"rejected": 2}, 2)


def test_records_lost_to_retention_are_counted_and_skipped_over() -> None:
    ledger = Ledger[str](20, SinkCounts(delivered=20))
    ledger.lose(303, 283)
    assert (ledger.next_offset, ledger.counts.lost, ledger.counts.delivered) == (303, 283, 20)


def test_records_lost_behind_others_that_are_under_way_count_with_the_commit_that_passes_them() -> None:
    ledger, places = ledger_with([20, 21])
    ledger.lose(303, 281)
    assert (ledger.counts.lost, ledger.next_read) == (0, 303)
    after = ledger.read(303, 10)
    ledger.delivered(places[0], places[0] + 1)
    ledger.committed(progress_of(ledger))
    assert (ledger.next_offset, ledger.counts.lost) == (21, 0)
    ledger.delivered(places[1], places[1] + 1)
    ledger.committed(progress_of(ledger))
    assert (ledger.next_offset, ledger.counts.lost) == (303, 281)
    ledger.delivered(after, after + 1)
    ledger.committed(progress_of(ledger))
    assert (ledger.next_offset, ledger.counts.lost, ledger.counts.delivered) == (304, 281, 3)


@given(
    outcomes=st.lists(st.sampled_from(["delivered", "skipped", "parked"]), min_size=1, max_size=9000),
    seed=st.randoms(use_true_random=False),
)
def test_whatever_the_order_of_answers_every_record_counts_once(outcomes: list[str], seed: object) -> None:
    ledger, places = ledger_with(list(range(len(outcomes))))
    order = list(range(len(outcomes)))
    seed.shuffle(order)  # type: ignore[attr-defined]
    letters = 0
    for number, index in enumerate(order):
        if outcomes[index] == "delivered":
            ledger.delivered(places[index], places[index] + 1)
        elif outcomes[index] == "skipped":
            ledger.skipped(places[index], "no_credentials_for_feed")
        else:
            ledger.parked(places[index], letter())
        if number % 50 == 0:
            progress = ledger.progress(1000)
            if progress is not None:
                assert set(range(progress.next_offset)) <= set(order[: number + 1])
                letters += len(progress.letters)
                ledger.committed(progress)
    while (progress := ledger.progress(1000)) is not None:
        letters += len(progress.letters)
        ledger.committed(progress)
    assert ledger.unsettled == 0
    assert ledger.unsettled_bytes == 0
    assert ledger.next_offset == len(outcomes)
    assert ledger.counts.delivered == outcomes.count("delivered")
    assert sum(ledger.counts.skipped.values()) == outcomes.count("skipped")
    assert letters == sum(ledger.counts.parked.values()) == outcomes.count("parked")


def test_a_run_that_was_read_is_as_if_its_records_were_read_one_by_one() -> None:
    ledger = Ledger[str](3, SinkCounts())
    assert ledger.read(3, 100) == 0
    assert ledger.read_run([4, 9], [20, 30]) == 1
    assert (ledger.unsettled, ledger.unsettled_bytes, ledger.next_read) == (3, 150, 10)
    ledger.delivered(0, 2)
    progress = ledger.progress(100)
    assert progress is not None
    assert (progress.next_offset, progress.records) == (5, 2)

"""What the emulated Mixpanel holds after an import, and how its deduplication sees it."""

from __future__ import annotations

from typing import Any

import pytest

from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.testing.emulators import MixpanelEmulator
from tests.emulators.sender import DAY_MS, NOON_MS, event, import_events, unanswered
from tests.waiting import wait_until


@pytest.fixture
def at_noon(mixpanel: MixpanelEmulator) -> MixpanelEmulator:
    mixpanel.set_now(NOON_MS)
    return mixpanel


def test_an_event_sent_twice_is_two_raw_rows_and_one_for_users(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1, time=NOON_MS, run=1)])
    import_events(at_noon, [event(1, time=NOON_MS, run=2), event(2, time=NOON_MS)])
    assert len(at_noon.rows()) == 3
    assert [(row["properties"]["$insert_id"], row["properties"].get("run")) for row in at_noon.unique()] == [
        ("event-1", 2),
        ("event-2", None),
    ]


def test_seconds_and_milliseconds_of_one_moment_are_one_event(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1, time=NOON_MS), event(1, time=NOON_MS // 1000)])
    assert len(at_noon.unique()) == 1


def test_another_time_is_another_event_until_compaction_of_the_day(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1, time=NOON_MS), event(1, time=NOON_MS - 1), event(1, time=NOON_MS - DAY_MS)])
    assert len(at_noon.unique()) == 3
    assert len(at_noon.compacted()) == 2


@pytest.mark.parametrize("change", [{"distinct_id": "user-2", "$user_id": "user-2"}, {"$insert_id": "other"}])
def test_another_user_or_insert_id_is_another_event(at_noon: MixpanelEmulator, change: dict[str, str]) -> None:
    import_events(at_noon, [event(1), event(1, **change)])
    assert len(at_noon.unique()) == len(at_noon.compacted()) == 2


def test_a_row_is_what_mixpanel_makes_of_the_event(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1, time=NOON_MS // 1000 - 50, subject="s" * 300, **{"n" * 300: 1})])
    (row,) = at_noon.rows()
    assert row["event"] == "Email Open"
    assert row["properties"] == {
        "time": NOON_MS - 50_000,
        "distinct_id": "user-1",
        "$user_id": "user-1",
        "$insert_id": "event-1",
        "subject": "s" * 255,
        "n" * 255: 1,
        "$import": True,
        "$mp_api_endpoint": "api.mixpanel.com",
        "$mp_api_timestamp_ms": NOON_MS,
    }


def test_a_time_within_the_next_hour_becomes_now(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1, time=NOON_MS + 1_000)])
    assert at_noon.rows()[0]["properties"]["time"] == NOON_MS


def test_an_event_without_ip_is_marked_as_located_at_the_sender(at_noon: MixpanelEmulator) -> None:
    import_events(at_noon, [event(1), event(2, ip=None)])
    assert [row.get("geo_from_request", False) for row in at_noon.rows()] == [False, True]


def test_an_ignored_event_counts_as_imported_and_is_nowhere(at_noon: MixpanelEmulator) -> None:
    assert import_events(at_noon, [event(1, **{"$ignore": True})]).json()["num_records_imported"] == 1
    assert at_noon.rows() == []


@pytest.mark.parametrize(
    ("properties", "distinct_id"),
    [
        ({"distinct_id": "a", "$user_id": "b"}, "b"),
        ({"distinct_id": "a", "$user_id": None, "$device_id": "d"}, "$device:d"),
        ({"distinct_id": "a", "$user_id": None, "$device_id": "$device:d"}, "$device:d"),
        ({"distinct_id": 17, "$user_id": None}, "17"),
        ({"distinct_id": "", "$user_id": None}, ""),
    ],
)
def test_whose_event_it_is(at_noon: MixpanelEmulator, properties: dict[str, Any], distinct_id: str) -> None:
    import_events(at_noon, [event(1, **properties)])
    assert at_noon.rows()[0]["properties"]["distinct_id"] == distinct_id


def test_the_original_id_merge_knows_users_by_distinct_id_only() -> None:
    with MixpanelEmulator(MixpanelOptions(projects=(Project(id_mode="original"),))) as emulator:
        import_events(emulator, [event(1, **{"distinct_id": "a", "$user_id": "b", "$device_id": "c"})])
        assert emulator.rows()[0]["properties"]["distinct_id"] == "a"


def test_arrays_in_arrays_are_taken_and_shown_again(at_noon: MixpanelEmulator) -> None:
    nested: list[Any] = []
    for _ in range(90):
        nested = [nested]
    import_events(at_noon, [event(tags=nested)])
    assert at_noon.unique()[0]["properties"]["tags"] == nested


def test_what_is_sent_again_after_a_refusal_by_name_is_told(at_noon: MixpanelEmulator) -> None:
    bad = event(7, time="now")
    import_events(at_noon, [event(1), bad])
    assert at_noon.retried_400() == []
    import_events(at_noon, [event(1)])
    assert at_noon.retried_400() == []
    import_events(at_noon, [bad])
    assert [record["insert_id"] for record in at_noon.retried_400()] == ["event-7"]


def test_a_refusal_that_nobody_heard_may_be_asked_for_again(at_noon: MixpanelEmulator) -> None:
    bad = event(7, time="now")
    at_noon.fail(status=503, when="after")
    assert import_events(at_noon, [bad]).status == 503
    assert import_events(at_noon, [bad]).status == 400
    assert at_noon.retried_400() == []


def test_a_refusal_that_came_too_late_may_be_asked_for_again(at_noon: MixpanelEmulator) -> None:
    bad = event(7, time="now")
    at_noon.fail(delay=1.0, when="after")
    with unanswered(at_noon, [bad]):
        pass
    wait_until(lambda: len(at_noon.requests()) == 1, "the event to be refused")
    at_noon.fail(delay=1.1)  # by the end of this one, which began later, the late answer has found nobody
    assert import_events(at_noon, [event(1)]).status == 200
    assert import_events(at_noon, [bad]).status == 400
    assert at_noon.retried_400() == []


def test_the_oldest_rows_are_forgotten_first() -> None:
    with MixpanelEmulator(MixpanelOptions(rows_max=2)) as emulator:
        import_events(emulator, [event(number) for number in range(3)])
        assert [row["properties"]["$insert_id"] for row in emulator.rows()] == ["event-1", "event-2"]
        assert emulator.totals()["imported"] == 3

"""What a request to `/users/track` holds: only news, merged by user, within Braze's limits; and what is remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from streams.delivery.composer import Composed
from tests.destinations.braze_desk import Desk, attributes, content, event, page, present, purchase, word


@pytest.fixture
def desk() -> Desk:
    return Desk()


def sent(composed: Composed) -> Mapping[str, Any]:
    """The attributes of the one user that a request is about."""
    (found,) = content(composed.request)["attributes"]
    return {name: value for name, value in found.items() if name != "external_id"}


def test_each_record_has_its_place_and_what_is_about_one_user_is_one_object(desk: Desk) -> None:
    composed = desk.compose(
        event("1"), attributes(a=1), purchase("2"), attributes("bob", a=1), attributes(b=2, a=3), event("3", "bob"),
        word("cohorts/7", name="VIP"),
    )  # fmt: skip
    assert content(composed.request) == {
        "attributes": [
            {"external_id": "ann", "a": 3, "b": 2, "Mixpanel_Cohorts": {"add": ["VIP"]}},
            {"external_id": "bob", "a": 1},
        ],
        "events": [
            {"external_id": "ann", "name": "Played", "time": "2026-09-21T13:33:20.123Z"},
            {"external_id": "bob", "name": "Played", "time": "2026-09-21T13:33:20.123Z"},
        ],
        "purchases": [
            {
                "external_id": "ann", "product_id": "sku", "currency": "EUR", "price": 1.0, "quantity": 1,
                "time": "2026-09-21T13:33:20.123Z",
            },
        ],
    }  # fmt: skip
    assert composed.request is not None
    assert composed.request.layout == {
        ("attributes", 0): (1, 4, 6),
        ("attributes", 1): (3,),
        ("events", 0): (0,),
        ("events", 1): (5,),
        ("purchases", 0): (2,),
    }
    assert (composed.taken, composed.skipped, composed.events) == (7, {}, {0: "1", 2: "2", 5: "3"})


def test_the_same_items_and_memory_give_the_same_bytes(desk: Desk) -> None:
    items = [desk.item(record) for record in (event("1"), attributes(a=1), word("audiences/1", name="Cats"))]
    first, second = (desk.compose(*items, keeps=False) for _ in range(2))
    assert first == second
    assert first.request is not None
    assert second.request is not None
    assert first.request.body == second.request.body


def test_what_was_sent_is_not_sent_again_and_what_differs_is(desk: Desk) -> None:
    assert sent(desk.compose(attributes(plan="gold", visits=1))) == {"plan": "gold", "visits": 1}
    composed = desk.compose(attributes(plan="gold"), attributes("bob", plan="gold"))
    assert composed.skipped == {0: "unchanged"}
    assert content(composed.request) == {"attributes": [{"external_id": "bob", "plan": "gold"}]}
    assert sent(desk.compose(attributes(plan="gold", visits=2))) == {"visits": 2}
    assert desk.compose(attributes(plan="gold", visits=2)).request is None


def test_an_older_word_is_stale_attribute_by_attribute(desk: Desk) -> None:
    first, second = desk.item(attributes(plan="gold", visits=1)), desk.item(attributes(plan="silver"))
    desk.compose(second)
    assert sent(desk.compose(first)) == {"visits": 1}
    assert desk.compose(desk.item(attributes(plan="gold", visits=2), place=first.place - 1)).skipped == {0: "stale"}


def test_an_unchanged_word_outranks_older_ones_that_come_later(desk: Desk) -> None:
    letter = desk.item(attributes(plan="silver"))
    desk.compose(desk.item(attributes(plan="gold"), place=letter.place - 1))
    assert desk.compose(attributes(plan="gold")).skipped == {0: "unchanged"}
    assert desk.compose(letter).skipped == {0: "stale"}


def test_the_last_of_words_that_undo_each_other_is_sent_for_the_first_may_have_been_by_a_process_that_died(
    desk: Desk,
) -> None:
    desk.compose(attributes(plan="gold"), word("cohorts/7", name="VIP"), word("audiences/1", name="Cats"))
    composed = desk.compose(
        attributes(plan="silver"), word("cohorts/7", change="remove", name="VIP"), attributes(plan="gold"),
        word("cohorts/7", name="VIP"), word("audiences/1", change="remove"), word("audiences/1", name="Cats"),
    )  # fmt: skip
    assert composed.skipped == {}
    assert sent(composed) == {
        "plan": "gold", "Mixpanel_Cohorts": {"add": ["VIP"]}, "SegmentMembership": "'1'", "In Cats": True,
        "SegmentMembershipArray": ["1"],
    }  # fmt: skip
    late = desk.item(word("cohorts/7", change="remove", name="VIP"), place=desk.offset - 4)
    assert desk.compose(late).skipped == {0: "stale"}


def test_nothing_is_remembered_of_a_user_whose_object_was_refused(desk: Desk) -> None:
    desk.compose(attributes(plan="gold"))
    items = [desk.item(attributes(visits=1)), desk.item(attributes(plan="gold")), desk.item(event("1"))]
    composed = desk.compose(*items, keeps=False)
    assert composed.skipped == {1: "unchanged"}
    desk.settle(composed.changes, {1, 2})
    assert sent(desk.compose(items[0])) == {"visits": 1}


def test_a_word_is_sent_whatever_it_says_after_one_that_may_have_been_taken_and_was_parked(desk: Desk) -> None:
    desk.compose(attributes(plan="gold"), word("cohorts/7", change="remove", name="VIP"))
    letters = [desk.item(attributes(plan="silver")), desk.item(word("cohorts/7", name="VIP"))]
    composed = desk.compose(*letters, keeps=False)
    desk.settle(composed.doubts, {0, 1})
    assert sent(desk.compose(attributes(plan="gold"), word("cohorts/7", change="remove", name="VIP"))) == {
        "plan": "gold", "Mixpanel_Cohorts": {"remove": ["VIP"]},
    }  # fmt: skip
    assert desk.compose(*letters).skipped == {0: "stale", 1: "stale"}


def test_a_copy_takes_out_who_may_be_in_by_a_word_that_was_parked_and_lets_in_who_may_be_out(desk: Desk) -> None:
    letter = desk.item(word("cohorts/7", "ann", name="VIP"))
    other = desk.item(word("cohorts/7", "bob", name="VIP"))
    desk.settle(desk.compose(letter, other, keeps=False).doubts, {0, 1})
    desk.hear(present("cohorts/7", "bob", name="VIP"))
    heard = desk.hear(page("cohorts/7", group_name="VIP"))
    assert [one.key for one in heard.derived] == [b"ann"]
    assert content(desk.compose(other).request)["attributes"] == [
        {"external_id": "bob", "Mixpanel_Cohorts": {"add": ["VIP"]}}
    ]


def test_what_was_said_is_sent_again_where_a_person_asks_for_it_but_never_over_a_newer_word(desk: Desk) -> None:
    record = attributes(plan="gold")
    old = desk.item(record)
    desk.compose(old, event("1"), word("audiences/1", name="Cats"))
    again = [desk.item(each, again="job") for each in (record, event("1"), word("audiences/1", name="Cats"))]
    composed = desk.compose(*again)
    assert composed.skipped == {}
    assert {name for name in sent(composed) if name != "_update_existing_only"} == {
        "plan", "SegmentMembership", "SegmentMembershipArray", "In Cats",
    }  # fmt: skip
    assert composed.events == {1: "1"}
    assert desk.compose(desk.item(record, place=old.place, again="job")).skipped == {0: "stale"}


def test_an_event_that_was_delivered_or_is_twice_in_a_request_is_a_duplicate(desk: Desk) -> None:
    composed = desk.compose(event("1"), event("1"), purchase("2"))
    assert composed.skipped == {1: "duplicate"}
    assert desk.compose(purchase("2"), event("1")).skipped == {0: "duplicate", 1: "duplicate"}


def test_a_request_holds_so_many_objects_in_all_arrays_together(desk: Desk) -> None:
    desk = Desk(objects_max=3)
    records = [
        event("1"),
        attributes(a=1),
        purchase("2"),
        attributes(b=1),
        event("1"),
        attributes("bob", a=1),
        event("3"),
    ]
    first = desk.compose(*records)
    assert first.taken == 4  # more about one user needs no other object
    assert {array: len(objects) for array, objects in content(first.request).items()} == {
        "attributes": 1, "events": 1, "purchases": 1,
    }  # fmt: skip
    rest = desk.compose(*records[4:])
    assert (rest.taken, rest.skipped) == (3, {0: "duplicate"})


def test_what_is_no_news_takes_no_room(desk: Desk) -> None:
    desk = Desk(objects_max=2)
    users = [f"user-{number}" for number in range(50)]
    while users:
        users = users[desk.compose(*[attributes(user, plan="gold") for user in users]).taken :]
    composed = desk.compose(*[attributes(f"user-{number}", plan="gold") for number in range(50)], attributes(plan="x"))
    assert (composed.taken, len(composed.skipped)) == (51, 50)


def test_a_request_has_less_than_four_megabytes_and_an_object_less_than_a_hundred_kilobytes(desk: Desk) -> None:
    large = {f"property-{number}": "x" * 250 for number in range(300)}
    composed = desk.compose(*[event(str(number), properties=json.dumps(large)) for number in range(75)])
    assert composed.request is not None
    assert 3_000_000 < len(composed.request.body) < 4_000_000
    assert composed.taken < 75
    composed = desk.compose(attributes("bob", **large), attributes("bob", other=1, **large))
    assert composed.taken == 1


def test_only_existing_users_are_changed_unless_a_record_about_them_may_create_them(desk: Desk) -> None:
    assert sent(desk.compose(word("ids/7")))["_update_existing_only"]
    assert "_update_existing_only" not in sent(desk.compose(word("ids/8"), attributes(a=1)))


def test_subscriptions_and_tokens_are_words_of_their_own(desk: Desk) -> None:
    groups = {"news": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "offers": "1" * 8 + "-0000-0000-0000-" + "0" * 12}
    receive = {"data": {"kind": "mparticle_events", "keys": ["x" * 16], "subscription_groups": groups}}
    desk = Desk(receive=receive)
    late = desk.item(attributes(news=True))
    assert sent(desk.compose(attributes(offers=True))) == {
        "subscription_groups": [{"subscription_group_id": groups["offers"], "subscription_state": "subscribed"}]
    }
    assert sent(desk.compose(late)) == {  # older than the word about the other group, and no less true
        "subscription_groups": [{"subscription_group_id": groups["news"], "subscription_state": "subscribed"}]
    }
    composed = desk.compose(attributes(news=False), attributes(offers=True))
    assert composed.skipped == {1: "unchanged"}
    assert [group["subscription_state"] for group in sent(composed)["subscription_groups"]] == ["unsubscribed"]


def test_a_push_token_is_a_word_by_app_and_device(desk: Desk) -> None:
    def token(text: str, device: str) -> Any:
        record = attributes(message_type="push_registration", token=text, device_id=device)
        return replace(record, platform="ios")

    late = desk.item(token("old", "phone"))
    assert sent(desk.compose(token("new", "phone"))) == {
        "push_tokens": [{"app_id": "app-ios", "token": "new", "device_id": "phone"}]
    }
    assert desk.compose(late).skipped == {0: "stale"}
    composed = desk.compose(token("new", "phone"), token("other", "tablet"))
    assert composed.skipped == {0: "unchanged"}
    assert sent(composed) == {"push_tokens": [{"app_id": "app-ios", "token": "other", "device_id": "tablet"}]}


def test_one_attribute_holds_the_audiences_of_all_entries_and_what_has_no_room_is_counted(desk: Desk) -> None:
    words = [word(f"audiences/{100_000 + number}", name=f"a{number}") for number in range(40)]
    composed = desk.compose(*words)
    assert len(sent(composed)["SegmentMembership"]) <= 255
    assert composed.tally["segments_cut"] == 40 - sent(composed)["SegmentMembership"].count(",") - 1


def test_a_group_that_leads_to_no_other_attribute_is_remembered(desk: Desk) -> None:
    desk.compose(word("cohorts/7", name="VIP"))
    assert desk.compose(word("cohorts/8", name="VIP")).skipped == {0: "unchanged"}
    assert desk.compose(word("cohorts/7", change="remove", name="VIP")).request is None
    assert sent(desk.compose(word("cohorts/8", change="remove", name="VIP"))) == {
        "Mixpanel_Cohorts": {"remove": ["VIP"]}
    }


def test_an_attribute_that_cohorts_or_audiences_are_written_to_holds_nothing_else(desk: Desk) -> None:
    composed = desk.compose(attributes(Mixpanel_Cohorts="mine", SegmentMembership="mine", plan="gold"))
    assert sent(composed) == {"plan": "gold"}
    assert composed.tally["dropped_values.reserved"] == 2


def test_data_points_and_what_was_dropped_are_counted(desk: Desk) -> None:
    changes: dict[str, Any] = {"$FirstName": "Ann", "plan": "gold", "visits": 1, "nested": {"a": 1}}
    composed = desk.compose(
        attributes(**changes),
        attributes("bob", only={"nested": 1}),
        event("1", properties='{"a":[1],"b":"x"}'),
        purchase("2"),
    )
    assert composed.tally == {
        "data_points.attributes": 2,
        "data_points.events": 1,
        "data_points.purchases": 1,
        "dropped_values.type": 3,
    }
    assert composed.skipped == {1: "unchanged"}
    assert set(composed.tally) <= set(desk.composer.tallies)

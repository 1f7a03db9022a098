"""Events in a row are taken together: the request is the one that they make one by one."""

from __future__ import annotations

from random import Random

import pytest

from streams.delivery.composer import Composed
from streams.wayback.records import Record
from tests.destinations.braze_desk import Desk, attributes, event, purchase, word


def told(made: Composed) -> object:
    """All that a sink looks at."""
    assert made.request is None or made.request.layout
    layout = {} if made.request is None else {place: tuple(at) for place, at in made.request.layout.items()}
    body = b"" if made.request is None else made.request.body
    return body, layout, made.taken, made.skipped, made.changes, made.events, dict(made.tally)


def some_record(random: Random, number: int) -> Record:
    user = random.choice(["ann", "bob", "cid"])
    kind = random.choices(["event", "purchase", "attributes", "word"], [40, 2, 2, 1])[0]
    record_id = str(random.randrange(number + 1) if random.random() < 0.02 else number)
    match kind:
        case "event":
            return event(record_id, user)
        case "purchase":
            return purchase(record_id, user)
        case "attributes":
            return attributes(user, plan=random.choice(["gold", "silver"]))
        case _:
            return word("cohorts/7", user, name="VIP")


@pytest.mark.parametrize("seed", range(20))
def test_a_run_of_events_makes_the_request_that_its_events_make_one_by_one(seed: int) -> None:
    """An event's place says nothing to Braze. One whose place is not its offset is never part of a run."""
    random = Random(seed)
    desk = Desk(objects_max=random.choice([5, 20, 75]))
    items = [desk.item(some_record(random, number)) for number in range(200)]
    desk.seen |= {str(random.randrange(200)) for _ in range(random.choice([0, 1, 4]))}
    while items:
        together = desk.compose(*items, keeps=False)
        by_one = desk.compose(*[item._replace(offset=item.offset + 1) for item in items], keeps=False)
        assert told(together) == told(by_one)
        items = items[together.taken :]


def test_an_event_that_a_job_sends_again_goes_though_it_was_delivered_and_others_of_its_run_do_not() -> None:
    desk = Desk()
    desk.seen |= {"1", "2"}
    items = [desk.item(event(each, "ann")) for each in ("0", "1", "2", "3")]
    items[2] = items[2]._replace(again="job")
    made = desk.compose(*items, keeps=False)
    assert (made.skipped, made.events) == ({1: "duplicate"}, {0: "0", 2: "2", 3: "3"})

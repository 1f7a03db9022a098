"""The flood breaker's bound with real processes over real HTTP: at most one batch beyond the rule, by each sink."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Read
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running

OPEN = "users.messages.email.Open"
RECORDS_MIN = 100
BATCH_RECORDS_MAX = 2_000
"""Events of one request, Mixpanel's limit."""
WARM_UP = 10
"""Answers after which some requests may be under way together."""
REJECTED_WRITTEN = 16_000
ANSWER_SECONDS = 4
"""The first answers come together and late, so that many events are under way before one of them is known."""
AHEAD_SECONDS = 10 * 365 * 86_400
"""Mixpanel refuses events of the future by name."""


def event(number: int, ahead_seconds: int = 0) -> bytes:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    record = sample_record(OPEN, Random(number), int(time.time()) - 60 + ahead_seconds)
    return encode_single_object(schema, {**record, "id": f"event-{number}", "external_user_id": f"user-{number}"})


@pytest.mark.kafka
@pytest.mark.timeout(360)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_destination_that_rejects_everything_costs_one_batch_beyond_the_rule_by_each_process(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, processes: int
) -> None:
    rule = {"records": RECORDS_MIN, "share": 0.2}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel, flood_breaker=rule)}) as line:
        scene = line.scene
        sinks = [line.processes[ANALYTICS]]
        sinks += [scene.process("sink", ANALYTICS, instance=f"another-{number}") for number in range(1, processes)]
        for sink in sinks:
            scene.wait_until(sink.has_partitions, "each sink to have partitions")
        for number in range(WARM_UP):
            line.write(OPEN, event(number), f"user-{number}".encode())
            line.settle()

        mixpanel.fail(delay=ANSWER_SECONDS, count=WARM_UP)
        for number in range(WARM_UP, WARM_UP + REJECTED_WRITTEN):
            line.write(OPEN, event(number, AHEAD_SECONDS), f"user-{number}".encode())
        line.flush()
        scene.wait_until(lambda: scene.router_counts().read == line.written, "everything to be routed")
        scene.wait_until(
            lambda: scene.accounts.state_views()[ANALYTICS].state.state == "SUSPENDED", "the breaker to suspend"
        )
        assert scene.accounts.state_views()[ANALYTICS].state.by == "flood"
        assert [sink.terminate() for sink in sinks] == [0] * processes

        account = scene.account(ANALYTICS)
        parked = account.parked["rejected"]
        letters = scene.read(scene.settings.topics.dead_letter_rejected(ANALYTICS))
        assert len(letters) == parked >= RECORDS_MIN - WARM_UP
        refused_requests = [set(one["record_ids"]) for one in mixpanel.requests() if one["status"] == 400]
        by_process = counted_requests(letters, refused_requests)
        assert 1 <= len(by_process) <= processes
        for sizes in by_process:
            # Before the batch that opened the breaker, fewer had been refused than the rule asks for.
            assert max(sizes) <= BATCH_RECORDS_MAX
            assert sum(sizes) - max(sizes) < RECORDS_MIN, f"a sink counted requests of {sizes} events"
        assert (account.delivered, account.waiting) == (WARM_UP, REJECTED_WRITTEN - parked)
        refused = mixpanel.totals()["refused"]
        assert refused > parked, f"the destination refused {refused} before the sinks stopped: the bound was not needed"


def counted_requests(letters: list[Read], requests: list[set[str]]) -> list[list[int]]:
    """For each sink process, how many events each request had whose answer counted. Raises `AssertionError` where
    something was parked that no request was refused with.

    A partition belongs to one process, so requests that share a partition are of the same one. What is behind an event
    that was still under way is not parked, though its answer counted: so of each request one letter is enough.
    """
    parked = {f"event-{(letter.key or b'').decode().removeprefix('user-')}": letter.partition for letter in letters}
    groups: list[tuple[set[int], list[int]]] = []
    left = set(parked)
    for ids in requests:
        if ids.isdisjoint(left):
            continue
        mine = ({parked[one] for one in ids & left}, [len(ids)])
        left -= ids
        for group in [one for one in groups if one[0] & mine[0]]:
            groups.remove(group)
            mine = (mine[0] | group[0], mine[1] + group[1])
        groups.append(mine)
    assert not left, f"{len(left)} events were parked that no request was refused with"
    return [sizes for _, sizes in groups]

"""When a keeper may count what was deleted: only once no counts are between the old topic and the new one."""

from __future__ import annotations

import pytest

from streams.delivery.account import SinkCounts
from streams.delivery.metadata import topic_mark
from streams.operations.keeper_accounts import awaits_commits
from streams.state.records import Copy

TOPIC = "streams.connector.growth"
OLD, NEW = ({"delivered": 5, "topic": topic_mark(topic_id)} for topic_id in ("old", "new"))
COPIES = {TOPIC: Copy(partitions={"0": (5, ""), "1": (5, "")}, topic_id="old")}
PARTITIONS = [(TOPIC, 0), (TOPIC, 1)]


def committed(*counts: dict[str, object]) -> dict[tuple[str, int], tuple[int, str]]:
    return {(TOPIC, number): (5, SinkCounts(**one).to_metadata()) for number, one in enumerate(counts)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("commits", "awaits"),
    [
        (committed(), True),
        (committed(NEW), True),
        (committed(NEW, OLD), True),
        (committed(NEW, NEW), False),
    ],
    ids=["Kafka forgot them", "one process is slower", "by the position in the old topic", "all of the new topic"],
)
def test_nothing_is_counted_until_every_partition_is_committed_for_the_new_topic(
    commits: dict[tuple[str, int], tuple[int, str]], awaits: bool
) -> None:
    assert awaits_commits(COPIES, commits, {TOPIC: "new"}, PARTITIONS) is awaits


def test_partitions_that_the_new_topic_does_not_have_are_not_waited_for() -> None:
    assert not awaits_commits(COPIES, committed(NEW), {TOPIC: "new"}, PARTITIONS[:1])


def test_a_connector_that_never_ran_waits_for_nothing() -> None:
    assert not awaits_commits({}, {}, {TOPIC: "new"}, PARTITIONS)

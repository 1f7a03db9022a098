"""Accounts ride on commits and add up."""

from __future__ import annotations

import base64
import json
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery.account import Returned, RouterCounts, SinkCounts, account, router_metadata_bytes
from streams.delivery.metadata import KAFKA_METADATA_BYTES_MAX, MetadataError, same_ids


def test_an_account_sums_every_partition_and_what_waits_is_the_difference() -> None:
    sinks = [
        '{"v":1,"delivered":10,"skipped":{"no_credentials_for_feed":1},"parked":{"rejected":2},"lost":0}',
        '{"v":1,"delivered":5,"skipped":{},"parked":{"gave-up":1},"lost":3}',
        None,
        "",
    ]
    routers = [
        '{"v":1,"routed":{"a":20,"b":7},"skipped":{"no_mapping":4},"undecodable":1}',
        '{"v":1,"routed":{"a":5}}',
    ]
    assert account("a", sinks, routers).to_json() == {
        "routed": 25,
        "imported": 0,
        "again": 0,
        "delivered": 15,
        "skipped": {"no_credentials_for_feed": 1},
        "parked": {"credentials": 0, "rejected": 2, "gave-up": 1},
        "purged": 0,
        "expired": 0,
        "lost": 3,
        "waiting": 3,
    }


def test_metadata_of_the_largest_counts_fits_in_a_kibibyte() -> None:
    huge = 10**15
    counts = SinkCounts(
        delivered=huge,
        skipped={"no_credentials_for_feed": huge},
        parked={"credentials": huge, "rejected": huge, "gave-up": huge},
        lost=huge,
    )
    assert len(counts.to_metadata().encode()) < 1024
    routed = RouterCounts({f"connector-{number:030d}": huge for number in range(12)}, {"no_mapping": huge}, huge)
    assert len(routed.to_metadata().encode()) < 1024


def test_metadata_reads_back_as_written() -> None:
    counts = SinkCounts(3, {"no_credentials_for_feed": 1}, {"rejected": 2}, 4)
    assert SinkCounts.from_metadata(counts.to_metadata()) == counts


@pytest.mark.parametrize(
    "metadata",
    [
        "not json",
        "[]",
        '{"delivered":1}',
        '{"v":2}',
        '{"v":1,"delivered":-1}',
        '{"v":1,"delivered":true}',
        '{"v":1,"parked":[]}',
    ],
)
def test_metadata_that_is_not_ours_is_refused_not_guessed(metadata: str) -> None:
    with pytest.raises(MetadataError):
        SinkCounts.from_metadata(metadata)


ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-"


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=True))
def test_the_counts_of_two_hundred_connectors_of_any_names_fit_what_kafka_takes(random: Random) -> None:
    names = ["c" + "".join(random.choices(ALPHABET, k=39)) for _ in range(200)]
    assert router_metadata_bytes(names) <= KAFKA_METADATA_BYTES_MAX
    routed = {name: random.randrange(2 * 10**12) for name in names}
    counts = RouterCounts(routed, {"no_mapping": 10**12}, 4, 5, 10**13)
    metadata = counts.to_metadata()
    assert len(metadata) <= KAFKA_METADATA_BYTES_MAX
    read = RouterCounts.from_metadata(metadata)
    assert read.named(names) == counts
    assert RouterCounts.from_metadata(read.to_metadata()) == read


def test_a_connector_that_comes_back_under_its_name_has_its_count_again() -> None:
    names = [f"{number:03d}".join(("connector-", "-of-many")) for number in range(100)]
    gone, stayed = names[0], names[1:]
    committed = RouterCounts(dict.fromkeys(names, 7)).to_metadata()
    while_gone = RouterCounts.from_metadata(committed).named(stayed)
    while_gone.add(RouterCounts(dict.fromkeys(stayed, 1)))
    back = RouterCounts.from_metadata(while_gone.to_metadata())
    back.add(RouterCounts({gone: 2}))
    again = back.to_metadata()
    assert RouterCounts.from_metadata(again).routed_to(gone) == 9
    assert RouterCounts.from_metadata(again).routed_to(stayed[0]) == 8
    assert len(RouterCounts.from_metadata(again).routed) == 100
    assert account(gone, [], [again]).routed == 9


def test_letters_that_are_in_no_commit_are_parked_once_a_keeper_counted_them() -> None:
    """The sink that parked them died, and Kafka forgot its commits with the topic."""
    counted = Returned(redriven={"rejected": -1, "credentials": 2}, again=1)
    found = account("a", [], ['{"v":1,"routed":{"a":3}}'], counted)
    assert found.parked == {"rejected": 1}


def test_names_that_share_an_id_are_found_before_their_counts_are_mixed() -> None:
    assert same_ids(["one", "two", "three"]) is None
    assert same_ids(["one", "two", "three"], lambda name: name[0]) == ("two", "three")


def test_metadata_of_an_earlier_version_is_read_however_large() -> None:
    routed = {f"connector-{number}": number for number in range(60)}
    earlier = json.dumps({"v": 1, "read": 9, "routed": routed, "skipped": {}, "undecodable": 1, "lost": 2})
    assert RouterCounts.from_metadata(earlier) == RouterCounts(routed, {}, 1, 2, 9)


def test_compressed_metadata_of_an_earlier_version_is_read() -> None:
    plain = json.dumps({"v": 1, "read": 9, "routed": {"growth": 5}, "skipped": {}, "undecodable": 1, "lost": 2})
    earlier = "z1:" + base64.b85encode(zlib.compress(plain.encode())).decode()
    assert RouterCounts.from_metadata(earlier) == RouterCounts({"growth": 5}, {}, 1, 2, 9)


@pytest.mark.parametrize(
    "metadata",
    [
        "z1:not what we wrote",
        "i1:\N{SNOWMAN}",
        "i1:",
        RouterCounts(dict.fromkeys(map(str, range(200)), 300)).to_metadata()[:-5],
    ],
)
def test_metadata_that_is_damaged_is_an_error_that_says_so(metadata: str) -> None:
    with pytest.raises(MetadataError):
        RouterCounts.from_metadata(metadata)


def test_what_a_composing_destination_counts_is_kept_and_what_it_derived_was_routed() -> None:
    counts = SinkCounts(5, {"unchanged": 2}, derived=3, maybe_doubled=4, tallies={"data_points": 7})
    read = SinkCounts.from_metadata(counts.to_metadata())
    assert read == counts
    read.add(counts)
    assert (read.derived, read.maybe_doubled, read.tallies) == (6, 8, {"data_points": 14})
    assert SinkCounts.from_metadata('{"v":1,"delivered":5,"skipped":{},"parked":{},"lost":0}') == SinkCounts(5)
    received = '{"v":1,"routed":{"back":4}}'
    kept = account("back", [counts.to_metadata()], [received])
    assert (kept.routed, kept.waiting) == (7, 0)

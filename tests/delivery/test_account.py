"""Accounts ride on commits and add up."""

from __future__ import annotations

import json

import pytest

from streams.delivery.account import (
    KAFKA_METADATA_BYTES_MAX,
    MetadataError,
    RouterCounts,
    SinkCounts,
    account,
    router_metadata_bytes,
)


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


@pytest.mark.parametrize("name", ["currents-of-the-largest-customer-no-{}", "{}"])
def test_the_counts_of_two_hundred_connectors_fit_what_kafka_takes(name: str) -> None:
    names = [name.format(f"c{number:03d}") for number in range(200)]
    assert max(len(one) for one in names) <= 40
    assert router_metadata_bytes(names) <= KAFKA_METADATA_BYTES_MAX
    counts = RouterCounts({one: number * 7_919_123_457 for number, one in enumerate(names)}, {"no_mapping": 3}, 4, 5, 6)
    assert RouterCounts.from_metadata(counts.to_metadata()) == counts


def test_metadata_of_an_earlier_version_is_read_however_large() -> None:
    routed = {f"connector-{number}": number for number in range(60)}
    earlier = json.dumps({"v": 1, "read": 9, "routed": routed, "skipped": {}, "undecodable": 1, "lost": 2})
    assert RouterCounts.from_metadata(earlier) == RouterCounts(routed, {}, 1, 2, 9)


def test_compressed_metadata_that_is_damaged_is_an_error_that_says_so() -> None:
    with pytest.raises(MetadataError):
        RouterCounts.from_metadata("z1:not what we wrote")

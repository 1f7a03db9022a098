"""The partition of a key is the one that Kafka's clients choose."""

from __future__ import annotations

import pytest

from streams.delivery.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "digest"),
    [  # from Apache Kafka's own tests of its hash
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_digest_is_what_kafkas_own_tests_expect(key: bytes, digest: int) -> None:
    assert murmur2(key) == digest % 2**32


def test_a_partition_is_the_digest_without_its_sign() -> None:
    assert partition_of(b"foobar", 7) == (-790332482 & 0x7FFFFFFF) % 7

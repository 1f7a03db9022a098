"""Where partitions end for those that write them.

A read_committed reader is told an end before the first transaction that is open, of any writer. What others
committed behind it is hidden until then. Who goes on where it ended must not take this for all there is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from streams.adapters.kafka.admin import Administration
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.ports.kafka import Partition


def written_ends(options: Mapping[str, Any], partitions: Collection[Partition]) -> dict[Partition, int]:
    """The end of each partition, with what open transactions wrote. Raises `KafkaUnreachable`."""
    administration = Administration({**options, "log_level": 0})
    try:
        return administration.high_watermarks(partitions)
    except KafkaRefusal as refusal:
        raise KafkaUnreachable(str(refusal)) from refusal
    finally:
        administration.close()

"""Retries of calls into the Kafka client: until a deadline, with a pause between them."""

from __future__ import annotations

from streams.adapters.kafka.time_limits import PAUSE_SECONDS, Patience


def test_a_call_that_fails_at_once_is_tried_a_few_times_a_second_until_the_deadline() -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    patience = Patience(30.0, lambda: now, sleep)
    tries = 1
    while patience.again():
        tries += 1
    assert tries <= 30.0 / PAUSE_SECONDS + 2
    assert 130.0 <= now <= 130.0 + PAUSE_SECONDS

"""Which version of Apache Kafka tests run on."""

from __future__ import annotations

import pytest

from streams.testing.kafka import KAFKA_VERSION, JarsUnavailable, kafka_version


@pytest.mark.parametrize("environment", [{}, {"KAFKA_VERSION": ""}])
def test_without_a_wish_it_is_the_version_that_we_test_on(environment: dict[str, str]) -> None:
    assert kafka_version(environment) == KAFKA_VERSION


def test_another_version_can_be_named() -> None:
    assert kafka_version({"KAFKA_VERSION": "3.9.2"}) == "3.9.2"


@pytest.mark.parametrize("wish", ["latest", "4.1", "../../etc", "4.1.1</version>"])
def test_what_is_no_version_is_refused_with_an_example(wish: str) -> None:
    with pytest.raises(JarsUnavailable, match=KAFKA_VERSION):
        kafka_version({"KAFKA_VERSION": wish})

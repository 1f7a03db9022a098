"""The registry: every name is known at once, and what it says of a kind is what the kind says."""

from __future__ import annotations

import pytest

from streams.destinations import BROKEN, OWN, REGISTRY, ROUTED


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_kind_has_the_name_that_it_is_registered_by_and_is_routed_to_unless_it_is_received(name: str) -> None:
    kind = REGISTRY[name]
    assert kind is OWN[name]
    assert kind.name == name
    assert kind.problem() == ""
    assert (name in ROUTED) is not kind.is_received


def test_what_nobody_registered_is_not_there() -> None:
    assert "nobody" not in REGISTRY
    assert "nobody" not in BROKEN
    with pytest.raises(KeyError):
        REGISTRY["nobody"]


def test_a_kind_of_another_package_comes_after_our_own() -> None:
    assert list(REGISTRY)[: len(OWN)] == list(OWN)
    assert len(REGISTRY) == len(list(REGISTRY))

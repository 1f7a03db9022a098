"""Every destination of the registry passes the suite that other packages run on theirs."""

from __future__ import annotations

import pytest

from streams.destinations import REGISTRY
from streams.testing.conformance import CHECKS, Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_destination_conforms(name: str, check: Check) -> None:
    check(REGISTRY[name])

"""A destination of another package that cannot be used is a problem of the configuration, with its reason."""

from __future__ import annotations

import pytest

from streams.config import ConfigurationError, connector_section, loads
from tests.config.vendors import REGISTRY


def test_a_package_that_cannot_be_loaded_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"newline": "newline_destination:NEWLINE cannot be loaded: ImportError: no"}
    monkeypatch.setattr(connector_section, "BROKEN", broken)
    text = "kafka: {bootstrap_servers: k:1}\nconnectors: {lines: {destination: newline}}"
    with pytest.raises(ConfigurationError) as caught:
        loads(text, {}, registry=REGISTRY)
    assert "newline_destination:NEWLINE cannot be loaded: ImportError: no" in str(caught.value)

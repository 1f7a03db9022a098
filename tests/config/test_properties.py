"""Whatever stands in the file: settings or problems with a path, never another error, never a secret."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.config import ConfigurationError, loads
from tests.config.vendors import REGISTRY

NAMES = [
    "kafka",
    "source",
    "connectors",
    "bootstrap_servers",
    "options",
    "topics",
    "partitions",
    "destination",
    "events",
    "rate",
    "grace",
    "retry",
    "give_up_after",
    "notify",
    "smtp",
    "email",
    "webhook",
    "region",
    "project_token",
    "auth",
    "feeds",
    "key",
    "secret",
    "schema_registry",
    "url",
    "topic_prefix",
    "encoding",
    "one",
    "acks",
    "sasl.password",
]
KEYS = st.sampled_from(NAMES) | st.text(max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["acme", "bolter", "us", "48h", "all", "kafka:9092", "auto", "^x", "${NOPE}", "file:/no"])
    | st.text(max_size=5)
    | st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "kafka": VALUES | st.fixed_dictionaries({"bootstrap_servers": SCALARS, "options": VALUES}),
        "source": VALUES,
        "connectors": VALUES
        | st.dictionaries(
            KEYS,
            st.fixed_dictionaries(
                {"destination": st.sampled_from(["acme", "bolter"])},
                optional=dict.fromkeys(
                    ("project_token", "auth", "feeds", "events", "notify", "retry", "grace"), VALUES
                ),
            ),
            max_size=2,
        ),
        "extra": VALUES,
    },
)


def loaded(text: str) -> ConfigurationError | None:
    try:
        loads(text, {}, registry=REGISTRY)
    except ConfigurationError as error:
        return error
    return None


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_any_structure_loads_or_tells_its_problems(document: dict[str, Any]) -> None:
    error = loaded(yaml.safe_dump(document))
    if error is not None:
        assert error.problems
        assert all(problem.fix for problem in error.problems)
        paths = [(problem.path, problem.fix) for problem in error.problems]
        assert len(paths) == len(set(paths))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="kafka: {}[]-&*!|>'\"#%@\n\t0a\\", max_size=60))
def test_any_text_loads_or_tells_its_problems(text: str) -> None:
    error = loaded(text)
    assert error is not None
    assert error.problems

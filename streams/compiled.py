"""The hot modules, which run as plain Python or compiled by mypyc, and which of both runs here."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

MODULES = (
    "streams.events.walker",
    "streams.destinations.wire",
    "streams.destinations.event_encoder",
    "streams.destinations.mixpanel.encoder",
    "streams.destinations.mparticle.encoder",
    "streams.delivery.composer",
    "streams.delivery.ledger",
    "streams.delivery.batch",
    "streams.delivery.queues",
    "streams.delivery.lane",
    "streams.delivery.pace",
    "streams.delivery.sent_rows",
    "streams.workers.sink.intake",
    "streams.wayback.datum",
    "streams.destinations.answers",
    "streams.destinations.braze.composer",
    "streams.destinations.braze.destination",
    "streams.destinations.braze.items",
    "streams.destinations.braze.requests",
    "streams.destinations.braze.plain_events",
    "streams.destinations.braze.event_runs",
    "streams.destinations.braze.layout",
    "streams.destinations.braze.user_track",
    "streams.destinations.braze.verdicts",
    "streams.adapters.seen_filter",
    "streams.adapters.scratch",
    "streams.adapters.scratch_memory",
    "streams.workers.router.distribution",
    "streams.workers.sink.committer",
    "streams.workers.sink.dispatch",
    "streams.workers.sink.requests",
    "streams.workers.sink.window",
    "streams.workers.sink.composition.composed_delivery",
    "streams.workers.sink.composition.places",
    "streams.workers.sink.composition.partitions",
    "streams.workers.sink.composition.composed_batch",
    "streams.workers.sink.composition.remembered",
    "streams.workers.sink.composition.requests",
)
"""A change here needs no other: `tools/compile.py` compiles them, the image and the wheels take them along."""
LIBRARY = "streams.hot"
"""What they are compiled into: one library, so that they call each other without the interpreter in between. mypyc adds
`__mypyc` to its name; beside each module there is a file that only opens it."""


def how_it_runs() -> str:
    """`compiled`, `plain Python`, or which modules are compiled where only some are."""
    compiled = [name for name in MODULES if _is_compiled(name)]
    if len(compiled) == len(MODULES):
        return "compiled"
    return f"compiled in part: {', '.join(compiled)}" if compiled else "plain Python"


def _is_compiled(name: str) -> bool:
    source = Path(__file__).parent.joinpath(*name.split(".")[1:])
    return any(source.with_name(source.name + suffix).exists() for suffix in EXTENSION_SUFFIXES)

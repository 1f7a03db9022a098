"""`python -m tests.simulation --seed 1 --steps 100000`: plays seed after seed until so many steps were taken."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import structlog

from tests.simulation.failure import Failure, Played
from tests.simulation.inlets import failure_of as failure_of_inlets
from tests.simulation.run import failure_of
from tests.simulation.way_back.run import failure_of as failure_of_way_back

ACTS = 60
SAY_SECONDS = 10.0
WORLDS: dict[str, Callable[..., Failure | None]] = {
    "currents": failure_of,
    "way-back": failure_of_way_back,
    "inlets": failure_of_inlets,
}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    arguments.add_argument("--seed", type=int, default=1, help="the first seed; each plan has the next")
    arguments.add_argument("--steps", type=int, default=100_000, help="stop after so many steps of processes")
    arguments.add_argument("--acts", type=int, default=ACTS, help="length of a plan")
    arguments.add_argument("--world", choices=WORLDS, default="currents", help="what is played")
    options = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    seed, steps, faults, began, say_at = options.seed, 0, 0, time.process_time(), 0.0

    def count(played: Played) -> None:
        nonlocal steps, faults
        steps, faults = steps + played.steps, faults + played.faults

    while steps < options.steps:
        failure = WORLDS[options.world](seed, options.acts, tell=count)
        if failure is not None:
            print(failure)
            print(f"again: make simulate SEED={seed} STEPS=1 ACTS={options.acts} WORLD={options.world}")
            return 1
        seed += 1
        if time.monotonic() >= say_at:
            say_at = time.monotonic() + SAY_SECONDS
            print(f"seed {seed}: {steps} steps, {faults} faults", file=sys.stderr, flush=True)
    seconds = time.process_time() - began
    print(f"{seed - options.seed} plans from seed {options.seed}, {steps} steps, {faults} faults: every invariant held")
    print(f"{seconds:.0f} CPU-seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())

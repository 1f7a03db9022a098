"""The whole of `streams` as one deterministic world, which a seed plays and repeats.

Routers, sinks and keepers run as they are, wired as `streams.cli.assembly` wires them (`processes.py`), on the fakes
that `streams.testing.ports` ships and that `tests/contracts` holds to the real adapters. There is no thread: the world
(`world.py`) tells each process when it takes a step. There is one clock, the broker's and the destination's; those of
processes differ from it, and jump. What is not ours is simulated: the destination and the line to it (`vendor.py`),
which speaks as Mixpanel, or as mParticle with a key for each of two platforms (`wires.py`).

- A **plan** (`plan.py`) is a list of **acts** (`acts.py`), drawn from a seed before anything begins. An act holds all
  that it needs, and nothing is drawn while a plan is played. So a plan without some of its acts is a plan, too.
- A process **dies** before or after any call of any of its ports (`mortal.py`). Afterwards it has no effect.
- A **zombie** is a process whose name was given to another. It goes on, with what it knows, when it is woken.
- A process is **expelled** when its group goes on without it. It learns this at its next poll, not before.
- The **checker** (`invariants.py`) looks after every step: each event is routed once and in order; what is committed
  was delivered, skipped or parked; the account says what the topics hold; a letter is the source's record byte for
  byte; no letter is purged early or without a receipt; bytes are deleted behind cursors only; a keeper that was
  replaced writes nothing; nothing is sent to a key that is known to be dead, nor a second time without a reason.
- **Retention** deletes records that were not read: of those that a group passed and that have no other fate, `lost`
  counts each. While a gap is counted by its offsets, the account differs by no more than that.
- A topic is **made again**: somebody deletes it with all that is on it (`made_again.py`). Once all have noticed, the
  account is exact again, and what is missing was deleted and counts as lost.
- **Large** records are refused by a topic, and go where they are taken: to the source's dead letters, to the rejected
  ones, or into the audit.
- A letter of a **scope** is parked for that scope, and only if its key was refused. **Clocks** that are right purge
  nothing that is younger than the grace by the broker's clock; one that is far off purges nothing. Nothing is purged
  while an **extension** waits.
- At the end everything but the keys is fixed: whatever has a good key must be delivered, and nothing may wait. Then
  the keys are fixed, and all that can be delivered must be.
- A plan that fails is **shortened** (`shrink.py`): acts are left out for as long as what is left fails.

A storage **inlet** is a small world of its own (`inlets.py`, `inlet_acts.py`).

`make simulate SEED=7 STEPS=1000000` plays seeds from 7 on. What real chaos (`tests/chaos`) finds and this cannot is a
fault of the fakes: fix the fake, then the code.
"""

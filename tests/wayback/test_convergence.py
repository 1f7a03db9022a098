"""Whatever comes in whatever order, Braze ends with the vendor's last complete word.

A partition's log is made at random: words about single users, attributes, events, full copies whose pages are shuffled,
repeated, changed and left out, copies that overlap. A sink's composer reads it: letters are parked and come back late,
answers are lost after Braze took them, processes die before they remember. Then Braze's ledger is compared with the
truth, which is worked out from the log alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.wayback.one_sink import OneSink
from tests.wayback.vendor_log import GROUPS, USERS, VendorLog, attributes_by, events_of, members_by

RUNS = int(os.environ.get("CONVERGENCE_RUNS", "60"))
SEED = int(os.environ.get("CONVERGENCE_SEED", "0")) or Random().randrange(1, 10**9)


@pytest.mark.parametrize("run", range(RUNS))
def test_braze_ends_with_the_vendors_last_complete_word(run: int, tmp_path: Path) -> None:
    seed = SEED + run
    print(f"CONVERGENCE_SEED={seed} CONVERGENCE_RUNS=1 repeats this run alone")
    random = Random(seed)
    vendor = VendorLog(random)
    vendor.write(random.randint(5, 150))
    sink = OneSink(random, tmp_path / "partition.sqlite", vendor.log, USERS)
    sink.run()
    sink.scratch.close()
    members = {group: members_by(vendor.log, group) for group in GROUPS}
    users = sink.users()
    for user in USERS:
        row = users[user]
        attributes = dict(row["attributes"])
        names = {GROUPS[group] for group in ("cohorts/7", "cohorts/8", "cohorts/9") if user in members[group]}
        ids = {group.partition("/")[2] for group in ("audiences/1", "audiences/2") if user in members[group]}
        text = attributes.pop("SegmentMembership", None)
        assert set(attributes.pop("Mixpanel_Cohorts", [])) == names
        assert set(text.split(",") if text else []) == {f"'{each}'" for each in ids}
        assert set(attributes.pop("SegmentMembershipArray", [])) == ids
        for group in ("audiences/1", "audiences/2"):
            assert attributes.pop(f"In {GROUPS[group]}", False) == (user in members[group])
        is_in_both = user in members["both/7"]
        assert attributes.pop("Both", []) == (["Both"] if is_in_both else [])
        assert row["cohorts"] == (["7"] if is_in_both else [])
        assert attributes == attributes_by(vendor.log, user)
        assert {event["name"] for event in row["events"]} == set(events_of(vendor.log, user))

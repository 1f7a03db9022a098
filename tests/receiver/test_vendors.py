"""The emulated vendors send to a real receiver, and what they said is on Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from streams.wayback.records import Event, Membership
from tests.emulators.sender import batch, post_batches
from tests.receiver.scene import COHORTS, CONNECTOR, DATA, KEY, KEYED, PASSWORD, receiving
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]


def test_cohorts_audiences_and_events_of_the_vendors_are_received(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        base = f"http://127.0.0.1:{scene.start().port}/receive/{CONNECTOR}"
        mixpanel.set_cohort("7", "VIP", {f"user-{number}": {} for number in range(1001)})
        state = mixpanel.start_sync("7", f"{base}/{COHORTS}", user="mixpanel", password=PASSWORD)
        assert (state["completed"], state["unexpected"]) == (1, 0)
        mixpanel.set_cohort("7", "VIP", {})
        assert mixpanel.sync("7")["completed"] == 2
        mparticle.set_output("data", "webhook", f"{base}/{DATA}", KEY)
        mparticle.set_output("audiences", "firehose", f"{base}/{KEYED}", KEY, key_setting="streams_key")
        mparticle.set_audience(11036, "Newsletter", ["user-1"])
        assert post_batches(mparticle, [batch()]).status == 202
        wait_until(
            lambda: [each["waiting"] for each in mparticle.outputs().values()] == [0, 0], "all of it to be forwarded"
        )
        assert {call["status"] for call in mparticle.outgoing()} == {200, 202}
        assert mixpanel.start_sync("7", f"{base}/{COHORTS}", user="mixpanel", password="wrong")["state"] == "paused"
        found = scene.records()
        changes = [each.change for each in found if isinstance(each, Membership) and each.entry == COHORTS]
        assert {change: changes.count(change) for change in set(changes)} == {"present": 1001, "remove": 1001}
        assert [each.group_id for each in found if isinstance(each, Membership) and each.entry == KEYED] == ["11036"]
        assert {each.entry for each in found if isinstance(each, Event)} == {DATA, KEYED}

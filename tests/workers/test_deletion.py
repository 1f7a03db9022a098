"""Deleting the bytes of settled letters: what fails is tried again until it is done, and told meanwhile."""

from __future__ import annotations

import pytest

from tests.workers.stage import CREDENTIALS, Stage
from tests.workers.test_credentials import Vendor

PLACE = (CREDENTIALS + "default", 0)


def redriven(vendor: Vendor) -> Stage:
    """A stage whose letters go back while Kafka refuses every deletion."""
    vendor.status = 401
    stage = Stage(vendor)
    for _ in range(3):
        stage.event()
    stage.run(5)
    stage.letter_topics.refusal = "Kafka does not allow Delete"
    vendor.status = 200
    stage.run(60)
    assert stage.view.cursors
    return stage


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def test_a_deletion_that_failed_is_tried_again_until_it_is_done(vendor: Vendor) -> None:
    stage = redriven(vendor)
    assert PLACE not in stage.kafka.deleted_before
    stage.letter_topics.refusal = ""
    stage.run(11)
    assert stage.kafka.deleted_before[PLACE] == 3


def test_a_deletion_that_failed_is_told_until_it_is_done(vendor: Vendor) -> None:
    stage = redriven(vendor)
    told = stage.view.deletion
    assert told is not None
    assert "Delete" in told.reason
    stage.run(60)
    assert stage.view.deletion == told, "said once"
    stage.letter_topics.refusal = ""
    stage.run(11)
    assert stage.view.deletion is None


def test_the_next_lease_deletes_what_the_one_before_could_not(vendor: Vendor) -> None:
    before = redriven(vendor)
    after = Stage(vendor, kafka=before.kafka, clock=before.clock, instance="sink-1")
    assert after.view.deletion is not None
    after.run(5)
    assert before.kafka.deleted_before[PLACE] == 3
    assert after.view.deletion is None


def test_a_lease_that_the_same_process_takes_again_deletes_again(vendor: Vendor) -> None:
    stage = redriven(vendor)
    stage.letter_topics.refusal = ""
    stage.run(11)
    stage.kafka.deleted_before.clear()
    stage.keeper.own(False)
    stage.keeper.step()
    stage.keeper.own(True)
    stage.run(1)
    assert stage.kafka.deleted_before[PLACE] == 3

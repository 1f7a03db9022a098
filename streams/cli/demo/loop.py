"""The story of the way back in under a minute: Currents events go out, and a cohort, an audience and an attribute
come back into Braze; what did not change is not written again; a key is changed midway, and nobody notices."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal

from streams.cli.demo.acts import Story
from streams.cli.demo.result import Arrived, Written
from streams.cli.demo.stage import MIXPANEL, MPARTICLE
from streams.delivery.account import Account
from streams.emulators.braze.options import BrazeOptions, RestKey
from streams.emulators.mparticle.options import Feed
from streams.testing.emulators import BrazeEmulator
from streams.testing.processes import free_port

BRAZE = "demo-braze"
COHORTS, FIREHOSE = "cohorts", "firehose"
KEY, KEY_SETTING = "key-of-the-demonstration", "streams_key"
SITE: Feed = "web"
"""The input of mParticle that the attribute comes by."""
ENVIRONMENT: Literal["production"] = "production"
"""Currents events go to the other one, so mParticle does not forward them."""
USERS = ("user-1", "user-2", "user-3")
OLD_KEY, NEW_KEY = RestKey(), RestKey(name="new", key="00000000-1111-2222-3333-555555555555")
COHORT_ID, COHORT = "7", "Frequent readers"
AUDIENCE_ID, AUDIENCE = 11036, "Newsletter"
ANSWER_SECONDS_MAX = 10.0

Users = dict[str, dict[str, Any]]
BEFORE: Users = {"user-1": {}, "user-2": {}, "user-3": {}}
SYNCED: Users = {
    "user-1": {"Mixpanel_Cohorts": [COHORT], "SegmentMembership": f"'{AUDIENCE_ID}'"},
    "user-2": {"Mixpanel_Cohorts": [COHORT]},
    "user-3": {"first_name": "Three"},
}
AFTER: Users = {**SYNCED, "user-2": {}}


class LoopStory(Story):
    """`run` plays it, `result` is its account."""

    def _play(self) -> None:
        self._until(lambda accounts: all(accounts[name].delivered for name in (MIXPANEL, MPARTICLE)), "events go out")
        self._tell("Currents events go out to Mixpanel and mParticle")
        self._tell_users("Braze's users, before")
        self._until(lambda _: self._is_listening(), "the receiver listens")
        self._set_cohort("user-1", "user-2")
        self._sync_from_the_start()
        self._mparticle.set_output(
            "braze", "firehose", self._address(FIREHOSE), KEY, key_setting=KEY_SETTING, environment=ENVIRONMENT
        )
        self._mparticle.set_audience(AUDIENCE_ID, AUDIENCE, ["user-1"])
        self._post_attributes("user-3", {"$FirstName": "Three"})
        self._tell("Mixpanel sends a cohort, mParticle an audience and an attribute; the receiver takes them")
        self._until(lambda _: self._users() == SYNCED, "Braze has them")
        self._tell_users("Braze's users, after")
        self._sync_unchanged()
        (self._folder / "rest-key").write_text(NEW_KEY.key)
        self._braze.revoke(OLD_KEY.name)
        self._tell("Braze's key is changed: the file has the new one, Braze refuses the old one")
        self._set_cohort("user-1")
        self._mixpanel.sync(COHORT_ID)
        self._until(lambda _: self._users() == AFTER, "user-2 has left the cohort")
        self._tell_users("Braze's users, at the end")
        self._sends = iter(())
        self._until(lambda _: self._is_settled(), "everything is settled")

    def _sync_unchanged(self) -> None:
        """The whole cohort once more."""
        self._until(lambda accounts: not accounts[BRAZE].waiting, "all of it is settled")
        before = self._objects()
        received = self._accounts()[BRAZE].received or 0
        self._sync_from_the_start()
        self._until(
            lambda accounts: (accounts[BRAZE].received or 0) > received and not accounts[BRAZE].waiting,
            "the second sync is settled",
        )
        self._written_again = self._objects() - before
        self._tell(f"Mixpanel syncs the cohort again, unchanged: {self._written_again} writes in Braze")

    def _tell_users(self, when: str) -> None:
        self._tell(f"{when}:")
        for name, attributes in self._users().items():
            self._tell(f"  {name}  {_attributes_told(attributes)}")

    def _status(self, accounts: dict[str, Account]) -> str:
        received = accounts[BRAZE].received or 0
        waiting = ", ".join(f"{name} {totals.waiting:,}" for name, totals in accounts.items() if totals.waiting)
        read = self._account_reader.router().read
        return f"  sent {self._sent:,}, read {read:,}; received for Braze {received:,}; waiting: {waiting or 'none'}"

    def _further_problems(self, _accounts: dict[str, Account]) -> list[str]:
        """Braze has what the vendors said last, and nothing was written twice."""
        problems = []
        if self._users() != AFTER:
            problems.append(f"Braze has {_told(self._users())}; it should have {_told(AFTER)}")
        if self._written_again:
            problems.append(f"an unchanged sync wrote {self._written_again:,} objects")
        return problems

    # The stage.

    def _emulate(self, stack: ExitStack) -> None:
        super()._emulate(stack)
        self._written_again = self._posted = 0
        self._port = free_port()
        self._braze = stack.enter_context(BrazeEmulator(BrazeOptions(rest_keys=(OLD_KEY, NEW_KEY), users=USERS)))
        (self._folder / "rest-key").write_text(OLD_KEY.key)

    def _commands(self) -> list[list[str]]:
        return [*super()._commands(), ["sink", BRAZE], ["receiver"]]

    def _configuration(self, bootstrap_servers: str) -> dict[str, Any]:
        content = super()._configuration(bootstrap_servers)
        content["receiver"] = {"port": self._port}
        content["connectors"][BRAZE] = {
            "destination": "braze",
            "base_url": self._braze.base_url,
            "rest_key": f"file:{self._folder / 'rest-key'}",
            "scratch": str(self._folder / "scratch"),
            "receive": {
                COHORTS: {"kind": "mixpanel_cohorts", "auth": {"passwords": [KEY]}},
                FIREHOSE: {"kind": "firehose", "keys": [KEY], "key_setting": KEY_SETTING},
            },
        }
        return content

    def _arrived(self) -> Mapping[str, Arrived | Written]:
        arrived = super()._arrived()
        mparticle = arrived[MPARTICLE]
        assert isinstance(mparticle, Arrived)
        shown = None if mparticle.shown is None else mparticle.shown - self._posted  # no connector sent these
        return {
            **arrived,
            MPARTICLE: Arrived(mparticle.taken - self._posted, shown),
            BRAZE: Written(self._objects()),
        }

    # Braze, and the vendors.

    def _users(self) -> Users:
        """The attributes of the users that the story is about; empty lists left out."""
        found = self._braze.users()
        return {
            name: {key: value for key, value in found[name]["attributes"].items() if value not in ([], None)}
            for name in USERS
        }

    def _objects(self) -> int:
        """How often a user of the story was written; probes name another."""
        return sum(row["user"] in USERS for row in self._braze.rows())

    def _address(self, entry: str) -> str:
        """Where the vendors send to."""
        return f"http://127.0.0.1:{self._port}/receive/{BRAZE}/{entry}"

    def _is_listening(self) -> bool:
        """Whether the receiver answers, whatever it says."""
        try:
            with urllib.request.urlopen(self._address(COHORTS), timeout=ANSWER_SECONDS_MAX):  # noqa: S310 - our own
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def _set_cohort(self, *users: str) -> None:
        self._mixpanel.set_cohort(COHORT_ID, COHORT, {user: {"$braze_external_id": user} for user in users})

    def _sync_from_the_start(self) -> None:
        """A full copy; Mixpanel tries again by itself where the receiver asks for it."""
        self._mixpanel.start_sync(COHORT_ID, self._address(COHORTS), user="mixpanel", password=KEY)
        self._until(lambda _: self._mixpanel.sync_state(COHORT_ID)["completed"] > 0, "Mixpanel has sent the cohort")

    def _post_attributes(self, user: str, attributes: Mapping[str, Any]) -> None:
        """A server of the customer tells mParticle of a user."""
        keys = self._mparticle.feeds[SITE]
        secret = base64.b64encode(f"{keys.key}:{keys.secret}".encode()).decode()
        content = {
            "environment": ENVIRONMENT,
            "source_request_id": f"attributes-of-{user}",
            "user_identities": {"customer_id": user},
            "user_attributes": dict(attributes),
            "events": [],
        }
        request = urllib.request.Request(  # noqa: S310 - our own address; so below
            f"{self._mparticle.base_url}/v2/events",
            json.dumps(content).encode(),
            {"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX).close()  # noqa: S310
        self._posted += 1


def _told(users: Users) -> str:
    return "; ".join(f"{name} {_attributes_told(attributes)}" for name, attributes in users.items())


def _attributes_told(attributes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items())) or "-"

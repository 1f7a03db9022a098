"""Typed clients of the emulators, which start them too; the pytest plugin makes fixtures of them.

    with MixpanelEmulator() as mixpanel:
        mixpanel.fail(status=503, headers={"Retry-After": "2"}, count=3)
        ...  # run a sink against mixpanel.base_url
        assert len(mixpanel.unique()) == 10_000

The emulator runs on a thread of this process, on a free port of the loopback; with `is_process=True` as a process of
its own, which a benchmark wants. `MixpanelClient(url)`, `MParticleClient(url)` and `BrazeClient(url)`
speak to one that runs elsewhere.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from streams.emulators.braze.options import BrazeOptions, CohortApi
from streams.emulators.faults import Fault
from streams.emulators.host import HostedService, Options
from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.emulators.mparticle.options import Input, MParticleOptions
from streams.testing.lifetime import Startable

ANSWER_SECONDS_MAX = 60.0
"""A control call answers at once; half a million rows take some seconds."""
STOP_SECONDS_MAX = 10.0


class ControlError(Exception):
    """The emulator refused a control call; the text is its own."""


class EmulatorClient:
    """Control calls that every emulator answers."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    @property
    def base_url(self) -> str:
        """Where the vendor is, for a connector's `base_url`."""
        return self._base_url

    def rows(self) -> list[dict[str, Any]]:
        """Everything that was stored, duplicates too."""
        return self._list("raw", "rows")

    def unique(self) -> list[dict[str, Any]]:
        """What is left of it after the vendor's deduplication: what its users see."""
        return self._list("query", "rows")

    def requests(self) -> list[dict[str, Any]]:
        """The newest requests, as the ledger keeps them: time, path, sizes, sha256, record ids, status."""
        return self._list("requests", "requests")

    def totals(self) -> dict[str, Any]:
        """Counts of everything since the last reset, whatever is kept."""
        return self.call("GET", "totals")

    def retried_400(self) -> list[dict[str, Any]]:
        """What was sent again after it had been refused by name."""
        return self._list("retried_400", "records")

    def fail(self, **fault: Any) -> None:
        """Add a fault: the fields of `streams.emulators.faults.Fault`. Raises pydantic's `ValidationError`."""
        self.call("POST", "faults", [Fault(**fault).model_dump(exclude_defaults=True)])

    def faults(self) -> list[dict[str, Any]]:
        """What is left of the script."""
        return self._list("faults", "faults")

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")

    def credentials(self) -> list[dict[str, Any]]:
        """Names of the credentials, and whether each is revoked."""
        return self._list("credentials", "credentials")

    def revoke(self, name: str | None = None) -> None:
        """From now on this credential, or each, is refused. Raises `ControlError` where there is none of that name."""
        self.call("PUT", "credentials", {"name": name, "revoked": True})

    def restore(self, name: str | None = None) -> None:
        """This credential, or each, is good again. Raises `ControlError` where there is none of that name."""
        self.call("PUT", "credentials", {"name": name, "revoked": False})

    def change_secret(self, name: str, secret: str) -> None:
        """Only this secret is good from now on."""
        self.call("PUT", "credentials", {"name": name, "secret": secret})

    def now_ms(self) -> int:
        """The emulator's time."""
        return int(self.call("GET", "time")["now_ms"])

    def set_now(self, now_ms: int) -> None:
        """The emulator's clock stands still at this time until it is set again."""
        self.call("PUT", "time", {"now_ms": now_ms})

    def shift_time(self, offset_ms: int) -> None:
        """The emulator's clock runs, so far ahead of the machine's; 0 is the machine's time."""
        self.call("PUT", "time", {"offset_ms": offset_ms})

    def outgoing(self) -> list[dict[str, Any]]:
        """What Mixpanel and mParticle sent by themselves: kind, url, time, size, status of the answer."""
        return self._list("outgoing", "records")

    def reset(self) -> None:
        """Rows, ledger, faults, clock and credentials as at the start."""
        self.call("POST", "reset")

    def call(self, method: str, name: str, content: Any = None) -> dict[str, Any]:
        """One control call. Raises `ControlError`, and `OSError` where nothing listens."""
        address = urlsplit(self.base_url)
        assert address.hostname is not None
        with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=ANSWER_SECONDS_MAX)) as line:
            body = None if content is None else orjson.dumps(content)
            line.request(method, f"/_emulator/{name}", body=body, headers={"Connection": "close"})
            answer = line.getresponse()
            found: dict[str, Any] = orjson.loads(answer.read())
        if answer.status != 200:
            raise ControlError(found["error"])
        return found

    def _list(self, name: str, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", name)[key]
        return found


class MixpanelClient(EmulatorClient):
    """An emulated Mixpanel that runs somewhere."""

    def compacted(self) -> list[dict[str, Any]]:
        """Rows as after compaction: one per event, distinct_id, `$insert_id` and UTC day."""
        return self._list("compacted", "rows")

    def profile_updates(self) -> list[dict[str, Any]]:
        """What `/engage` and `/groups` took, as it came: `project_id`, `kind` (`user`, `group`), `update`."""
        return self._list("profile_updates", "records")

    def set_cohort(self, cohort_id: str, name: str, members: Mapping[str, Mapping[str, Any]]) -> None:
        """The cohort has these members from now on: by distinct id, with the properties that are exported."""
        self.call("PUT", "cohorts", {"cohort_id": cohort_id, "name": name, "members": members})

    def start_sync(
        self,
        cohort_id: str,
        url: str,
        *,
        user: str = "",
        password: str = "",
        cadence: Literal["dynamic", "one_time"] = "dynamic",
    ) -> dict[str, Any]:
        """Sync a cohort to a webhook from now on, beginning with a full copy; also a sync that is paused. Returns as
        `sync` does. Raises `ControlError` for an unknown cohort."""
        order = {"cohort_id": cohort_id, "url": url, "user": user, "password": password, "cadence": cadence}
        self.call("PUT", "syncs", order)
        return self.sync_state(cohort_id)

    def sync(self, cohort_id: str) -> dict[str, Any]:
        """Sync now, without waiting for the next half hour. Returns the sync's state after everything was sent that is
        due at the emulator's time. Raises `ControlError` where the sync is paused or unknown."""
        self.call("POST", "syncs", {"cohort_id": cohort_id})
        return self.sync_state(cohort_id)

    def sync_state(self, cohort_id: str) -> dict[str, Any]:
        """`state` (`active`, `paused`, `failed`, `done`), `next_at_ms`, `last_status`, `message`, `completed`,
        `failed`, `mails`, … Raises `KeyError` where the cohort has no sync."""
        return {sync["cohort_id"]: sync for sync in self._list("syncs", "records")}[cohort_id]


class MParticleClient(EmulatorClient):
    """An emulated mParticle that runs somewhere. Each row holds a `batch`, its `feed`, `duplicate` and `losses`."""

    def unique(self) -> list[dict[str, Any]]:
        """The batches that are left after deduplication."""
        return [row["batch"] for row in super().unique()]

    def dropped(self) -> list[dict[str, Any]]:
        """Batches that vanished behind a 202, and why."""
        return self._list("dropped", "records")

    def repeated_messages(self) -> list[dict[str, Any]]:
        """Each `source_message_id` that was stored more than once, and how often."""
        return self._list("repeated_messages", "records")

    def set_output(
        self,
        name: str,
        kind: Literal["webhook", "firehose"],
        url: str,
        key: str,
        *,
        key_setting: str = "",
        send_as_batch: bool = True,
        environment: Literal["development", "production"] | None = None,
    ) -> None:
        """Forward what is accepted from now on to this address, of one environment or of both. `key` is the
        `Authorization` header, or with `key_setting` that account setting of Firehose. Only Firehose carries
        audiences."""
        order = {"name": name, "kind": kind, "url": url, "key": key, "key_setting": key_setting}
        self.call("PUT", "outputs", {**order, "send_as_batch": send_as_batch, "environment": environment})

    def outputs(self) -> dict[str, dict[str, Any]]:
        """By name: `waiting`, `delivered`, `dropped`, `last_status`."""
        return {output["name"]: output for output in self._list("outputs", "records")}

    def set_audience(self, audience_id: int, name: str, members: Sequence[str], *, connected: bool = True) -> None:
        """The audience has this name and these members from now on, by customer id. Firehose outputs are told who
        joined and left, of another name, and once that it is not `connected` any more."""
        order = {"audience_id": audience_id, "name": name, "members": list(members), "connected": connected}
        self.call("PUT", "audiences", order)


class BrazeClient(EmulatorClient):
    """An emulated Braze that runs somewhere. Each row holds an `object`, its `kind`, `user`, `ignored` and `losses`."""

    def unique(self) -> list[dict[str, Any]]:
        """Users: Braze deduplicates nothing, what its users see are profiles."""
        return self._list("query", "rows")

    def users(self) -> dict[str, dict[str, Any]]:
        """By external id: `attributes`, `events`, `purchases`, `cohorts`."""
        return {user["external_id"]: user for user in self.unique()}

    def cohorts(self) -> dict[str, dict[str, Any]]:
        """By id: `name` and `members`."""
        return {cohort["cohort_id"]: cohort for cohort in self._list("cohorts", "records")}

    def repeated(self) -> list[dict[str, Any]]:
        """Each event and purchase that was applied more than once, and how often."""
        return self._list("repeated", "records")


class _Started:
    """Starts and ends what a client speaks to: a thread, or a process."""

    def __init__(self, kind: str, options: Options, is_process: bool) -> None:
        self._kind = kind
        self._options = options
        self._is_process = is_process
        self._hosted: HostedService | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        if not self._is_process:
            self._hosted = HostedService(self._options)
            return self._hosted.start()
        # The options hold credentials: they go by standard input, not by arguments that every process may read.
        command = [sys.executable, "-m", "streams.emulators", self._kind, "--port", "0", "--options", "-"]
        self._process = subprocess.Popen(  # noqa: S603 our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._options.model_dump_json().encode())
        self._process.stdin.close()
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the emulator's process ended before it listened: its stderr says why")
        return str(orjson.loads(line)["base_url"])

    def stop(self) -> None:
        if self._hosted is not None:
            self._hosted.stop()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()


class _Owned(Startable):
    """A context manager that starts and ends an emulator."""

    _base_url: str

    def __init__(self, started: _Started) -> None:
        self._started = started

    def start(self) -> None:
        """Listen on a free port; from then on `base_url` is known."""
        self._base_url = self._started.start()

    def stop(self) -> None:
        self._started.stop()


class MixpanelEmulator(_Owned, MixpanelClient):
    """An emulated Mixpanel of one's own: a context manager, or `start` and `stop`."""

    def __init__(self, options: MixpanelOptions | None = None, *, is_process: bool = False) -> None:
        self.options = options or MixpanelOptions()
        MixpanelClient.__init__(self, "")
        _Owned.__init__(self, _Started("mixpanel", self.options, is_process))

    @property
    def project(self) -> Project:
        """The first configured project."""
        return self.options.projects[0]

    @property
    def project_token(self) -> str:
        """The first project's token: enough to configure a connector."""
        return self.project.token


class MParticleEmulator(_Owned, MParticleClient):
    """An emulated mParticle of one's own: a context manager, or `start` and `stop`."""

    def __init__(self, options: MParticleOptions | None = None, *, is_process: bool = False) -> None:
        self.options = options or MParticleOptions()
        MParticleClient.__init__(self, "")
        _Owned.__init__(self, _Started("mparticle", self.options, is_process))

    @property
    def feeds(self) -> dict[str, Input]:
        """The inputs by feed, each with `key` and `secret`: enough to configure a connector."""
        return {each.feed: each for each in self.options.inputs}


class BrazeEmulator(_Owned, BrazeClient):
    """An emulated Braze of one's own: a context manager, or `start` and `stop`."""

    def __init__(self, options: BrazeOptions | None = None, *, is_process: bool = False) -> None:
        self.options = options or BrazeOptions()
        BrazeClient.__init__(self, "")
        _Owned.__init__(self, _Started("braze", self.options, is_process))

    @property
    def rest_key(self) -> str:
        """The first REST key: enough to call `/users/track`."""
        return self.options.rest_keys[0].key

    @property
    def cohort_api(self) -> CohortApi:
        """The partner and the keys of the cohort import."""
        assert self.options.cohort_api is not None
        return self.options.cohort_api

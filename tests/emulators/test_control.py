"""Control calls: the ledger, credentials, the clock, reset; and what runs an emulator."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.emulators.mixpanel.options import Account, MixpanelOptions, Project
from streams.emulators.mparticle.options import Input, MParticleOptions
from streams.testing.emulators import ControlError, MixpanelEmulator, MParticleEmulator
from tests.emulators.sender import (
    NOON_MS,
    basic,
    batch,
    event,
    import_bytes,
    import_events,
    post_batches,
    send,
    unanswered,
)
from tests.waiting import wait_until


def test_the_ledger_tells_who_sent_what_and_what_it_was_told(mixpanel: MixpanelEmulator) -> None:
    mixpanel.set_now(NOON_MS)
    events = [event(1), event(2, time="now")]
    import_events(mixpanel, events)
    text = json.dumps(events).encode()
    body = gzip.compress(text, mtime=0)
    (request,) = mixpanel.requests()
    assert request == {
        "number": 1,
        "received_at_ms": NOON_MS,
        "method": "POST",
        "path": "/import",
        "query": {"strict": "1"},
        "headers": {
            "content-type": "application/json",
            "content-encoding": "gzip",
            "content-length": str(len(body)),
        },
        "credential": "project_token",
        "bytes": len(body),
        "bytes_decompressed": len(text),
        "sha256": hashlib.sha256(body).hexdigest(),
        "record_ids": ["event-1", "event-2"],
        "status": 400,
        "fault": None,
    }


def test_the_same_bytes_have_the_same_digest_whatever_the_answer(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=503)
    mixpanel.fail(status=503, when="after")
    for _ in range(3):
        import_events(mixpanel, [event()])
    assert [request["status"] for request in mixpanel.requests()] == [503, 503, 200]
    assert len({request["sha256"] for request in mixpanel.requests()}) == 1


def test_no_control_answer_and_no_repr_holds_a_secret() -> None:
    project = Project(
        token="secret-token", api_secret="secret-api", accounts=(Account(user="robot", secret="secret-account"),)
    )
    feeds = (Input(key="key", secret="secret-input", feed="ios"),)
    with (
        MixpanelEmulator(MixpanelOptions(projects=(project,))) as mixpanel,
        MParticleEmulator(MParticleOptions(inputs=feeds)) as mparticle,
    ):
        import_events(mixpanel, [event()])
        import_bytes(mixpanel, b"[]", headers=basic("robot", "secret-account"), path="/import?project_id=1234567")
        post_batches(mparticle, [batch()])
        shown = repr(mixpanel.options) + repr(mparticle.options)
        for emulator in (mixpanel, mparticle):
            for name in ("requests", "credentials", "raw", "query", "faults", "totals"):
                shown += json.dumps(emulator.call("GET", name))
        assert "secret-" not in shown


def test_a_revoked_credential_is_refused_until_it_is_restored(mixpanel: MixpanelEmulator) -> None:
    mixpanel.revoke("project_token")
    assert {"name": "project_token", "revoked": True} in mixpanel.credentials()
    assert import_events(mixpanel, [event()]).status == 401
    mixpanel.restore("project_token")
    assert import_events(mixpanel, [event()]).status == 200


def test_a_revoked_input_is_forbidden_and_others_are_not(mparticle: MParticleEmulator) -> None:
    mparticle.revoke("ios")
    assert post_batches(mparticle, [batch()], feed="ios").status == 403
    assert post_batches(mparticle, [batch()], feed="android").status == 202


def test_all_credentials_are_revoked_and_restored_together(mparticle: MParticleEmulator) -> None:
    mparticle.revoke()
    assert [post_batches(mparticle, [batch()], feed=feed).status for feed in mparticle.feeds] == [403] * 4
    mparticle.restore()
    assert [post_batches(mparticle, [batch()], feed=feed).status for feed in mparticle.feeds] == [202] * 4


def test_a_secret_is_changed_of_one_credential_only(mparticle: MParticleEmulator) -> None:
    with pytest.raises(ControlError, match="name one of ios, android, web, unbound"):
        mparticle.call("PUT", "credentials", {"secret": "new-secret"})
    assert post_batches(mparticle, [batch()]).status == 202


def test_only_the_new_secret_is_good_after_a_change(mparticle: MParticleEmulator) -> None:
    mparticle.change_secret("web", "new-secret")
    assert post_batches(mparticle, [batch()], feed="web").status == 403
    headers = basic(mparticle.feeds["web"].key, "new-secret")
    assert post_batches(mparticle, [batch()], feed="web", headers=headers).status == 202


def test_an_unknown_credential_is_named_beside_those_there_are(mparticle: MParticleEmulator) -> None:
    with pytest.raises(ControlError, match="there are ios, android, web, unbound"):
        mparticle.revoke("windows")


def test_the_clock_stands_still_runs_ahead_and_goes_home(mixpanel: MixpanelEmulator) -> None:
    mixpanel.set_now(NOON_MS)
    assert mixpanel.now_ms() == NOON_MS
    mixpanel.shift_time(86_400_000 * 400)
    assert import_events(mixpanel, [event(time=NOON_MS + 86_400_000 * 300)]).status == 200
    mixpanel.shift_time(0)
    assert import_events(mixpanel, [event(time=NOON_MS + 86_400_000 * 300)]).status == 400


def test_reset_forgets_rows_requests_faults_time_and_revocations(mixpanel: MixpanelEmulator) -> None:
    import_events(mixpanel, [event()])
    mixpanel.fail(status=500)
    mixpanel.revoke("project_token")
    mixpanel.set_now(NOON_MS)
    mixpanel.reset()
    assert (mixpanel.rows(), mixpanel.requests(), mixpanel.faults()) == ([], [], [])
    assert mixpanel.totals()["imported"] == 0
    assert mixpanel.now_ms() != NOON_MS
    assert import_events(mixpanel, [event()]).status == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_reset_forgets_a_request_that_still_waits_for_its_delay(mixpanel: MixpanelEmulator, when: str) -> None:
    """It would be taken in the middle of the next test."""
    mixpanel.fail(delay=0.5, when=when)
    with unanswered(mixpanel, [event(1, time="now")]):
        wait_until(lambda: mixpanel.faults() == [], "the request to wait")
        mixpanel.reset()
        mixpanel.fail(delay=0.6)  # by the end of this one, which began later, the other delay is over
        assert import_events(mixpanel, [event(2)]).status == 200
    assert [request["record_ids"] for request in mixpanel.requests()] == [["event-2"]]
    assert import_events(mixpanel, [event(1, time="now")]).status == 400
    assert mixpanel.retried_400() == []


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("GET", "nothing", b"", 404),
        ("POST", "raw", b"", 405),
        ("DELETE", "credentials", b"", 405),
        ("POST", "faults", b"{", 400),
        ("PUT", "time", b'{"now": 1}', 400),
        ("PUT", "credentials", b"[]", 400),
    ],
)
def test_a_control_call_that_makes_no_sense_is_told_so(
    mixpanel: MixpanelEmulator, method: str, name: str, body: bytes, status: int
) -> None:
    answer = send(mixpanel.base_url, f"/_emulator/{name}", body, {}, method=method)
    assert answer.status == status
    assert answer.json()["v"] == 1
    assert answer.json()["error"]


def test_an_emulator_in_a_process_of_its_own_answers_as_one_in_a_thread() -> None:
    options = MParticleOptions(inputs=(Input(key="only", secret="one", feed="web"),))
    with MParticleEmulator(options, is_process=True) as emulator:
        assert post_batches(emulator, [batch()], feed="web").status == 202
        assert len(emulator.unique()) == 1


def test_stopping_does_not_wait_for_a_delayed_answer() -> None:
    emulator = MixpanelEmulator()
    emulator.start()
    emulator.fail(delay=500, when="after")
    with pytest.raises(TimeoutError):
        import_events(emulator, [event()], timeout=0.2)
    emulator.stop()
    with pytest.raises(ConnectionRefusedError):
        emulator.rows()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_module_prints_its_address_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    options = tmp_path / "options.json"
    options.write_text('{"limits": {"events_max": 1}}')
    command = [sys.executable, "-m", "streams.emulators", "mixpanel", "--port", "0", "--options", str(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": "error"}) as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert announced["v"] == 1
        headers = basic(Project().token, "")
        body = json.dumps([event(1), event(2)]).encode()
        assert send(announced["base_url"], "/import", body, headers).status == 413
        process.send_signal(number)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["--options", "nowhere.json"], 2, "cannot read --options: No such file"),
        (["--options", "-"], 2, "projects.0.tokens: Extra inputs are not permitted"),
        (["--port", "1"], 1, "cannot listen on 192.0.2.1:1"),
    ],
)
def test_the_module_says_in_a_sentence_why_it_cannot_run(given: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "streams.emulators", "mixpanel", "--host", "192.0.2.1", *given]
    ended = subprocess.run(
        command, input=b'{"projects": [{"tokens": "secret-token"}]}', capture_output=True, timeout=60
    )
    assert ended.returncode == code
    shown = ended.stderr.decode()
    assert said in shown
    assert "Traceback" not in shown
    assert "secret-token" not in shown

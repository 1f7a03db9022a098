"""The vendors' own libraries for Python talk to the emulators as to the vendors."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from importlib import import_module
from typing import Any
from urllib.parse import quote

import pytest

from streams.testing.emulators import MixpanelEmulator, MParticleEmulator

# What these libraries warn of is no matter of ours.
pytestmark = pytest.mark.filterwarnings("ignore")

EVENT_AGE_SECONDS = 600


def mixpanel_library(emulator: MixpanelEmulator, consumer: str = "Consumer", **options: Any) -> tuple[Any, Any]:
    """The library, sending to the emulator, and its consumer."""
    library = import_module("mixpanel")
    base = emulator.base_url
    sender = getattr(library, consumer)(
        events_url=f"{base}/track",
        import_url=f"{base}/import",
        people_url=f"{base}/engage",
        groups_url=f"{base}/groups",
        retry_limit=0,
        **options,
    )
    return library.Mixpanel(emulator.project_token, consumer=sender), sender


def account(emulator: MixpanelEmulator) -> Any:
    library = import_module("mixpanel")
    user, secret = "streams.service-account", "service-account-secret"
    return library.ServiceAccountCredentials(username=user, secret=secret, project_id="1234567")


def names(emulator: MixpanelEmulator) -> list[str]:
    return [row["event"] for row in emulator.rows()]


def test_mixpanel_tracks_an_event(mixpanel: MixpanelEmulator) -> None:
    library, _ = mixpanel_library(mixpanel)
    library.track("person-1", "Order paid", {"total": 12.5})
    (row,) = mixpanel.rows()
    assert (row["event"], row["properties"]["distinct_id"], row["properties"]["total"]) == (
        "Order paid",
        "person-1",
        12.5,
    )


def test_mixpanel_imports_an_event_by_api_secret(mixpanel: MixpanelEmulator) -> None:
    library, _ = mixpanel_library(mixpanel)
    at = int(time.time()) - EVENT_AGE_SECONDS
    library.import_data(None, "person-1", "Order paid", at, api_secret="fedcba9876543210fedcba9876543210")
    assert names(mixpanel) == ["Order paid"]


def test_mixpanel_imports_many_events_by_a_service_account(mixpanel: MixpanelEmulator) -> None:
    library, sender = mixpanel_library(mixpanel, "BufferedConsumer", credentials=account(mixpanel))
    at = int(time.time()) - EVENT_AGE_SECONDS
    for number in range(120):
        library.import_data(None, "person-1", f"Order {number}", at)
    sender.flush()
    assert names(mixpanel) == [f"Order {number}" for number in range(120)]
    assert len(mixpanel.requests()) == 3, "50 events a request"


def test_mixpanel_is_told_of_a_wrong_secret_and_of_a_refused_event(mixpanel: MixpanelEmulator) -> None:
    module = import_module("mixpanel")
    library, _ = mixpanel_library(mixpanel)
    with pytest.raises(module.MixpanelException, match="Invalid credentials"):
        library.import_data(None, "person-1", "Order paid", int(time.time()), api_secret="wrong")
    secret = "fedcba9876543210fedcba9876543210"
    with pytest.raises(module.MixpanelException, match="failed validation"):
        library.import_data(None, "person-1", "Order paid", int(time.time()) + 86_400, api_secret=secret)
    with pytest.raises(module.MixpanelException, match="within the data retention period"):
        library.track("person-1", "Order paid", {"time": int(time.time()) - 6 * 86_400})
    assert mixpanel.rows() == []


def test_mixpanel_updates_profiles_of_users_and_groups(mixpanel: MixpanelEmulator) -> None:
    library, _ = mixpanel_library(mixpanel)
    library.people_set("person-1", {"plan": "gold"}, meta={"$ip": "0"})
    library.people_set_once("person-1", {"first": "today"})
    library.people_increment("person-1", {"visits": 1})
    library.people_append("person-1", {"pages": "a"})
    library.people_union("person-1", {"pages": ["a", "b"]})
    library.people_remove("person-1", {"pages": "a"})
    library.people_unset("person-1", ["plan"])
    library.people_track_charge("person-1", 12.5)
    library.people_clear_charges("person-1")
    library.people_delete("person-1")
    library.group_set("company", "acme", {"size": 7})
    library.group_set_once("company", "acme", {"since": 2020})
    library.group_union("company", "acme", {"cities": ["a"]})
    library.group_unset("company", "acme", ["size"])
    library.group_remove("company", "acme", {"cities": "a"})
    library.group_delete("company", "acme")
    kept = mixpanel.profile_updates()
    assert [row["kind"] for row in kept] == ["user"] * 10 + ["group"] * 6
    assert kept[0]["update"]["$set"] == {"plan": "gold"}
    assert kept[10]["update"]["$group_id"] == "acme"
    assert {row["project_id"] for row in kept} == {mixpanel.project.project_id}
    assert mixpanel.rows() == []


def test_mixpanel_sends_many_updates_at_once(mixpanel: MixpanelEmulator) -> None:
    library, sender = mixpanel_library(mixpanel, "BufferedConsumer")
    for number in range(60):
        library.people_set(f"person-{number}", {"plan": "gold"})
    sender.flush()
    assert [row["update"]["$distinct_id"] for row in mixpanel.profile_updates()] == [f"person-{n}" for n in range(60)]
    mixpanel.reset()
    assert mixpanel.profile_updates() == []


def test_mixpanel_is_told_of_an_update_that_breaks_a_rule(mixpanel: MixpanelEmulator) -> None:
    module = import_module("mixpanel")
    library, _ = mixpanel_library(mixpanel)
    for update, words in (
        ({"$distinct_id": ""}, "distinct_id, missing or empty"),
        ({"$distinct_id": "a"}, "no operation"),
        ({"$distinct_id": "a", "$set": ["x"]}, "set must be an object"),
        ({"$distinct_id": "a", "$unset": "x"}, "unset must be a list"),
        ({"$distinct_id": "a", "$set": {}, "$token": ""}, "token, missing or empty"),
    ):
        with pytest.raises(module.MixpanelException, match=words):
            library.people_update(update)
    with pytest.raises(module.MixpanelException, match="group_id, missing or empty"):
        library.group_set("company", "", {"size": 7})
    assert mixpanel.profile_updates() == []


def test_mixpanel_is_told_of_data_that_is_not_json(mixpanel: MixpanelEmulator) -> None:
    """Python writes NaN, which is no JSON. The library reads the reason out of a JSON answer only."""
    module = import_module("mixpanel")
    library, _ = mixpanel_library(mixpanel)
    with pytest.raises(module.MixpanelException, match="not valid JSON"):
        library.track("person-1", "Order paid", {"total": float("nan")})


@pytest.fixture
def event(mixpanel: MixpanelEmulator) -> dict[str, Any]:
    properties = {
        "token": mixpanel.project_token,
        "distinct_id": "person-1",
        "time": int(time.time()),
        "$insert_id": "a",
    }
    return {"event": "Order paid", "properties": properties}


def fetched(url: str, body: bytes | None = None, user: str = "") -> bytes:
    login = {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}
    request = urllib.request.Request(url, data=body, headers=login)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.parametrize("path", ["track", "import"])
def test_events_in_base64_come_by_query_or_form_and_are_answered_with_one_digit(
    mixpanel: MixpanelEmulator, event: dict[str, Any], path: str
) -> None:
    """As libraries for other languages send them."""
    data = quote(base64.b64encode(json.dumps([event]).encode()).decode())
    token = mixpanel.project_token
    assert fetched(f"{mixpanel.base_url}/{path}?data={data}", user=token) == b"1"
    assert fetched(f"{mixpanel.base_url}/{path}/", f"data={data}".encode(), user=token) == b"1"
    assert names(mixpanel) == ["Order paid", "Order paid"]
    answer = json.loads(fetched(f"{mixpanel.base_url}/{path}?verbose=1&data={data}", user=token))
    assert (answer["status"], answer["error"]) == (1, None)


def test_track_answers_one_whatever_the_token_and_keeps_only_what_has_a_good_one(
    mixpanel: MixpanelEmulator, event: dict[str, Any]
) -> None:
    event["properties"]["token"] = "0" * 32
    assert fetched(f"{mixpanel.base_url}/track", f"data={quote(json.dumps(event))}".encode()) == b"1"
    assert mixpanel.rows() == []


def test_track_stamps_an_event_without_a_time_with_its_own(mixpanel: MixpanelEmulator, event: dict[str, Any]) -> None:
    """The library for Node.js sends none unless it is told one."""
    mixpanel.set_now(1_790_000_000_000)
    del event["properties"]["time"]
    assert fetched(f"{mixpanel.base_url}/track", f"data={quote(json.dumps(event))}".encode()) == b"1"
    assert [row["properties"]["time"] for row in mixpanel.rows()] == [1_790_000_000_000]


@pytest.mark.parametrize("data", ["", "%%%", "bm8gSlNPTg==", "[1"])
def test_data_that_is_none_is_answered_with_a_zero(mixpanel: MixpanelEmulator, data: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{mixpanel.base_url}/track", f"data={quote(data)}".encode())
    assert (refused.value.code, refused.value.read()) == (400, b"0")
    refused.value.close()


def test_mparticle_uploads_one_batch_and_many(mparticle: MParticleEmulator) -> None:
    library = pytest.importorskip("mparticle")
    feed = mparticle.feeds["unbound"]
    configuration = library.Configuration()
    configuration.host = f"{mparticle.base_url}/v2"
    configuration.api_key, configuration.api_secret = feed.key, feed.secret
    api = library.EventsApi(configuration)

    def batch(name: str) -> Any:
        made = library.Batch(environment="development")
        made.user_identities = library.UserIdentities(customerid="person-1")
        made.events = [library.AppEvent(name, "other")]
        return made

    api.upload_events(batch("Order paid"))
    api.bulk_upload_events([batch("Order sent"), batch("Order came")])
    sent = [event["data"]["event_name"] for row in mparticle.rows() for event in row["batch"]["events"]]
    assert sent == ["Order paid", "Order sent", "Order came"]
    assert mparticle.dropped() == []
    feed_of_nobody = library.Configuration()
    feed_of_nobody.host, feed_of_nobody.api_key, feed_of_nobody.api_secret = configuration.host, "nobody", "wrong"
    with pytest.raises(library.rest.ApiException, match="403"):
        library.EventsApi(feed_of_nobody).upload_events(batch("Order lost"))

"""Keys of the configuration: what each destination takes, refuses in words, and warns of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from streams.destinations import REGISTRY
from streams.destinations.mixpanel.settings import MixpanelSettings
from streams.destinations.mparticle.settings import MParticleSettings

TOKEN = "0123456789abcdef0123456789abcdef"
PAIR = {"key": "feed-key-1", "secret": "feed-secret-1"}
OTHER = {"key": "feed-key-2", "secret": "feed-secret-2"}


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ({"project_token": "0123"}, "project_token", "32 hexadecimal digits"),
        ({"project_token": TOKEN.upper()}, "project_token", "32 hexadecimal digits"),
        ({}, "project_token", "Field required"),
        ({"project_token": TOKEN, "region": "asia"}, "region", "'us', 'eu' or 'in'"),
        ({"project_token": TOKEN, "base_url": "api.mixpanel.com"}, "base_url", "http"),
        ({"project_token": TOKEN, "base_url": "https://user:hunter2@api.mixpanel.com"}, "base_url", "without user"),
        ({"project_token": TOKEN, "auth": {}}, "auth", "api_secret or service_account"),
        (
            {
                "project_token": TOKEN,
                "auth": {"service_account": {"username": "u", "secret": "s", "project_id": "growth"}},
            },
            "project_id",
            "pattern",
        ),
        (
            {"project_token": TOKEN, "event_names": {"users.messages.email.Opened": "X"}},
            "event_names",
            "not an event type",
        ),
        ({"project_token": TOKEN, "event_names": {"users.messages.email.Open": " "}}, "event_names", "not be blank"),
        ({"project_token": TOKEN, "projecttoken": "x"}, "projecttoken", "not permitted"),
    ],
)
def test_what_mixpanel_does_not_take_is_refused_with_its_place_and_what_is_right(
    keys: dict[str, Any], place: str, words: str
) -> None:
    refused(MixpanelSettings, keys, place, words)


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ({}, "feeds", "Field required"),
        ({"feeds": {}}, "feeds", "at least 1"),
        ({"feeds": {"tv": PAIR}}, "feeds", "'ios', 'android', 'web' or 'unbound'"),
        ({"feeds": {"ios": PAIR}}, "", "feed_fallback: skip"),
        ({"feeds": {"unbound": {"key": "k"}}}, "secret", "Field required"),
        ({"feeds": {"unbound": PAIR}, "apps": {"a": "tv"}}, "apps", "'ios', 'android', 'web' or 'unbound'"),
        ({"feeds": {"unbound": PAIR}, "identity": "e-mail"}, "identity", "customer_id"),
        ({"feeds": {"unbound": PAIR}, "wire": "json"}, "wire", "'schema' or 'braze'"),
        ({"feeds": {"unbound": PAIR}, "pod": "us9"}, "pod", "'us1', 'us2', 'eu1' or 'au1'"),
        ({"feeds": {"unbound": PAIR}, "environment": "staging"}, "environment", "'production' or 'development'"),
        (
            {"feeds": {"unbound": PAIR}, "event_names": {"users.behaviors.Purchase": "X"}},
            "event_names",
            "not an event type",
        ),
        ({"feeds": {"unbound": PAIR}, "phone_attribute": "yes"}, "phone_attribute", "boolean"),
    ],
)
def test_what_mparticle_does_not_take_is_refused_with_its_place_and_what_is_right(
    keys: dict[str, Any], place: str, words: str
) -> None:
    refused(MParticleSettings, keys, place, words)


def refused(settings: type[BaseModel], keys: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings.model_validate(keys)
    problems = [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]
    assert any(place in path and words in message for path, message in problems), problems
    for secret in ("0123", TOKEN, "feed-secret-1", "hunter2"):
        assert secret not in str(caught.value)


def test_secrets_are_read_from_where_the_references_point(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    settings = MixpanelSettings.model_validate(
        {"project_token": "${TOKEN}", "auth": {"api_secret": f"file:{file}"}}, context={"environment": {"TOKEN": TOKEN}}
    )
    assert settings.auth is not None
    assert settings.auth.api_secret is not None
    assert (settings.project_token.reveal(), settings.auth.api_secret.reveal()) == (TOKEN, "from-file")


def test_no_repr_shows_a_secret() -> None:
    settings = (
        MixpanelSettings.model_validate({"project_token": TOKEN, "auth": {"api_secret": "feed-secret-1"}}),
        MParticleSettings.model_validate({"feeds": {"unbound": PAIR, "ios": OTHER}}),
    )
    for one, name in zip(settings, ("mixpanel", "mparticle"), strict=True):
        destination = REGISTRY[name].build(one)
        shown = repr(one) + str(one) + repr(destination) + repr(destination.probe(destination.scopes[0], "n", 1))
        for secret in (TOKEN, "feed-secret-1", "feed-key-1", "feed-secret-2"):
            assert secret not in shown


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"auth": {"api_secret": "s"}}, "2027-03-03"),
        ({"event_names": {"users.messages.email.Send": "Mail Sent"}}, "monthly tracked users"),
    ],
)
def test_mixpanel_warns_of_what_will_surprise(keys: dict[str, Any], words: str) -> None:
    (warning,) = MixpanelSettings.model_validate({"project_token": TOKEN, **keys}).warnings()
    assert words in warning


def test_names_outside_the_list_of_untracked_events_change_without_a_warning() -> None:
    keys = {"project_token": TOKEN, "event_names": {"users.messages.line.Send": "LINE Send"}}
    assert MixpanelSettings.model_validate(keys).warnings() == ()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"feeds": {"unbound": PAIR}, "apps": {"app": "ios"}}, "unbound"),
        ({"feeds": {"web": PAIR}, "apps": {"app": "ios"}, "feed_fallback": "skip"}, "skipped"),
        ({"feeds": {"web": PAIR}, "feed_fallback": "skip"}, "skipped"),
    ],
)
def test_mparticle_warns_of_events_that_go_elsewhere_than_one_may_think(keys: dict[str, Any], words: str) -> None:
    warnings = MParticleSettings.model_validate(keys).warnings()
    assert warnings
    assert all(words in warning for warning in warnings)
    assert MParticleSettings.model_validate({"feeds": {"unbound": PAIR}}).warnings() == ()


def test_each_pod_and_region_is_another_address() -> None:
    pods = {
        MParticleSettings.model_validate({"pod": pod, "feeds": {"unbound": PAIR}}).base
        for pod in ("us1", "us2", "eu1", "au1")
    }
    assert pods == {
        "https://s2s.us1.mparticle.com",
        "https://s2s.us2.mparticle.com",
        "https://s2s.eu1.mparticle.com",
        "https://s2s.au1.mparticle.com",
    }

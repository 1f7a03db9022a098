"""The catalogue's names and groups, other spellings of them, and selections."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.events.catalogue import CATALOGUE, SelectionError, canonical_name, groups, select

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "braze"
needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="needs the facts about Braze, which are not shipped")

NAMES = sorted(CATALOGUE)


def test_currents_v10_has_94_event_types_and_6_are_retired() -> None:
    retired = {name for name, event_type in CATALOGUE.items() if event_type.retired}
    assert len(CATALOGUE) - len(retired) == 94
    assert retired == {
        "users.behaviors.app.NewsFeedImpression",
        "users.campaigns.Abort",
        "users.canvas.Abort",
        "users.messages.newsfeedcard.Abort",
        "users.messages.newsfeedcard.Click",
        "users.messages.newsfeedcard.Impression",
    }


@needs_facts
def test_the_catalogue_holds_the_types_of_the_facts() -> None:
    facts = json.loads((FACTS / "event_types.json").read_text(encoding="utf-8"))
    assert set(CATALOGUE) == {*facts["event_types"], *facts["retired_event_types"]}


@needs_facts
def test_each_type_is_in_the_group_of_the_partner_documents() -> None:
    facts = json.loads((FACTS / "partner_payloads.json").read_text(encoding="utf-8"))
    headings = {"Customer Behavior Events": "customer_behavior", "Message Engagement Events": "message_engagement"}
    documented = {
        name: headings[page["group"]] for name, page in {**facts["events"], **facts["retired_events"]}.items()
    }
    assert {name: event_type.group for name, event_type in CATALOGUE.items()} == {
        name: documented.get(name) for name in CATALOGUE
    }


def test_uninstall_is_customer_behaviour_and_a_profile_update_is_in_no_group() -> None:
    assert CATALOGUE["users.behaviors.Uninstall"].group == "customer_behavior"
    assert CATALOGUE["users.profile.Update"].group is None


def test_the_channel_is_the_third_segment_of_messages_only() -> None:
    assert CATALOGUE["users.messages.sms.ShortLinkClick"].channel == "sms"
    assert CATALOGUE["users.behaviors.pushnotification.TokenStateChange"].channel is None


def test_groups_by_prefix_take_the_whole_family() -> None:
    by_group = groups(CATALOGUE)
    assert by_group["campaign"] == {
        "users.campaigns.Abort",
        "users.campaigns.Conversion",
        "users.campaigns.EnrollInControl",
    }
    assert "users.canvasstep.Progression" in by_group["canvas"]
    assert by_group["email"] == {name for name in CATALOGUE if name.startswith("users.messages.email.")}
    assert by_group["all"] == set(CATALOGUE)
    assert len(by_group) == 5 + 13  # all, the two headings, campaign, canvas; the channels


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("users.messages.email.Open", "users.messages.email.Open"),
        ("dataexport.S3.inner.users.messages.email.Open", "users.messages.email.Open"),
        ("users_messages_email_open", "users.messages.email.Open"),
        ("users_campaigns_abort", "users.campaigns.Abort"),
        ("users_canvas_abort", "users.canvas.Abort"),
        ("users_messages_pushnotification_ios_foreground", "users.messages.pushnotification.IosForeground"),
        ("users_messages_pushnotification_iosforeground", "users.messages.pushnotification.IosForeground"),
        ("users_messages_email_mark_as_spam", "users.messages.email.MarkAsSpam"),
        (
            "users_behaviors_liveactivity_push_to_start_token_change",
            "users.behaviors.liveactivity.PushToStartTokenChange",
        ),
        ("users.messages.email.open", "users.messages.email.Open"),
        (" users.messages.email.Open ", "users.messages.email.Open"),
        ("users.messages.hologram.Open", "users.messages.hologram.Open"),
        ("dataexport.S3.inner.users.messages.hologram.Open", "users.messages.hologram.Open"),
        ("Some_Thing", "Some_Thing"),
        ("", ""),
    ],
)
def test_a_name_is_understood_in_each_spelling_and_an_unknown_one_stays(text: str, name: str) -> None:
    assert canonical_name(text) == name


MAPPED = {
    "users.messages.email.Open",
    "users.messages.email.Click",
    "users.messages.sms.Send",
    "users.behaviors.Uninstall",
    "users.canvas.exit.PerformedEvent",
    "users.campaigns.Abort",
}


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["all"], MAPPED),
        (["email"], {"users.messages.email.Open", "users.messages.email.Click"}),
        (["customer_behavior"], {"users.behaviors.Uninstall"}),
        (["message_engagement"], MAPPED - {"users.behaviors.Uninstall"}),
        (["canvas", "campaign"], {"users.canvas.exit.PerformedEvent", "users.campaigns.Abort"}),
        (["users.messages.*.Send"], {"users.messages.sms.Send"}),
        (["users.messages.email.?????"], {"users.messages.email.Click"}),
        (["users_campaigns_abort"], {"users.campaigns.Abort"}),
        (["sms", "users.messages.sms.Send"], {"users.messages.sms.Send"}),
        ([], set()),
    ],
)
def test_groups_globs_and_names_select_what_is_mapped(patterns: list[str], selected: set[str]) -> None:
    assert select(patterns, MAPPED) == selected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("users.messages.email.Opn", ["'users.messages.email.Opn'", "Did you mean 'users.messages.email.Open'?"]),
        ("e-mail", ["no event type or group 'e-mail'", "Did you mean 'email'?"]),
        ("users.messages.push.*", ["glob 'users.messages.push.*' matches no event type"]),
        ("users.profile.Update", ["no mapping for event type 'users.profile.Update'"]),
        ("whatsapp", ["no mapping for any event type of group 'whatsapp'"]),
        ("", ["no event type or group ''"]),
    ],
)
def test_a_pattern_that_selects_nothing_is_named_with_what_there_is(pattern: str, words: list[str]) -> None:
    with pytest.raises(SelectionError) as raised:
        select(["email", pattern], MAPPED)
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "Groups: all, campaign, canvas, customer_behavior, email, message_engagement, sms." in message
    assert "users.messages.email.{Click,Open}" in message


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.lists(st.sampled_from(NAMES), max_size=5))
def test_a_selection_by_names_is_those_names(mapped: set[str], more: list[str]) -> None:
    assert select([*mapped, *(name for name in more if name in mapped)], mapped) == mapped


@given(st.sets(st.sampled_from(NAMES), min_size=1))
def test_every_group_on_offer_selects_something(mapped: set[str]) -> None:
    for group in groups(mapped):
        assert select([group], mapped)

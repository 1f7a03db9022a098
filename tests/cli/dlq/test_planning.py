"""`streams dlq replay`, `purge`, `export`, `extend` without `--execute`, and what they refuse, against a broker."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streams.state.records import ConnectorState, ScopeState, SettledBlock, key
from streams.testing.brokers import Broker
from tests.cli.dlq.desk import OPEN, Desk, bits

pytestmark = pytest.mark.kafka

LONG_AGO_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""
CLICK = "users.messages.email.Click"


def test_a_plan_counts_by_cause_and_type_and_changes_nothing(desk: Desk) -> None:
    desk.park(3)
    desk.park(2, event_type=CLICK, partition=1)
    desk.park(1, "too large", cause="gave-up", status=413)
    plan = desk.json("replay", "growth")
    assert (plan["connector"], plan["action"], plan["letters"]) == ("growth", "replay", 6)
    assert {(row["cause"], row["event_type"]): row["letters"] for row in plan["counts"]} == {
        ("rejected", OPEN): 3,
        ("rejected", CLICK): 2,
        ("gave-up", OPEN): 1,
    }
    assert desk.json("replay", "growth")["plan"] == plan["plan"]
    assert desk.json("purge", "growth")["plan"] != plan["plan"]
    told = desk.dlq("replay", "growth").stderr
    assert f"--execute --plan {plan['plan']}" in told
    assert desk.json("top", "growth")["letters"] == 6


def test_the_estimate_follows_the_rate(desk: Desk) -> None:
    desk.park(20)
    assert desk.json("replay", "growth", "--rate", "4")["estimate_seconds"] == 5.0
    assert desk.json("purge", "growth")["estimate_seconds"] is None
    assert "about 5 s at 4/s" in desk.dlq("replay", "growth", "--rate", "4").stderr


@pytest.mark.parametrize(
    ("options", "letters"),
    [
        (("--cause", "gave-up"), 2),
        (("--cause", "gave-up", "--cause", "rejected"), 9),
        (("--event-type", CLICK), 3),
        (("--event-type", "users_messages_email_Click"), 3),
        (("--event-type", "*.email.*"), 9),
        (("--since", "2026-01-02", "--until", "2026-01-03T00:00:00Z"), 4),
        (("--until", "2026-01-03"), 8),
        (("--since", "1h"), 1),
        (("--limit", "5"), 5),
        (("--limit", "5", "--cause", "gave-up"), 2),
    ],
)
def test_letters_are_selected_by_what_they_are(desk: Desk, options: tuple[str, ...], letters: int) -> None:
    desk.park(4, parked_at_ms=LONG_AGO_MS + 86_400_000)
    desk.park(2, cause="gave-up", parked_at_ms=LONG_AGO_MS, partition=1)
    desk.park(2, event_type=CLICK, parked_at_ms=LONG_AGO_MS)
    desk.park(1, event_type=CLICK)
    assert desk.json("replay", "growth", *options)["letters"] == letters


def test_letters_are_selected_by_event_id_and_by_fingerprint(desk: Desk) -> None:
    letters = desk.park(3)
    desk.park(2, "too large", status=413, seed=2)
    ids = [option for letter in letters[:2] for option in ("--event-id", letter.event_id)]
    assert desk.json("replay", "growth", *ids)["letters"] == 2
    group = desk.json("top", "growth", "--by-type")["groups"][1]
    assert desk.json("purge", "growth", "--fingerprint", group["fingerprint"])["letters"] == 2


def test_settled_letters_are_left_out_and_again_takes_those_that_were_not_purged(desk: Desk) -> None:
    desk.park(4)
    desk.say(
        {
            key("settled", "growth", "rejected", 0, 0): SettledBlock(bits=bits([0, 1])),
            key("settled", "growth", "purged", 0, 0): SettledBlock(bits=bits([1])),
        }
    )
    plan = desk.json("replay", "growth")
    assert (plan["letters"], plan["left_out"]) == (2, {"settled": 2})
    again = desk.json("replay", "growth", "--again")
    assert (again["letters"], again["left_out"]) == (3, {"purged": 1})
    assert again["warnings"] == []


def test_the_plan_of_a_second_delivery_to_braze_says_that_events_count_twice(kafka: Broker, tmp_path: Path) -> None:
    entry = {"kind": "mparticle_events", "keys": ["key-of-sixteen-characters"]}
    braze = {"destination": "braze", "instance": "US-01", "rest_key": "a-rest-key", "receive": {"data": entry}}
    desk = Desk(kafka.bootstrap_servers, tmp_path, {"back": braze})
    desk.park(2, connector="back")
    desk.say({key("settled", "back", "rejected", 0, 0): SettledBlock(bits=bits([0]))})
    assert desk.json("replay", "back")["warnings"] == []
    assert desk.json("replay", "back", "--again")["warnings"] == [
        "--again also sends letters that were sent back before: events and purchases that were delivered then are "
        "counted a second time by braze"
    ]


def test_a_replay_warns_where_its_letters_would_be_parked_again_or_wait_and_a_purge_does_not(desk: Desk) -> None:
    desk.park(2)
    assert desk.json("replay", "growth")["warnings"] == []
    invalid = ScopeState(state="INVALID", since=LONG_AGO_MS)
    desk.say({key("scope", "growth", "default"): invalid})
    of_scope = (
        "scope default of growth is INVALID since 2026-01-01T00:00:00Z: its letters are parked again at once. "
        "Fix its secret first; once a probe is accepted, they are sent by themselves: "
        "`streams connectors probe growth --scope default`"
    )
    assert desk.json("replay", "growth")["warnings"] == [of_scope]
    stopped = ConnectorState(state="SUSPENDED", by="operator", since=LONG_AGO_MS)
    desk.say({key("connector", "growth"): stopped})
    of_connector = "growth is SUSPENDED by operator: the letters wait until `streams connectors resume growth`"
    assert desk.json("replay", "growth")["warnings"] == [of_scope, of_connector]
    said = desk.dlq("replay", "growth").stderr
    assert f"warning: {of_scope}" in said
    assert f"warning: {of_connector}" in said
    assert desk.json("purge", "growth")["warnings"] == []


@pytest.mark.parametrize("name", ["growth", "source"])
def test_a_plan_by_event_type_ends_with_5_while_the_registry_that_knows_the_type_is_away(desk: Desk, name: str) -> None:
    content = yaml.safe_load(desk.config.read_text())
    content["source"]["schema_registry"] = {"url": "http://127.0.0.1:1"}
    desk.config.write_text(yaml.safe_dump(content))
    topics = desk.settings.topics
    topic = topics.dead_letter_source if name == "source" else topics.dead_letter_rejected(name)
    (letter,) = desk.park(1)
    value = b"\0\0\0\0\7" + (letter.value or b"")[10:]  # the same event with the header of a registry's schema 7
    desk.write(topic, letter.key, value, letter.headers)
    for action in ("replay", "purge"):
        said = desk.refused(action, name, "--event-type", CLICK, code=5)
        assert "nothing was done: the schema registry does not answer" in said
        assert desk.json(action, name)["letters"] >= 1, "a plan that needs no event type can be made"


def test_letters_of_a_scope_are_planned_as_a_prefix(desk: Desk) -> None:
    desk.park(3, cause="credentials", status=401, parked_at_ms=LONG_AGO_MS)
    desk.park(2, cause="credentials", status=401)
    assert desk.json("purge", "growth", "--scope", "default", "--until", "2026-02-01")["letters"] == 3
    assert desk.json("replay", "growth", "--scope", "default", "--until", "0s")["letters"] == 5


def test_a_letter_that_came_since_makes_the_plan_stale(desk: Desk) -> None:
    desk.park(2)
    plan = desk.json("purge", "growth")["plan"]
    desk.park(1)
    told = desk.refused("purge", "growth", "--execute", "--plan", plan, "--reason", "test", code=7)
    assert f"plan {plan} is stale" in told


def test_a_topic_that_is_gone_is_named(desk: Desk) -> None:
    topic = desk.settings.topics.dead_letter_rejected("growth")
    desk.delete(topic)
    assert topic in desk.refused("replay", "growth", code=1)
    assert desk.json("list", "growth")["causes"][1]["letters"] == 0


def test_where_nobody_keeps_the_connector_the_order_is_withdrawn(desk: Desk) -> None:
    desk.park(1)
    result = desk.dlq("replay", "growth", "--execute")
    assert result.returncode == 5
    assert "is a sink of growth running?" in result.stderr
    assert desk.json("jobs", "growth")["jobs"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("replay", "nobody"), 2, "there is no connector nobody"),
        (("replay", "growth", "--cause", "bad"), 2, "credentials, rejected, gave-up"),
        (("replay", "source", "--cause", "rejected"), 2, "undecodable, unknown-schema"),
        (("replay", "growth", "--cause", "credentials"), 2, "--scope"),
        (("replay", "growth", "--scope", "default", "--until", "0s", "--cause", "rejected"), 2, "none has rejected"),
        (("replay", "growth", "--scope", "default"), 2, "--until"),
        (("replay", "growth", "--scope", "ios", "--until", "0s"), 2, "Scopes: default"),
        (
            ("replay", "growth", "--scope", "default", "--until", "0s", "--limit", "5"),
            2,
            "--limit: letters of a scope are sent in order",
        ),
        (("replay", "growth", "--since", "yesterday"), 2, "2026-01-31"),
        (("purge", "growth", "--until", "2026-99-01"), 2, "--until: 2026-99-01"),
        (("purge", "growth", "--since", "1h", "--until", "2h"), 2, "is not before"),
        (("replay", "growth", "--fingerprint", "123"), 2, "16 hex digits"),
        (("replay", "growth", "--plan", "0123456789ab"), 2, "--plan needs --execute"),
        (("purge", "growth", "--execute"), 2, "--reason"),
        (("purge", "growth", "--again"), 2, "No such option: --again"),
        (("replay", "growth"), 3, "no letter of growth to replay matches"),
        (("purge", "growth", "--fingerprint", "0" * 16), 3, "no letter of growth to purge matches"),
        (("replay", "source"), 3, "no letter of source"),
        (("extend", "growth", "--scope", "ios", "--by", "1h", "--reason", "x"), 2, "Scopes: default"),
        (("extend", "growth", "--scope", "default", "--by", "soon", "--reason", "x"), 2, "--by: soon"),
        (("extend", "growth", "--scope", "default", "--by", "1h", "--reason", " "), 2, "--reason"),
        (("extend", "source", "--scope", "default", "--by", "1h", "--reason", "x"), 2, "Scopes: none"),
    ],
)
def test_what_is_wrong_is_named(desk: Desk, arguments: tuple[str, ...], code: int, words: str) -> None:
    assert words in desk.refused(*arguments, code=code)

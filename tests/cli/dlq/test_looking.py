"""`streams dlq list`, `top` and `show` against a broker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streams.destinations.detail import masked
from streams.destinations.mixpanel.destination import FIELD_NAMES
from streams.state.moments import iso
from streams.state.records import ConnectorState, Cursor, Evidence, Imported, ScopeState, SettledBlock, Totals, key
from streams.testing.brokers import Broker
from tests.cli.dlq.desk import OPEN, SETTINGS, Desk, bits

pytestmark = pytest.mark.kafka

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LONG_AGO_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""


def test_list_counts_from_the_accounts_and_dates_from_the_edges(desk: Desk) -> None:
    desk.park(3, parked_at_ms=LONG_AGO_MS + 60_000)
    desk.park(2, parked_at_ms=LONG_AGO_MS, partition=1)
    desk.commit({"rejected": 9, "gave-up": 1})
    desk.say(
        {
            key("totals", "growth"): Totals(replayed={"rejected": 4}),
            key("imported", "growth", "abc"): Imported(file="f", letters={"gave-up": 2}, done=True),
        }
    )
    listed = desk.json("list", "growth")
    assert listed["connector"] == "growth"
    assert {row["cause"]: row["letters"] for row in listed["causes"]} == {"credentials": 0, "rejected": 5, "gave-up": 3}
    rejected = next(row for row in listed["causes"] if row["cause"] == "rejected")
    assert rejected["oldest"] == "2026-01-01T00:00:00Z"
    assert rejected["newest"] == "2026-01-01T00:01:00Z"
    assert rejected["first_deadline"] == "2026-01-15T00:00:00Z", "14 days after the first was parked"
    assert listed["orphaned"] == []


def test_letters_that_came_back_are_as_old_as_their_first_refusal_everywhere(desk: Desk) -> None:
    """A replay that changes nothing does not make old trouble look new. The 14 days begin again."""
    desk.park(1, parked_at_ms=LONG_AGO_MS + HOUR_MS, partition=1)
    again_ms = LONG_AGO_MS + 5 * HOUR_MS
    desk.park(2, parked_at_ms=again_ms, first_parked_at_ms=LONG_AGO_MS, job="3f2b9c04d1aa")
    desk.commit({"rejected": 3})
    rejected = desk.json("list", "growth")["causes"][1]
    assert (rejected["oldest"], rejected["newest"]) == (iso(LONG_AGO_MS), iso(again_ms))
    assert rejected["first_deadline"] == iso(LONG_AGO_MS + HOUR_MS + 14 * DAY_MS)
    (group,) = desk.json("top", "growth")["groups"]
    assert (group["count"], group["parked_again"]) == (3, 2)
    assert (group["first"], group["last"]) == (iso(LONG_AGO_MS), iso(again_ms))
    shown = desk.json("show", "growth", "--offset", "rejected/0/0")["verdict"]
    assert (shown["first_parked_at"], shown["parked_at"]) == (iso(LONG_AGO_MS), iso(again_ms))


def test_list_says_how_far_away_a_deadline_is_and_now_where_it_has_come(desk: Desk) -> None:
    """The table is for a person who decides what to do first; the JSON keeps the exact time."""
    desk.park(1, parked_at_ms=LONG_AGO_MS)
    desk.park(1, cause="credentials", status=401)
    desk.commit({"rejected": 1, "credentials": 1})
    evidence = Evidence(status=401, detail="no", at=LONG_AGO_MS)
    desk.say({key("scope", "growth", "default"): ScopeState(state="INVALID", since=LONG_AGO_MS, evidence=evidence)})
    lines = {line.split()[0]: line for line in desk.dlq("list", "growth").stdout.splitlines()}
    assert lines["rejected"].split()[-1] == "now"
    assert re.search(r"Z \(in 1 d 23 h\)$", lines["credentials"]), "48 hours after it was parked"
    rows = {row["cause"]: row for row in desk.json("list", "growth")["causes"]}
    assert rows["rejected"]["first_deadline"] == iso(LONG_AGO_MS + 14 * DAY_MS)


def test_list_of_an_empty_installation_is_done_and_empty(desk: Desk) -> None:
    listed = desk.json("list", "growth")
    assert [row["letters"] for row in listed["causes"]] == [0, 0, 0]
    assert {row["oldest"] for row in listed["causes"]} == {None}
    assert listed["scopes"][0]["state"] == "VALID"


def test_the_deadline_of_an_invalid_scope_counts_grace_extension_and_suspension(desk: Desk) -> None:
    desk.park(2, cause="credentials", status=401, parked_at_ms=LONG_AGO_MS)
    desk.commit({"credentials": 2})
    since = LONG_AGO_MS + HOUR_MS
    evidence = Evidence(status=401, detail="no", at=since)
    desk.say(
        {
            key("scope", "growth", "default"): ScopeState(
                state="INVALID", since=since, evidence=evidence, extended_ms=2 * HOUR_MS
            ),
            key("connector", "growth"): ConnectorState(suspensions=((since + HOUR_MS, since + 4 * HOUR_MS),)),
        }
    )
    result = desk.dlq("list", "growth")
    assert result.returncode == 0
    listed = desk.json("list", "growth")
    (scope,) = listed["scopes"]
    assert (scope["scope"], scope["state"], scope["since"]) == ("default", "INVALID", iso(since))
    assert scope["first_deadline"] == iso(since + 48 * HOUR_MS + 2 * HOUR_MS + 3 * HOUR_MS)
    credentials = next(row for row in listed["causes"] if row["cause"] == "credentials")
    assert credentials["first_deadline"] == scope["first_deadline"]
    assert "streams connectors probe growth" in result.stderr
    assert "streams dlq extend growth --scope default --by 24h" in result.stderr


def test_a_valid_scope_has_no_deadline(desk: Desk) -> None:
    desk.park(1, cause="credentials", parked_at_ms=LONG_AGO_MS)
    desk.commit({"credentials": 1})
    assert desk.json("list", "growth")["scopes"][0]["first_deadline"] is None


def test_settled_letters_do_not_date_the_list(desk: Desk) -> None:
    desk.park(10, parked_at_ms=LONG_AGO_MS)
    desk.commit({"rejected": 10})
    place = ("growth", "rejected", 0)
    desk.say({key("cursor", *place): Cursor(offset=2), key("settled", *place, 0): SettledBlock(bits=bits([2, 9]))})
    rejected = desk.json("list", "growth")["causes"][1]
    assert rejected["oldest"] == iso(LONG_AGO_MS + 3)


def test_topics_of_what_left_the_configuration_are_listed_with_the_next_step(desk: Desk, tmp_path: Path) -> None:
    scope = desk.create(f"{desk.prefix}dead-letter.growth.credentials.gone")
    connector = desk.create(f"{desk.prefix}dead-letter.old.rejected")
    listed = desk.json("list", "growth")
    assert [line["topic"] for line in listed["orphaned"]] == [scope, connector]
    assert listed["orphaned"][1]["next"] == "streams dlq export old --orphaned --to old.letters.gz"
    assert connector in desk.dlq("list", "growth").stderr


def test_top_groups_by_what_went_wrong_most_first(desk: Desk) -> None:
    desk.park(2, "row 17 is bad", parked_at_ms=LONG_AGO_MS)
    desk.park(3, "row 99 is bad", partition=1, parked_at_ms=LONG_AGO_MS + 60_000)
    desk.park(4, "too large", cause="gave-up", status=413)
    desk.park(1, cause="credentials", status=401)
    top = desk.json("top", "growth")
    assert (top["letters"], top["groups_found"], top["others"]) == (10, 3, 0)
    first = top["groups"][0]
    assert (first["count"], first["message"], first["cause"], first["status"]) == (5, "row * is bad", "rejected", 400)
    assert (first["first"], first["last"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    (of_type,) = first["event_types"]
    assert (of_type["event_type"], of_type["count"]) == (OPEN, 5)
    (by_type, *_) = desk.json("top", "growth", "--by-type")["groups"]
    assert (by_type["event_type"], by_type["fingerprint"]) == (OPEN, of_type["fingerprint"])
    assert [group["count"] for group in top["groups"]] == [5, 4, 1]
    assert len(desk.json("top", "growth", "--limit", "1")["groups"]) == 1


def test_top_is_one_row_for_one_trouble_of_several_event_types(desk: Desk) -> None:
    words = masked("'properties.time' of 'ann' is invalid: must not be in the future", (), FIELD_NAMES)
    desk.park(2, words)
    desk.park(3, words, event_type="users.messages.email.Delivery", partition=1)
    (group,) = desk.json("top", "growth")["groups"]
    assert (group["count"], [one["count"] for one in group["event_types"]]) == (5, [3, 2])
    assert group["message"] == "properties.time of * is invalid: must not be in the future"
    assert len(desk.json("top", "growth", "--by-type")["groups"]) == 2
    _, row = desk.dlq("top", "growth").stdout.splitlines()
    assert row.split()[0] == "5"


def test_top_leaves_out_what_is_settled(desk: Desk) -> None:
    desk.park(10)
    place = ("growth", "rejected", 0)
    desk.say({key("cursor", *place): Cursor(offset=4), key("settled", *place, 0): SettledBlock(bits=bits([5, 6]))})
    assert desk.json("top", "growth")["letters"] == 4


def test_top_of_nothing_is_done_and_empty(desk: Desk) -> None:
    assert desk.json("top", "growth")["groups"] == []
    assert desk.json("top", "source")["groups"] == []


def test_show_tells_one_letter_and_hides_personal_data(desk: Desk) -> None:
    letters = desk.park(3)
    shown = desk.json("show", "growth", "--event-id", letters[1].event_id)
    assert (shown["place"], shown["settled"], shown["cause"]) == ("rejected/0/1", None, "rejected")
    assert shown["origin"] == f"currents.{OPEN}/3/1"
    assert (shown["event_type"], shown["event_id"]) == (OPEN, letters[1].event_id)
    assert (shown["verdict"]["status"], shown["verdict"]["replays"]) == (400, 0)
    assert shown["sent"]["scope"] == "default"
    assert shown["sent"]["body"]["properties"]["$insert_id"] == letters[1].event_id
    assert shown["payload"]["id"] == letters[1].event_id
    assert shown["payload"]["external_user_id"] == shown["key"] == "…"
    text = json.dumps(shown)
    assert (letters[1].key or b"").decode() not in text
    assert "ada@example.com" not in text
    assert SETTINGS["project_token"] not in text


def test_show_payload_shows_everything_but_secrets(desk: Desk) -> None:
    (letter,) = desk.park(1)
    shown = desk.json("show", "growth", "--offset", "rejected/0/0", "--show-payload")
    assert shown["key"] == shown["payload"]["external_user_id"] == (letter.key or b"").decode()
    assert [header["value"] for header in shown["headers"] if header["name"] == "mine"] == ["ada@example.com", None]
    assert shown["sent"]["body"]["properties"]["distinct_id"] == shown["key"]
    assert SETTINGS["project_token"] not in json.dumps(shown)
    assert SETTINGS["project_token"] not in desk.dlq("show", "growth", "--offset", "rejected/0/0").stdout


def test_show_by_fingerprint_gives_the_first_that_is_not_settled(desk: Desk) -> None:
    desk.park(3)
    (group,) = desk.json("top", "growth", "--by-type")["groups"]
    desk.say({key("settled", "growth", "rejected", 0, 0): SettledBlock(bits=bits([0]))})
    assert desk.json("show", "growth", "--fingerprint", group["fingerprint"])["place"] == "rejected/0/1"


def test_show_says_that_a_letter_was_replayed_and_hides_one_that_was_purged(desk: Desk) -> None:
    letters = desk.park(3)
    desk.say(
        {
            key("settled", "growth", "rejected", 0, 0): SettledBlock(bits=bits([0, 1])),
            key("settled", "growth", "purged", 0, 0): SettledBlock(bits=bits([1])),
        }
    )
    assert desk.json("show", "growth", "--offset", "rejected/0/0")["settled"] == "replayed"
    assert "was settled" in desk.refused("show", "growth", "--offset", "rejected/0/1", code=3)
    assert "no letter" in desk.refused("show", "growth", "--event-id", letters[1].event_id, code=3)


def test_show_of_an_event_that_was_parked_again_gives_the_newest_letter(desk: Desk) -> None:
    (first,) = desk.park(1, parked_at_ms=LONG_AGO_MS)
    desk.park(1, parked_at_ms=LONG_AGO_MS + DAY_MS, partition=1)
    assert desk.json("show", "growth", "--event-id", first.event_id)["place"] == "rejected/1/0"


def test_letters_of_the_source_say_who_would_get_them(desk: Desk) -> None:
    topic = desk.settings.topics.dead_letter_source
    (letter,) = desk.park(1, cause="undecodable", status=0)
    desk.write(topic, letter.key, letter.value, letter.headers)
    shown = desk.json("show", "source", "--offset", "rejected/0/0")
    assert shown["sent"] == {"routed_to": ["growth"]}
    assert desk.json("top", "source")["groups"][0]["cause"] == "undecodable"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list", "grwoth"), 2, "growth"),
        (("top", "nobody"), 2, "there is no connector nobody"),
        (("show", "growth"), 2, "--event-id, --offset, --fingerprint: name the letter"),
        (("show", "growth", "--fingerprint", "xyz"), 2, "16 hex digits"),
        (("show", "growth", "--fingerprint", "0" * 16), 3, "no letter of growth has the fingerprint"),
        (("show", "growth", "--event-id", "none-such"), 3, "is of the event"),
        (("show", "growth", "--offset", "rejected/0/5"), 3, "there is no letter at rejected/0/5"),
        (("show", "growth", "--offset", "rejected/9/5"), 3, "there is no letter"),
        (("show", "growth", "--offset", "parked/0/5"), 2, "letters/partition/offset"),
        (("show", "growth", "--offset", "17"), 2, "credentials.default"),
    ],
)
def test_what_is_wrong_is_named(desk: Desk, arguments: tuple[str, ...], code: int, words: str) -> None:
    assert words in desk.refused(*arguments, code=code)


def test_an_unreachable_broker_ends_with_5(tmp_path: Path, kafka: Broker) -> None:
    desk = Desk(kafka.bootstrap_servers, tmp_path)
    desk.config.write_text(desk.config.read_text().replace(kafka.bootstrap_servers, "127.0.0.1:1"))
    assert "127.0.0.1:1" in desk.refused("list", "growth", code=5)

"""What needs a person: by deadline, with what happens when nobody acts and the next step."""

from __future__ import annotations

from dataclasses import replace

from streams.config import loads
from streams.delivery.account import Account, RouterCounts
from streams.events.schemas import shipped
from streams.inlets.progress import Counts, State
from streams.operations.attention import needs
from streams.operations.connectors.overview import Lag, Overview
from streams.operations.connectors.secrets import fix_of
from streams.operations.dead_letters.overview import Times
from streams.operations.inlets.overview import InletOverview, ParkedFile
from streams.operations.router import RouterOverview, TopicLag
from streams.operations.router_waits import Surroundings
from streams.state.moments import clock_time
from streams.state.records import ConnectorState, Evidence, ScopeState
from streams.state.state_view import StateView
from streams.state.worker_records import BackOff, PartitionWait, Waits

NOW = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
SETTINGS = loads(
    f"""
kafka: {{bootstrap_servers: "kafka:9092"}}
connectors:
  growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}
  lab: {{destination: mixpanel, project_token: "{"1" * 32}"}}
  cdp:
    destination: mparticle
    contact: crm@shop.example
    feed_fallback: skip
    feeds:
      ios: {{key: k, secret: s}}
      web: {{key: "${{WEB_KEY}}", secret: "file:/secrets/web"}}
""",
    reads_secrets=False,
)
NOTHING = Account(routed=0, delivered=0, skipped={}, parked={}, lost=0, waiting=0)


def overview(name: str = "growth", *, parked: int = 0, rejected: int = 0, deadline: int | None = None) -> Overview:
    account = replace(NOTHING, parked={"credentials": parked, "rejected": rejected})
    return Overview(
        connector=SETTINGS.connectors[name],
        scopes=("default",),
        view=StateView(name),
        account=account,
        members=1,
        lag=Lag(0, None),
        deadlines={} if deadline is None else {"default": deadline},
        now_ms=NOW,
    )


def invalid(name: str, deadline: int) -> Overview:
    found = overview(name, parked=12, deadline=deadline)
    refused = Evidence(status=401, detail="Unauthorized", at=NOW - HOUR)
    found.view.scopes["default"] = ScopeState(state="INVALID", since=NOW - HOUR, evidence=refused)
    return found


def router(members: int = 1, letters: int = 0, waits: dict[str, PartitionWait] | None = None) -> RouterOverview:
    return RouterOverview(
        members=members,
        counts=RouterCounts(),
        letters=letters,
        lags=(),
        waits=waits or {},
        view=StateView("source"),
        bootstrap_servers="kafka:9092",
        now_ms=NOW,
    )


def test_nothing_needs_anybody_while_everything_runs() -> None:
    assert needs(router(), [overview(), overview("lab")], NOW) == ()


def test_the_nearest_deadline_comes_first_whatever_the_order_of_the_connectors() -> None:
    found = needs(router(), [invalid("growth", NOW + 40 * HOUR), invalid("lab", NOW + 3 * HOUR)], NOW)
    assert [(one.connector, one.deadline_ms) for one in found] == [("lab", NOW + 3 * HOUR), ("growth", NOW + 40 * HOUR)]
    first = found[0]
    assert (first.kind, first.scope, first.action, first.since_ms) == ("credentials", "default", "probe", NOW - HOUR)
    assert "401 Unauthorized" in first.what
    assert "12 letters" in first.consequence
    assert first.command == "streams connectors probe lab --scope default"


def test_what_stands_still_comes_after_a_deadline_of_hours_and_before_one_of_weeks() -> None:
    stopped = replace(overview("lab"), members=0)
    refused = overview("growth", rejected=3)
    times = Times(oldest=NOW - DAY, newest=NOW, first_deadline=NOW + 13 * DAY)
    found = needs(router(), [refused, stopped, invalid("growth", NOW + HOUR)], NOW, {"growth": times})
    assert [one.kind for one in found] == ["credentials", "stopped", "letters"]
    assert (found[2].deadline_ms, found[2].since_ms) == (NOW + 13 * DAY, NOW - DAY)


def test_letters_that_came_back_are_as_old_as_their_first_refusal_and_live_from_the_last() -> None:
    times = Times(oldest=NOW - 5 * HOUR, newest=NOW, first_deadline=NOW + 14 * DAY)
    (found,) = needs(None, [overview(rejected=3)], NOW, {"growth": times})
    assert (found.since_ms, found.deadline_ms) == (NOW - 5 * HOUR, NOW + 14 * DAY)


def test_records_that_wait_behind_a_stopped_sink_have_the_deadline_of_their_topic() -> None:
    stopped = replace(overview(), members=0, account=replace(NOTHING, waiting=7), lag=Lag(7, NOW - DAY))
    (found,) = needs(router(), [stopped], NOW)
    assert (found.kind, found.deadline_ms, found.command) == ("stopped", NOW + 13 * DAY, "streams run sink growth")
    assert "7 records wait" in found.consequence


def test_a_flood_leads_to_its_letters_and_a_person_s_suspension_to_its_end() -> None:
    flooded, paused = overview("growth"), overview("lab")
    flooded.view.state = ConnectorState(state="SUSPENDED", by="flood", reason="1,000 of 1,200", since=NOW - 2 * HOUR)
    paused.view.state = ConnectorState(state="SUSPENDED", by="operator", who="ada", reason="moves", since=NOW - HOUR)
    first, second = needs(router(), [paused, flooded], NOW)
    assert (first.connector, first.action, first.command) == ("growth", "letters", "streams dlq top growth")
    assert (second.connector, second.action) == ("lab", "resume")
    assert second.what == "ada suspended it: moves"


def test_a_destination_that_asks_to_wait_needs_somebody_only_after_five_minutes() -> None:
    found = overview()
    for minutes, kinds in ((4, []), (6, ["back-off"])):
        waits = BackOff(status=503, detail="", since=NOW - minutes * 60_000, next_try=NOW + 12_000)
        found.view.waits["sink-1"] = Waits(at=NOW, back_offs={"default": waits})
        assert [one.kind for one in needs(router(), [found], NOW)] == kinds


def test_a_connector_that_runs_and_delivers_nothing_is_told_apart_from_one_that_delivers() -> None:
    fine, refused = overview(), invalid("lab", NOW + HOUR)
    assert (fine.delivers, fine.remarks) == ("all", ())
    assert (refused.delivers, refused.remarks) == ("nothing", ("default INVALID",))
    busy = replace(overview(), scopes=("default", "other"))
    busy.view.waits["sink-1"] = Waits(
        at=NOW, back_offs={"other": BackOff(status=503, detail="", since=NOW, next_try=NOW + 1_000)}
    )
    assert (busy.delivers, busy.remarks) == ("some", ("other backs off",))


def test_an_outage_of_a_destination_is_one_need_however_many_scopes_it_has() -> None:
    cdp = SETTINGS.connectors["cdp"]
    found = replace(
        overview(), connector=cdp, scopes=cdp.scopes, view=StateView("cdp"), account=replace(NOTHING, waiting=1_245)
    )
    found.view.waits["sink-1"] = Waits(
        at=NOW,
        back_offs={
            scope: BackOff(status=503, detail="", since=NOW - (20 - number) * 60_000, next_try=NOW + number * 1_000)
            for number, scope in enumerate(cdp.scopes)
        },
    )
    (need,) = needs(router(), [found], NOW)
    assert need.what == "mparticle takes nothing of all 2 scopes (ios, web); last answer 503"
    assert (need.since_ms, need.scope, need.contact) == (NOW - 20 * 60_000, "", "crm@shop.example")
    assert "1,245 records wait" in need.consequence
    assert "by itself" in need.afterwards


def test_refused_credentials_name_the_key_and_the_place_of_the_secret_and_never_the_secret() -> None:
    found = invalid("lab", NOW + HOUR)
    (need,) = needs(router(), [found], NOW)
    assert "connectors.lab.project_token (the configuration file itself, read when processes start" in need.step
    assert "1" * 32 not in str(need.to_json())
    assert fix_of(SETTINGS.connectors["cdp"], "web") == (
        "fix the secret connectors.cdp.feeds.web.key (environment variable WEB_KEY, read when processes start: restart "
        "them) or connectors.cdp.feeds.web.secret (file /secrets/web, read again before each probe)"
    )


def test_refused_credentials_say_what_is_deleted_when_and_what_happens_by_itself() -> None:
    (need,) = needs(router(), [invalid("lab", NOW + HOUR)], NOW)
    assert need.consequence == (
        "12 letters parked for credentials; each is deleted for good 2 d after it was parked, the first at the deadline"
    )
    assert need.afterwards.startswith("a probe runs by itself every 30 s")
    assert "nothing has to be replayed" in need.afterwards
    assert need.extension == "streams dlq extend lab --scope default --by 24h --reason WHY"


def waiting_router(waits: dict[str, PartitionWait]) -> RouterOverview:
    lags = (
        TopicLag("currents.users.messages.sms.Send", 122, NOW - HOUR, by_partition={0: 122}),
        TopicLag("currents.users.behaviors.Purchase", 90, NOW - HOUR, by_partition={0: 81, 1: 9}, kept_ms=7 * DAY),
    )
    around = Surroundings("currents.", "http://registry:8081", DAY)
    return replace(router(waits=waits), lags=lags, around=around)


def test_each_cause_for_which_the_router_waits_is_a_need_with_its_own_next_step() -> None:
    schema = PartitionWait(why="schema", detail="unknown schema fingerprint 7cad", since=NOW - HOUR, offset=5)
    registry = PartitionWait(why="registry", detail="no answer: connection refused", since=NOW - HOUR // 2, offset=7)
    waits = {"currents.users.messages.sms.Send/0": schema, "currents.users.behaviors.Purchase/0": registry}
    first, second = needs(waiting_router(waits), [], NOW)
    assert first.what == "users.messages.sms.Send is not routed: unknown schema fingerprint 7cad"
    assert (first.since_ms, first.deadline_ms) == (NOW - HOUR, NOW - HOUR + DAY)
    assert first.command == "streams schemas add FILE"
    assert "122 records wait" in first.consequence
    assert "can be replayed" in first.consequence
    known = shipped().by_event_type("users.messages.sms.Send")
    assert known is not None
    assert known.fingerprint.hex() in first.step
    said = "the schema registry at http://registry:8081: no answer: connection refused"
    assert second.what == f"users.behaviors.Purchase is not routed: {said}"
    assert (second.deadline_ms, second.command) == (NOW - HOUR + 7 * DAY, "streams doctor")
    assert "81 records wait" in second.consequence
    assert "start the schema registry" in second.step
    assert "by itself" in second.afterwards


def test_partitions_that_wait_for_one_cause_are_one_need_and_two_schemas_are_two() -> None:
    def wait(detail: str, why: str = "schema") -> PartitionWait:
        return PartitionWait(why=why, detail=detail, since=NOW - HOUR, offset=5)

    one = {f"currents.users.behaviors.Purchase/{number}": wait(f"status 50{number}", "registry") for number in (0, 1)}
    (found,) = needs(waiting_router(one), [], NOW)
    assert "90 records wait" in found.consequence
    two = {f"currents.x/{number}": wait(f"unknown schema fingerprint {number}") for number in (0, 1)}
    assert len(needs(waiting_router(two), [], NOW)) == 2


def test_a_schema_that_is_asked_for_by_id_is_not_added_here_but_at_the_registry() -> None:
    wait = PartitionWait(why="schema", detail="unknown schema id 7: 40403", since=NOW - HOUR, offset=5)
    (found,) = needs(waiting_router({"currents.users.behaviors.Purchase/0": wait}), [], NOW)
    assert "register the schema with this id in the registry at http://registry:8081" in found.step
    assert found.command == "streams doctor"


def test_refused_records_are_told_with_what_was_said_of_some_and_when_the_newest_came() -> None:
    times = Times(NOW - DAY, NOW - HOUR, NOW + 13 * DAY, ("400 time is in the future", "400 too deep", "400 a third"))
    (need,) = needs(router(), [overview(rejected=200)], NOW, {"growth": times})
    assert need.what == "200 records refused by mixpanel, for example: 400 time is in the future; 400 too deep"
    assert f"the newest was parked at {clock_time(NOW - HOUR, NOW)} UTC" in need.consequence


def test_no_router_is_missed_where_nothing_is_routed() -> None:
    assert needs(None, [overview()], NOW) == ()
    assert [one.kind for one in needs(router(members=0), [], NOW)] == ["stopped"]


def inlet(state: str = "active", failing: str = "", files: tuple[ParkedFile, ...] = ()) -> InletOverview:
    return InletOverview("bucket", "s3://exports/braze", state, "", Counts(), 0, 4, 60, failing, files)


def test_an_inlet_that_runs_and_reads_every_file_needs_nobody() -> None:
    assert needs(router(), [], NOW, inlets=[inlet()]) == ()


def test_an_inlet_without_a_process_or_with_files_that_cannot_be_read_is_told() -> None:
    file = ParkedFile("a.avro", "a cut-off block", NOW - HOUR, 100, 3, State.PARKED)
    stopped, files = needs(router(), [], NOW, inlets=[inlet("inactive", files=(file,))])
    assert (files.what, files.since_ms) == ("1 file of inlet bucket cannot be read", NOW - HOUR)
    assert (files.command, files.action, files.inlet) == ("streams inlets show bucket", "files", "bucket")
    assert (stopped.what, stopped.command) == ("no process of inlet bucket runs", "streams run ingest")
    (failing,) = needs(router(), [], NOW, inlets=[inlet(failing="the bucket refuses to be listed")])
    assert "the bucket refuses to be listed" in failing.what

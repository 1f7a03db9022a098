"""The world of the ways in: vendors send to receivers, Braze writes files and sends events, sinks deliver to Mixpanel
and Braze, on a cluster whose brokers go away; and what is checked after each round."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

from streams.adapters.kafka.compacted import read_to_end
from streams.delivery.account import SinkCounts
from streams.delivery.metadata import MetadataError
from streams.events.schemas import SchemaBook, topic_schema
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.testing.cluster import ApacheCluster
from streams.testing.emulators import BrazeEmulator, EmulatorClient, MixpanelEmulator
from tests.chaos import plan, ways_in_plan
from tests.chaos.checker import stored_ids
from tests.chaos.scene import Scene
from tests.chaos.stagehand import QUIET_SECONDS_MAX, fail
from tests.chaos.troupe import Troupe
from tests.chaos.vendors import ANSWERS, Vendors
from tests.chaos.ways_in_plan import ANALYTICS, BACK
from tests.chaos.writer import SENT_AT
from tests.cli.files import opens, write_avro
from tests.inlets.stage import EVENT_TYPE, key
from tests.receiver import inlets as http
from tests.receiver.scene import COHORTS, DATA, entries, port_of

BUCKET = "bucket"
COMMANDS = {"router": ("router",), "receiver": ("receiver",), "ingest": ("ingest",)}
"""What `streams run` runs, by role; any other role is that of a connector's sink."""
SKIPPED = {"duplicate", "unchanged", "stale", "staged", "page"}
"""Reasons why a record needs no object of its own in Braze: what it says is there already, or comes with another."""
EXIT_CODES = {5, 8, 10, -6}
"""With which a process may end by itself (docs/cli.md, docs/reliability.md)."""
LOOK_SECONDS = 0.2


def run(cluster: ApacheCluster, folder: Path, seed: int, rounds: int, acts: int, protocol: str) -> None:
    """Play a seed's rounds, and check after each of them. Prints what was done, and at the end a line of JSON.

    Raises `AssertionError` at the first difference, after the story of its round.
    """
    print(f"\nSEED={seed} ROUNDS={rounds} PROTOCOL={protocol} CLUSTER={plan.BROKERS}", flush=True)
    with world(cluster, folder, protocol) as running:
        running.await_start()
        begun = time.monotonic()
        for number, one in enumerate(ways_in_plan.draw(seed, rounds, acts), 1):
            try:
                running.perform(one)
                running.check()
            except BaseException:
                print(f"SEED={seed}, round {number} of {rounds}\n{running.story(one)}", flush=True)
                raise
        running.leave()
        counts = {"seed": seed, "rounds": rounds, "protocol": protocol, "brokers": plan.BROKERS}
        print("\n".join(running.troupe.diary), flush=True)
        summary = {**counts, "seconds": round(time.monotonic() - begun), **running.counts}
        print("\n".join([*running.troupe.endings, json.dumps(summary)]), flush=True)


@dataclass(frozen=True, slots=True)
class Currents:
    """How often each event is on its topic, by what brought it there."""

    of_files: Counter[str] = field(default_factory=Counter)
    of_feed: Counter[str] = field(default_factory=Counter)


class World:
    """Plays rounds, and compares what vendors and Braze were promised with what is delivered."""

    def __init__(self, scene: Scene, cluster: ApacheCluster, mixpanel: MixpanelEmulator, braze: BrazeEmulator) -> None:
        self.scene = scene
        self.counts: Counter[str] = Counter()
        roles = {name: name.rpartition("-")[0] for name in (*ways_in_plan.PROCESSES, *ways_in_plan.SPARED)}
        commands = {name: (*COMMANDS.get(role, ("sink", role)), "--http-port", "0") for name, role in roles.items()}
        self.troupe = Troupe(scene, cluster, commands, self.counts)
        self._receivers = [one for name, one in self.troupe.processes.items() if roles[name] == "receiver"]
        self.vendors = Vendors(BACK, self._receivers)
        self._mixpanel, self._braze = mixpanel, braze
        self._emulators: dict[str, EmulatorClient] = {ANALYTICS: mixpanel, BACK: braze}
        self._files: dict[str, list[str]] = {}
        """Ids of the events of each file."""

    def await_start(self) -> None:
        """Until all roles are at work that wait for nothing else: what is broken then is broken at work."""
        processes = self.troupe.processes
        inlets = [process for name, process in processes.items() if name.startswith("ingest")]
        sinks = [process for name, process in processes.items() if name.startswith(BACK)]

        def is_at_work() -> bool:
            is_taken = any("inlet starts" in line for process in inlets for line in process.whole_lines())
            are_listening = all(port_of(process, "receiving") is not None for process in self._receivers)
            return is_taken and are_listening and any(process.has_partitions() for process in sinks)

        self.scene.wait_until(is_at_work, "all roles to be at work")

    def perform(self, one: plan.Round[ways_in_plan.Act]) -> None:
        """Act by act, then fix everything and wait until nothing moves any more."""
        for step in one.steps:
            time.sleep(step.pause)  # the moments are what the seed draws
            self.troupe.note(str(step.act))
            self._act(step.act)
        self.troupe.bring_all_back()
        for emulator in self._emulators.values():
            emulator.clear_faults()
        self.troupe.end_zombies()
        self.troupe.start_ended()
        self.vendors.finish()
        self.troupe.note("all is answered")
        self.troupe.await_whole()
        self.troupe.note("the cluster is whole")
        self._await_quiet()

    def check(self) -> None:
        """Raises `AssertionError` with what differs."""
        currents = self._currents()
        self._check_currents(currents)
        self._check_braze()
        for connector in self._emulators:
            self._check_account(connector)
        assert self.vendors.answers.keys() <= ANSWERS, f"the receiver answered {self.vendors.answers}"
        unnamed = self.troupe.exit_codes.keys() - EXIT_CODES
        assert not unnamed, f"processes ended with {unnamed}: {self.troupe.endings}"
        tracebacks = [process.log.name for process in self.troupe.processes.values() if _has_traceback(process.log)]
        assert not tracebacks, f"{tracebacks} wrote a traceback"

    def leave(self) -> None:
        """All processes stop in order."""
        for process in self.troupe.processes.values():
            assert process.is_running(), f"{process.instance} ended with {process.exit_code}: {process.last_words()}"
            code = process.terminate()
            assert code == 0, f"{process.instance} left with {code}: {process.last_words()}"

    def story(self, one: plan.Round[ways_in_plan.Act]) -> str:
        """What was planned and done in a round, and what processes said last."""
        done = ["", str(one), "what was done:", *self.troupe.diary, *self.troupe.endings]
        return "\n".join([*done, f"answers: {dict(self.vendors.answers)}", self.scene.logs()])

    def _act(self, act: ways_in_plan.Act) -> None:
        match act:
            case ways_in_plan.Send(requests, seed):
                self.vendors.send(requests, seed)
                self.counts["requests"] += requests
            case ways_in_plan.PutFile(events):
                self._put_file(events)
            case plan.Fault(connector, kind, count):
                fail(self._emulators[connector], kind, count)
                self.counts[f"fault {kind}"] += count
            case (
                plan.Kill()
                | plan.Leave()
                | plan.Start()
                | plan.Freeze()
                | plan.Thaw()
                | plan.Replace()
                | plan.Wake()
                | plan.KillBroker()
                | plan.LeaveBroker()
                | plan.StartBroker()
                | plan.FreezeBroker()
                | plan.ThawBroker()
            ):
                self.troupe.act(act)
            case _:
                assert_never(act)

    def _put_file(self, events: int) -> None:
        """It appears at once, as in a bucket."""
        tag = f"file-{len(self._files)}"
        name, records = f"{tag}.avro", opens(events, tag, SENT_AT)
        self._files[name] = [record["id"] for record in records]
        made = write_avro(self.scene.folder / "made" / name, records)
        path = self.scene.folder / BUCKET / key(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.rename(path)
        self.counts["files"] += 1
        self.counts["events of files"] += events

    # Until it is quiet.

    def _await_quiet(self) -> None:
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        said = ""
        while problem := self._unrest():
            assert time.monotonic() < deadline, f"not quiet after {QUIET_SECONDS_MAX:.0f} s: {problem}"
            if (what := problem.partition(":")[0]) != said:
                self.troupe.note(problem)
            said = what
            time.sleep(LOOK_SECONDS)
        self.troupe.note("quiet")

    def _unrest(self) -> str:
        """What is not quiet yet; empty where all is."""
        self.troupe.start_ended()
        try:
            states = {name: one["state"] for name, one in self._progress().items()}
            if waiting := self._files.keys() - {name for name, state in states.items() if state == "done"}:
                return f"files are not done: {waiting}, {states}"
            views = self.scene.accounts.state_views()
            for connector in self._emulators:
                state = views[connector].state
                assert state.state == "RUNNING", f"{connector} is {state}"
            # Currents topics first: what is routed of them is in the account then.
            currents, read = self._currents(), self.scene.router_counts().read
            if read < (there := currents.of_files.total() + currents.of_feed.total()):
                return f"{read} of {there} Currents events are routed"
            for connector, account in self.scene.accounts.of(self._emulators).items():
                if account.waiting:
                    return f"{connector}: {account}"
        except (KafkaUnreachable, KafkaRefusal, MetadataError) as error:
            return str(error)
        return ""

    def _progress(self) -> dict[str, Any]:
        """How the inlet stands with each file, by the file's name."""
        options = self.scene.settings.kafka.client_config("chaos")
        found: dict[str, Any] = {}
        for name, value in read_to_end(options, self.scene.settings.topics.inlets, "chaos").items():
            if name.startswith(b"taken/"):
                found |= {one.rpartition("/")[2]: entry for one, entry in json.loads(value)["objects"].items()}
        return found

    def _currents(self) -> Currents:
        """By the schemas that are on the topic of schemas, and no others."""
        topics, options = self.scene.settings.topics, self.scene.settings.kafka.client_config("chaos")
        rows = read_to_end(options, topics.schemas, "chaos")
        book = SchemaBook(topic_schema(name, value) for name, value in rows.items())
        there = self.scene.administration.topic_names()
        found = Currents()
        for event_type, ids in ((EVENT_TYPE, found.of_files), (http.EMAIL, found.of_feed)):
            topic = self.scene.source_prefix + event_type
            for record in self.scene.read(topic) if topic in there else ():
                value = record.value or b""
                schema = book.by_fingerprint(value[2:10])
                assert schema is not None, "a record came before its schema"
                ids[schema.decode(value, 10)["id"]] += 1
        return found

    # What is checked.

    def _check_currents(self, currents: Currents) -> None:
        """Of each file each event once; of the feed each one, and once more at most for each time it was sent again."""
        expected = Counter(one for ids in self._files.values() for one in ids)
        assert currents.of_files == expected, (
            f"of files: {(expected - currents.of_files).total()} missing, "
            f"{(currents.of_files - expected).total()} too many"
        )
        of_feed = currents.of_feed
        assert set(of_feed) == self.vendors.currents, f"{len(self.vendors.currents - set(of_feed))} of the feed missing"
        repeated = of_feed.total() - len(of_feed)
        assert repeated <= self.vendors.repeated, f"{repeated} are there again, {self.vendors.repeated} were sent again"
        counts = self.scene.router_counts()
        assert (counts.read, counts.undecodable, counts.lost) == (expected.total() + of_feed.total(), 0, 0)
        states = Counter(one["state"] for one in self._progress().values())
        assert states == {"done": len(self._files)}, f"files are {states}"
        stored = Counter(stored_ids(self._mixpanel))
        assert stored == Counter({*expected, *of_feed}), f"{len({*expected, *of_feed} - stored.keys())} not delivered"
        self.counts["events of the feed"] = len(of_feed)
        self.counts["events of the feed there again"] = repeated

    def _check_braze(self) -> None:
        """Each event is there, doubled at most as often as is counted; attributes and members are as they were sent."""
        rows, users, vendors = self._braze.rows(), self._braze.users(), self.vendors
        taken = Counter(row["object"]["properties"]["number"] for row in rows if row["kind"] == "events")
        assert set(taken) == vendors.events, f"{len(vendors.events - set(taken))} events are not at Braze"
        doubled, counted = taken.total() - len(taken), self._sink_counts()
        assert doubled <= counted.maybe_doubled, f"{doubled} doubled, {counted.maybe_doubled} may be"
        missing = [
            (user, name)
            for (user, name), value in vendors.attributes.items()
            if user not in users or users[user]["attributes"].get(name) != value
        ]
        assert not missing, f"attributes are not at Braze: {missing}"
        for name, members in vendors.members.items():
            found = {user for user, one in users.items() if name in one["attributes"].get("Mixpanel_Cohorts", [])}
            assert found == members, f"members of {name}: {members - found} missing, {found - members} too many"
        self.counts["events at Braze"] = len(taken)
        self.counts["events doubled at Braze"] = doubled
        self.counts["events that may be doubled"] = counted.maybe_doubled

    def _sink_counts(self) -> SinkCounts:
        """The sum of all partitions."""
        settings, total = self.scene.settings, SinkCounts()
        topic = settings.topics.connector(BACK)
        for commit in self.scene.administration.commits(settings.groups.sink(BACK), [topic]).values():
            total.add(SinkCounts.from_metadata(commit.metadata))
        return total

    def _check_account(self, connector: str) -> None:
        """The account adds up, and is that of the topics; nothing is parked, lost or left out without need."""
        one, problems = self.scene.account(connector), self.scene.verify(connector).problems
        assert not problems, f"{connector}: {problems}"
        on_topic = len(self.scene.read(self.scene.settings.topics.connector(connector)))
        assert on_topic == one.routed + one.again, f"{connector}: {on_topic} on its topic: {one}"
        settled = one.delivered + sum(one.skipped.values()) + sum(one.parked.values()) + one.purged + one.expired
        assert one.routed + one.imported + one.again == settled + one.lost + one.waiting, f"{connector}: {one}"
        none = (sum(one.parked.values()), one.purged, one.expired, one.lost, one.waiting, one.again, one.imported)
        assert not any(none), f"{connector}: {one}"
        if connector == BACK:
            assert one.skipped.keys() <= SKIPPED, f"{connector}: {one}"
            assert one.received == on_topic - one.derived, f"{connector}: {on_topic} on its topic: {one}"
            self.counts["records received"] = one.received or 0
            self.counts["answers 2xx"] = sum(many for said, many in self.vendors.answers.items() if said[0] == "2")
            self.counts["answers 503"] = self.vendors.answers["503"]
            self.counts["no answers"] = self.vendors.answers["none"]
            for reason, many in one.skipped.items():
                self.counts[f"skipped: {reason}"] = many
        else:
            assert not +Counter(one.skipped), f"{connector}: {one}"


def _has_traceback(log: Path) -> bool:
    return "Traceback" in log.read_text(errors="replace")


@contextmanager
def world(cluster: ApacheCluster, folder: Path, protocol: str) -> Iterator[World]:
    """It leaves no process behind."""
    (folder / BUCKET).mkdir()
    with ExitStack() as stack:
        mixpanel = stack.enter_context(MixpanelEmulator(is_process=True))
        braze = stack.enter_context(BrazeEmulator(is_process=True))
        connectors: dict[str, Any] = {
            ANALYTICS: {
                "destination": "mixpanel",
                "base_url": mixpanel.base_url,
                "project_token": mixpanel.project_token,
                "events": [EVENT_TYPE, http.EMAIL],
            },
            BACK: {
                "destination": "braze",
                "base_url": braze.base_url,
                "rest_key": braze.rest_key,
                "scratch": str(folder / "scratch"),
                "receive": {name: entries()[name] for name in (COHORTS, DATA)},
            },
        }
        connectors[BACK]["receive"][COHORTS]["create_users"] = True
        storage = {"kind": "storage", "url": f"file://{folder / BUCKET}", "poll": "5s"}
        sections = {
            "receiver": {"port": 0, "answer_within": "5s"},
            "inlets": {BUCKET: {**storage, "scratch": str(folder / "scratch")}, http.INLET: http.HTTP_INLET},
        }
        scene = Scene(cluster.bootstrap_servers, folder, connectors, {}, protocol, plan.BROKERS, sections)
        stack.callback(scene.end)
        running = World(scene, cluster, mixpanel, braze)
        stack.callback(running.vendors.close)
        yield running

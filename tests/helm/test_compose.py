"""The compose file: the specification takes it, its parts fit together, and its commands deliver its events."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import fastavro
import pytest
import yaml
from compose_spec import PyCompose

from streams.cli.assembly.installation import connect
from streams.config import load
from streams.emulators.braze.options import BrazeOptions
from streams.emulators.host import OPTIONS
from streams.emulators.mixpanel.options import MixpanelOptions
from streams.emulators.mparticle.options import MParticleOptions
from streams.operations.accounts import Accounts
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator, MixpanelEmulator, MParticleEmulator
from streams.testing.processes import free_port
from tests.helm.chart import CHART, ROOT
from tests.helm.test_cases import is_command
from tests.topics import claim
from tests.waiting import wait_until

FILE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "streams:local"]
ENDS_BY_ITSELF = ("topics", "topics-loop", "topics-inlets", "seed", "braze-feed")
SETTLED_SECONDS_MAX = COMMAND_SECONDS_MAX = 240.0


def test_the_specification_takes_it() -> None:
    PyCompose.from_yaml(yaml.safe_dump(COMPOSE))  # what anchors and merges make of it, as an engine reads it


def test_the_specification_refuses_what_is_written_wrong() -> None:
    with pytest.raises(ValueError, match="commmand"):
        PyCompose.from_yaml("services: {a: {image: 'x:1', commmand: [y]}}")


def test_every_image_has_a_version() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z0-9./-]+:(local|v?\d+\.\d+\.\d+)", service["image"]), name
    kafka = re.search(r"apache/kafka:([\d.]+)", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
    assert kafka
    assert SERVICES["kafka"]["image"] == kafka[0], "the version that the tests run on"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_commands_that_exist(name: str) -> None:
    words = SERVICES[name]["command"]
    options = [word for word in words if word.startswith("--")]
    plain = words[: words.index(options[0])] if options else words
    assert is_command(plain)
    if options:
        told = subprocess.run(
            [sys.executable, "-m", "streams", *plain[:2], "--help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=COMMAND_SECONDS_MAX,
        ).stdout
        assert [option for option in options if option not in told] == []


@pytest.mark.parametrize("name", OURS)
def test_our_containers_need_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["stop_grace_period"] == "30s"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_can_be_seen_to_be_ready(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"
        if how["condition"] == "service_completed_successfully":
            assert "restart" not in SERVICES[other]
        assert set(SERVICES[other].get("profiles", ())) <= set(SERVICES[name].get("profiles", ())), other


@pytest.mark.parametrize("name", SERVICES)
def test_every_long_running_service_has_a_health_check_or_ends_by_itself(name: str) -> None:
    assert "healthcheck" in SERVICES[name] or name in ENDS_BY_ITSELF


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_on_this_machine_only_and_what_is_mounted_is_here_and_cannot_be_written(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))
    for volume in SERVICES[name].get("volumes", ()):
        source, _, mode = volume.split(":")
        assert (ROOT / source).exists()
        assert mode == "ro"


def test_a_profile_takes_no_port_of_another() -> None:
    taken = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(taken) == len(set(taken))


def test_the_profiles_are_those_that_the_page_names() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    assert profiles == {"ui", "metrics", "registry", "loop", "console", "inlets"}
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    assert all(f"--profile {profile}" in page for profile in profiles)


def test_the_credentials_are_the_emulators_own_and_there_is_a_sink_for_each_connector() -> None:
    settings = yaml.safe_load((FOLDER / "streams.yaml").read_text(encoding="utf-8"))
    mixpanel, mparticle = (settings["connectors"][name] for name in ("demo-mixpanel", "demo-mparticle"))
    project = MixpanelOptions().projects[0]
    account = mixpanel["auth"]["service_account"]
    assert mixpanel["project_token"] == project.token
    assert (account["username"], account["secret"]) == (project.accounts[0].user, project.accounts[0].secret)
    assert account["project_id"] == project.project_id
    known = {(each.key, each.secret) for each in MParticleOptions().inputs}
    assert {(feed["key"], feed["secret"]) for feed in mparticle["feeds"].values()} <= known
    sinks = {
        service["command"][2] for service in SERVICES.values() if service.get("command", [])[:2] == ["run", "sink"]
    }
    loop = yaml.safe_load((FOLDER / "loop.yaml").read_text(encoding="utf-8"))
    assert loop["connectors"]["back-to-braze"]["rest_key"] == BrazeOptions().rest_keys[0].key
    assert sinks == settings["connectors"].keys() | loop["connectors"].keys()
    emulated = {service["command"][1]: service["command"][-1] for name, service in SERVICES.items() if name in OPTIONS}
    addresses = {
        connector["destination"]: connector["base_url"]
        for connector in (*settings["connectors"].values(), *loop["connectors"].values())
    }
    assert addresses == {name: f"http://{name}:{port}" for name, port in emulated.items()}


def test_prometheus_reads_every_process_and_the_charts_alerts_and_grafana_its_dashboards() -> None:
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    processes = [name for name, service in SERVICES.items() if service.get("command", [""])[0] == "run"]
    assert sorted(targets) == sorted(f"{name}:8080" for name in processes)
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["prometheus"]["volumes"]}
    assert [(ROOT / mounted[path]).resolve() for path in prometheus["rule_files"]] == [
        CHART / "alerts" / "streams.yaml"
    ]
    providers = yaml.safe_load((FOLDER / "grafana" / "dashboards.yml").read_text(encoding="utf-8"))["providers"]
    places = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    assert (ROOT / places[providers[0]["options"]["path"]]).resolve() == CHART / "dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (CHART / "dashboards" / Path(home).name).exists()


def test_the_sample_events_are_current() -> None:
    command = [sys.executable, "tools/sample_files.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX)
    assert result.returncode == 0, result.stderr


@contextmanager
def process(config: Path, words: list[str], log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A service's command as a process, ended with the block."""
    environment = {**os.environ, "STREAMS_CONFIG": str(config), "STREAMS_LOG_LEVEL": "warning"}
    with subprocess.Popen(
        [sys.executable, "-m", "streams", *words], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    ) as child:
        try:
            yield child
        finally:
            child.terminate()


def test_the_console_is_on_this_machine_only_and_lets_in_the_token_of_the_page(tmp_path: Path) -> None:
    """Its command with its configuration, as a process. It answers although no Kafka does."""
    settings = yaml.safe_load((FOLDER / "streams.yaml").read_text(encoding="utf-8"))
    wanted, service = settings["console"], SERVICES["console"]
    port = load(FOLDER / "streams.yaml").console.port
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert wanted["public_url"] == f"http://localhost:{port}"
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    shown = re.search(r"the token `([^`]+)` \| `localhost:(\d+)`", page)
    assert shown
    assert int(shown[2]) == port
    settings["kafka"]["bootstrap_servers"] = f"127.0.0.1:{free_port()}"
    wanted |= {"host": "127.0.0.1", "port": (here := free_port())}
    config = tmp_path / "streams.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def status(token: str) -> int:
        connection = HTTPConnection("127.0.0.1", here, timeout=60)
        with suppress(OSError), closing(connection):  # it does not listen yet
            headers = {"Authorization": f"Bearer {token}", "Host": f"localhost:{port}"}
            connection.request("GET", "/index.json", headers=headers)
            return connection.getresponse().status
        return 0

    with process(config, service["command"]):
        wait_until(lambda: bool(status(shown[1])), "the console to answer", SETTLED_SECONDS_MAX)
        assert (status(shown[1]), status("another-token")) == (503, 401), "let in, and told that Kafka is away; refused"


@pytest.mark.kafka
def test_its_commands_deliver_its_events(
    kafka: Broker, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator, tmp_path: Path
) -> None:
    """Its configuration and its commands, with the addresses of this machine and names of this test."""
    settings = yaml.safe_load((FOLDER / "streams.yaml").read_text(encoding="utf-8"))
    prefix = f"compose-{tmp_path.name}."
    claim(kafka.bootstrap_servers, prefix, f"from-{prefix}")
    settings["kafka"] |= {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": prefix}
    settings["source"] |= {"topic_prefix": f"from-{prefix}", "topics": [f"^from-{re.escape(prefix)}.+"]}
    settings["connectors"]["demo-mixpanel"]["base_url"] = mixpanel.base_url
    settings["connectors"]["demo-mparticle"]["base_url"] = mparticle.base_url
    config = tmp_path / "streams.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    seed = [str(FOLDER / "currents.zip") if word.startswith("/") else word for word in SERVICES["seed"]["command"]]
    for once in (SERVICES["topics"]["command"], seed):
        with process(config, once) as child:
            assert child.wait(COMMAND_SECONDS_MAX) == 0
    with ZipFile(FOLDER / "currents.zip") as archive:
        seeded = sum(sum(1 for _ in fastavro.reader(archive.open(name))) for name in archive.namelist())
    assert seeded > 1_000
    loaded = load(config)
    accounts = Accounts(connect(loaded, "streams-compose-test"))
    with ExitStack() as stack:
        for name in ("router", "sink-mixpanel", "sink-mparticle"):
            stack.enter_context(process(config, SERVICES[name]["command"]))

        found = {}

        def is_settled() -> bool:
            is_read = accounts.router().read == seeded  # before the accounts: what is routed later is in them
            found.update(accounts.of(loaded.connectors))
            return is_read and not any(account.waiting for account in found.values())

        wait_until(is_settled, "every account to be settled", SETTLED_SECONDS_MAX)
    for account in found.values():
        assert account.delivered == account.routed > 1_000, account
    assert len(mixpanel.unique()) == found["demo-mixpanel"].delivered
    assert len(mparticle.unique()) == found["demo-mparticle"].delivered


@pytest.mark.kafka
def test_the_loops_commands_bring_a_cohort_to_braze(kafka: Broker, tmp_path: Path) -> None:
    """The request of the page, with the commands of the file and the addresses of this machine."""
    settings = yaml.safe_load((FOLDER / "loop.yaml").read_text(encoding="utf-8"))
    settings["kafka"] |= {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": f"loop-{tmp_path.name}."}
    claim(kafka.bootstrap_servers, settings["kafka"]["topic_prefix"])
    settings["receiver"] |= {"port": (port := free_port())}
    config = tmp_path / "loop.yaml"
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    shown = re.search(r"curl -u (\S+) localhost:8088(\S+) .* -d '(.*)'", page)
    assert shown
    words = SERVICES["braze"]["command"]
    with ExitStack() as stack:
        options = BrazeOptions.model_validate_json(words[words.index("--options") + 1])
        braze = stack.enter_context(BrazeEmulator(options))
        settings["connectors"]["back-to-braze"] |= {"base_url": braze.base_url, "scratch": str(tmp_path / "scratch")}
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        with process(config, SERVICES["topics-loop"]["command"]) as child:
            assert child.wait(COMMAND_SECONDS_MAX) == 0
        for name in ("receiver", "sink-braze"):
            stack.enter_context(process(config, SERVICES[name]["command"]))
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Basic {b64encode(shown[1].encode()).decode()}",
        }
        path, body = shown[2], shown[3].encode()

        def is_taken() -> bool:
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            with suppress(OSError), closing(connection):  # it does not listen yet
                connection.request("POST", path, body, headers)
                return connection.getresponse().status == 200
            return False

        wait_until(is_taken, "the receiver to take the request", SETTLED_SECONDS_MAX)
        wait_until(lambda: bool(braze.users()["ada"]["attributes"]), "Braze to have the cohort", SETTLED_SECONDS_MAX)
        assert braze.users()["ada"]["attributes"] == {"Mixpanel_Cohorts": ["Buyers"]}

"""The compose file's profile `inlets`: its configuration, its commands and its sample files fit together."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit
from zipfile import ZipFile

from streams.config import load
from streams.config.inlets import HttpInlet, StorageInlet
from streams.config.topology import wanted_topics
from tests.helm.chart import ROOT
from tests.helm.test_compose import FOLDER, SERVICES

CONFIG = "./compose/inlets.yaml:/etc/streams/streams.yaml:ro"
OWN = {name: service for name, service in SERVICES.items() if service.get("profiles") == ["inlets"]}


def test_each_process_reads_the_configuration_of_the_inlets() -> None:
    assert OWN.keys() == {"topics-inlets", "ingest", "receiver-inlets", "braze-feed"}
    assert all(CONFIG in service["volumes"] for name, service in OWN.items() if name != "braze-feed")


def test_the_folder_that_is_read_is_mounted_and_has_files_that_seed_does_not_send() -> None:
    inlets = load(FOLDER / "inlets.yaml").storage_inlets
    _, _, name = OWN["ingest"]["command"]
    inlet = inlets[name]
    assert isinstance(inlet, StorageInlet)
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in OWN["ingest"]["volumes"]}
    folder = ROOT / mounted[urlsplit(inlet.url).path]
    (archive,) = folder.iterdir()
    with ZipFile(archive) as exported, ZipFile(FOLDER / "currents.zip") as seeded:
        assert exported.namelist()
        sums = {entry.CRC for entry in exported.infolist()}
        assert sums.isdisjoint(entry.CRC for entry in seeded.infolist())
    assert PurePosixPath(inlet.scratch).is_relative_to("/tmp"), "nothing else can be written"


def test_the_emulated_braze_posts_to_the_receivers_inlet_with_its_token() -> None:
    settings = load(FOLDER / "inlets.yaml")
    words = OWN["braze-feed"]["command"]
    url = urlsplit(words[words.index("--currents") + 1])
    assert url.hostname in OWN
    assert OWN[url.hostname]["command"] == ["run", "receiver"]
    assert url.port == settings.receiver.port
    assert OWN[url.hostname]["ports"] == [f"127.0.0.1:{url.port}:{url.port}"]
    assert urlsplit(settings.receiver.public_url or "").port == url.port
    (name, inlet), *others = settings.http_inlets.items()
    assert not others
    assert isinstance(inlet, HttpInlet)
    assert url.path == f"/currents/{name}"
    assert [token.reveal() for token in inlet.tokens] == [words[words.index("--token") + 1]]


def test_their_events_go_where_the_router_reads_and_no_topic_is_asked_for_twice_in_two_shapes() -> None:
    own, main = load(FOLDER / "inlets.yaml"), load(FOLDER / "streams.yaml")
    assert own.source.topic_prefix == main.source.topic_prefix
    assert own.source.topics == main.source.topics
    shapes = [{topic.name: topic for topic in wanted_topics(settings, brokers=1)} for settings in (own, main)]
    both = shapes[0].keys() & shapes[1].keys()
    assert both
    assert [name for name in both if shapes[0][name] != shapes[1][name]] == []
    assert "streams.inlets" in shapes[0]

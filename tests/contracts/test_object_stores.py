"""An object store: the adapter over memory, a folder, S3, GCS and Azure over HTTP, and the fake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.objects import ObstoreObjects, StoreOptionsWrong
from streams.inlets.objects import StoredObject
from streams.ports.errors import ObjectChanged, ObjectVanished, StoreForbidden, StoreUnreachable
from streams.ports.objects import ObjectStore
from tests.inlets import stores
from tests.inlets.stores import Scene

KEYS = (
    "dataexport.a/event_type=T/date=2026-11-29-09/version=3/prod/a+0+10.avro",
    "dataexport.a/event_type=T/date=2026-11-29-10/version=3/prod/a+0+9.avro",
    "dataexport.a/event_type=T/date=2026-11-29-10/version=4/prod/b+0+1.avro",
    "dataexport.a/event_type=U/date=2026-11-29-10/version=3/prod/a+0+1.avro",
    "top.avro",
)


@pytest.fixture(scope="module")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(scope="module")
def gcs_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.gcs_server(tmp_path_factory.mktemp("gcs")) as address:
        yield address


@pytest.fixture(scope="module")
def azure_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.azure_server(tmp_path_factory.mktemp("azure")) as address:
        yield address


@pytest.fixture(params=["fake", "memory", "folder", "s3", "gcs", "azure"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    match request.param:
        case "fake":
            return stores.fake()
        case "memory":
            return stores.memory()
        case "folder":
            return stores.folder(tmp_path / "bucket")
        case "s3":
            return stores.s3(request.getfixturevalue("s3_address"))
        case "gcs":
            return stores.gcs(request.getfixturevalue("gcs_address"))
        case _:
            return stores.azure(request.getfixturevalue("azure_address"))


def listed(store: ObjectStore, folder: str = "", after: str = "") -> dict[str, StoredObject]:
    return {one.key: one for page in store.pages(folder, after) for one in page}


def put_all(scene: Scene) -> None:
    for number, key in enumerate(KEYS):
        scene.put(key, b"x" * number)


def test_every_object_is_listed_with_its_size_etag_and_time(scene: Scene) -> None:
    put_all(scene)
    found = listed(scene.store)
    assert {key: one.size_bytes for key, one in found.items()} == {key: number for number, key in enumerate(KEYS)}
    assert all(one.etag and one.modified_ms > 1_600_000_000_000 for one in found.values())


def test_a_folder_is_listed_alone_and_only_after_a_key(scene: Scene) -> None:
    put_all(scene)
    folder = "dataexport.a/event_type=T"
    assert set(listed(scene.store, folder)) == set(KEYS[:3])
    assert set(listed(scene.store, folder, f"{folder}/date=2026-11-29-10")) == set(KEYS[1:3])
    assert listed(scene.store, "dataexport.a/event_type=T/date=2030") == {}


def test_a_level_has_folders_and_what_lies_directly_in_it(scene: Scene) -> None:
    put_all(scene)
    top = scene.store.level("")
    assert (top.folders, [one.key for one in top.objects]) == (("dataexport.a",), ["top.avro"])
    below = scene.store.level("dataexport.a")
    assert set(below.folders) == {"dataexport.a/event_type=T", "dataexport.a/event_type=U"}
    assert below.objects == ()


def test_an_object_is_read_as_it_was_listed(scene: Scene) -> None:
    content = bytes(range(256)) * 5_000
    scene.put("a.avro", content)
    assert b"".join(scene.store.read(listed(scene.store)["a.avro"])) == content


def test_an_object_that_was_written_again_since_the_listing_is_not_read(scene: Scene) -> None:
    scene.put("a.avro", b"first")
    before = listed(scene.store)["a.avro"]
    scene.put("a.avro", b"another one")  # the GCS fake ignores If-Match and tells times by the second
    with pytest.raises(ObjectChanged):
        list(scene.store.read(before))


def test_an_object_that_is_gone_has_vanished(scene: Scene) -> None:
    scene.put("a.avro", b"first")
    before = listed(scene.store)["a.avro"]
    scene.delete("a.avro")
    with pytest.raises(ObjectVanished):
        list(scene.store.read(before))


def test_more_objects_than_a_page_come_page_by_page(scene: Scene) -> None:
    for number in range(1_100):
        scene.put(f"many/{number}.avro", b"")
    pages = [len(page) for page in scene.store.pages("many")]
    assert sum(pages) == 1_100
    assert max(pages) <= 1_000


def test_a_name_with_signs_is_found_and_read(scene: Scene) -> None:
    key = "a b/ä+0+1 (2).avro"
    scene.put(key, b"content")
    assert b"".join(scene.store.read(listed(scene.store)[key])) == b"content"


def test_a_bucket_that_is_not_there_is_unreachable(s3_address: str) -> None:
    store = ObstoreObjects("s3://nobody-has-this", lambda: stores.s3_options(s3_address))
    with pytest.raises(StoreUnreachable, match="no such bucket"):
        list(store.pages(""))


def test_a_server_that_is_not_there_is_unreachable() -> None:
    store = ObstoreObjects("s3://bucket", lambda: stores.s3_options("http://127.0.0.1:1"))
    with pytest.raises(StoreUnreachable, match="s3://bucket"):
        list(store.pages(""))


def test_options_that_are_none_are_named() -> None:
    with pytest.raises(StoreOptionsWrong, match="regoin"):
        ObstoreObjects("s3://bucket", lambda: {"regoin": "eu-central-1"})


def test_a_folder_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="no such folder"):
        ObstoreObjects(f"file://{tmp_path}/nothing").level("")


def test_after_a_refusal_the_keys_are_read_again(tmp_path: Path) -> None:
    """A server that refuses the first key and takes the second."""
    asked: list[str] = []

    def options() -> dict[str, Any]:
        asked.append("options")
        return {**stores.s3_options(server), "access_key_id": f"key{len(asked)}"}

    with refusing("key1") as server:
        store = ObstoreObjects("s3://bucket", options)
        with pytest.raises(StoreForbidden):
            list(store.pages(""))
        assert list(store.pages("")) == []


def test_an_object_that_is_gone_has_vanished_though_the_condition_is_what_failed() -> None:
    """Azure asks the condition first: 412 of an object that is gone."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        return (404 if request.command == "HEAD" else 412), b""

    with serving(answer) as server:
        store = ObstoreObjects("s3://bucket", lambda: stores.s3_options(server))
        with pytest.raises(ObjectVanished):
            list(store.read(StoredObject("a.avro", 5, '"etag"', 0)))


def test_an_answer_of_another_length_than_the_listing_told_is_not_the_object() -> None:
    with serving(lambda _request: (200, b"abc")) as server:
        store = ObstoreObjects("s3://bucket", lambda: stores.s3_options(server))
        with pytest.raises(ObjectChanged):
            list(store.read(StoredObject("a.avro", 5, '"etag"', 0)))


def test_an_answer_that_ends_early_is_no_object() -> None:
    with serving(lambda _request: (200, b"abc"), announced_bytes=5) as server:
        store = ObstoreObjects("s3://bucket", lambda: stores.s3_options(server))
        with pytest.raises(StoreUnreachable):
            list(store.read(StoredObject("a.avro", 5, '"etag"', 0)))


def refusing(key: str) -> AbstractContextManager[str]:
    """An S3 that answers 403 to requests signed with this key, and an empty listing to others."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        if f"Credential={key}/" in request.headers.get("Authorization", ""):
            return 403, b"<Error><Code>AccessDenied</Code></Error>"
        return 200, b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'

    return serving(answer)


@contextmanager
def serving(
    answer: Callable[[BaseHTTPRequestHandler], tuple[int, bytes]], announced_bytes: int | None = None
) -> Iterator[str]:
    """A server with these answers; its address. It may announce more bytes than it sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announced_bytes is None else announced_bytes))
            self.send_header("ETag", '"etag"')
            self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

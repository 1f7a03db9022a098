"""What the `inlets` section may say: every mistake at once, each with its place and its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.config import ConfigurationError, Settings, loads
from streams.config.inlets import HttpInlet, StorageInlet
from streams.config.schema import json_schema
from streams.config.topology import wanted_topics

TOKEN = "a-token-of-24-characters"
STORAGE = {"kind": "storage", "url": "s3://braze-currents/prod"}
HTTP = {"kind": "http", "tokens": [TOKEN]}
ENVIRONMENT = {"TOKEN": TOKEN, "SHORT": "too-short"}


def document(inlets: Any, **sections: Any) -> dict[str, Any]:
    return {
        "kafka": {"bootstrap_servers": "kafka:9092"},
        "inlets": inlets,
        "connectors": {"growth": {"destination": "mixpanel", "project_token": "0" * 32}},
        **sections,
    }


def settings(inlets: Any, *, reads_secrets: bool = True, **sections: Any) -> Settings:
    return loads(
        yaml.safe_dump(document(inlets, **sections), sort_keys=False), ENVIRONMENT, reads_secrets=reads_secrets
    )


def problems(inlets: Any, *, reads_secrets: bool = True, **sections: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as error:
        settings(inlets, reads_secrets=reads_secrets, **sections)
    assert TOKEN not in str(error.value)
    return [(problem.path, str(problem)) for problem in error.value.problems]


def test_defaults() -> None:
    found = settings({"bucket": STORAGE, "feed": HTTP})
    bucket, feed = found.storage_inlets["bucket"], found.http_inlets["feed"]
    assert isinstance(bucket, StorageInlet)
    assert isinstance(feed, HttpInlet)
    assert (bucket.poll, bucket.lookback, bucket.start) == (30, 8 * 86_400, "all")
    assert (bucket.scratch, bucket.scratch_max, bucket.notify_queue) == (Path("/scratch"), 2_000_000_000, "")
    assert (bucket.damaged_after, bucket.start_hour) == (3_600, None)
    assert (feed.unauthorized, found.inlet_prefix(feed), found.inlet_prefix(bucket)) == (503, "currents.", "currents.")
    assert found.receiver.memory == 32_000_000
    assert found.receives


def test_without_inlets_nothing_changes() -> None:
    nothing: tuple[Any, ...] = (None, {})
    for inlets in nothing:
        found = settings(inlets)
        assert (found.inlets, found.receives, found.receiver.memory) == ({}, False, 12_000_000)
        assert "streams.inlets" not in {topic.name for topic in wanted_topics(found, 1)}


def test_an_inlet_may_have_topics_of_its_own() -> None:
    found = settings({"test": {**HTTP, "topic_prefix": "test-currents."}}, source={"topic_prefix": "braze."})
    assert found.inlet_prefix(found.inlets["test"]) == "test-currents."
    other = settings({"feed": HTTP}, source={"topic_prefix": "braze."})
    assert other.inlet_prefix(other.inlets["feed"]) == "braze."


def test_only_storage_inlets_have_a_topic_for_how_far_they_are() -> None:
    assert "streams.inlets" in {topic.name for topic in wanted_topics(settings({"a": STORAGE}), 1)}
    assert "streams.inlets" not in {topic.name for topic in wanted_topics(settings({"a": HTTP}), 1)}


def test_options_may_be_references_and_are_never_shown() -> None:
    inlet = settings({"a": {**STORAGE, "options": {"secret_access_key": "${TOKEN}", "region": "eu-west-1"}}}).inlets[
        "a"
    ]
    assert isinstance(inlet, StorageInlet)
    assert inlet.revealed_options() == {"secret_access_key": TOKEN, "region": "eu-west-1"}
    assert TOKEN not in repr(inlet)


@pytest.mark.parametrize("start", ["all", "now", "2026-11-01T00"])
def test_where_an_inlet_begins(start: str) -> None:
    assert settings({"a": {**STORAGE, "start": start}}).storage_inlets["a"].start == start


@pytest.mark.parametrize(
    "url", ["s3://bucket", "gs://bucket/a/b/", "az://container/x", "file:///var/currents", "s3://b.u-c_k/p"]
)
def test_addresses_that_are_taken(url: str) -> None:
    assert settings({"a": {**STORAGE, "url": url}}).storage_inlets["a"].url == url


QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/braze"
WRONG = [
    ({"a": {}}, "inlets.a.kind", "is missing"),
    ({"a": {"kind": "htp"}}, "inlets.a.kind", "Did you mean http?"),
    ({"a": "s3://bucket"}, "inlets.a", "at least kind"),
    ({"A": HTTP}, "inlets.A", "not a valid inlet name"),
    ({"a": {"kind": "storage"}}, "inlets.a.url", "must be set"),
    ({"a": {**STORAGE, "bucket": "x"}}, "inlets.a.bucket", "is not a known key here"),
    ({"a": {**STORAGE, "topic_prefix": "x."}}, "inlets.a.topic_prefix", "is not a known key here"),
    ({"a": {**STORAGE, "url": "https://bucket"}}, "inlets.a.url", "s3://bucket/prefix"),
    ({"a": {**STORAGE, "url": "s3://user:pass@bucket/x"}}, "inlets.a.url", "without user"),
    ({"a": {**STORAGE, "url": "file://relative"}}, "inlets.a.url", "file:///folder"),
    ({"a": {**STORAGE, "poll": "4s"}}, "inlets.a.poll", "5s to 10m"),
    ({"a": {**STORAGE, "poll": "11m"}}, "inlets.a.poll", "5s to 10m"),
    ({"a": {**STORAGE, "lookback": "2h"}}, "inlets.a.lookback", "3h to 90d"),
    ({"a": {**STORAGE, "lookback": "91d"}}, "inlets.a.lookback", "3h to 90d"),
    ({"a": {**STORAGE, "start": "yesterday"}}, "inlets.a.start", "2026-11-01T00"),
    ({"a": {**STORAGE, "start": "2026-13-01T00"}}, "inlets.a.start", "2026-11-01T00"),
    ({"a": {**STORAGE, "scratch_max": "9MB"}}, "inlets.a.scratch_max", "at least 10MB"),
    ({"a": {**STORAGE, "damaged_after": "0s"}}, "inlets.a.damaged_after", "1s to 30d"),
    ({"a": {**STORAGE, "notify_queue": "queue"}}, "inlets.a.notify_queue", "SQS queue"),
    ({"a": {**STORAGE, "url": "gs://bucket", "notify_queue": QUEUE}}, "inlets.a.notify_queue", "buckets of S3"),
    ({"a": {**STORAGE, "notify_queue": QUEUE}, "b": {**STORAGE, "url": "s3://other", "notify_queue": QUEUE}},
     "inlets.b.notify_queue", "the queue of inlets.a too"),
    ({"a": {**STORAGE, "options": {"secret_access_key": "${NOPE}"}}}, "inlets.a.options.secret_access_key", "NOPE"),
    ({"a": {**STORAGE, "options": {"region": ["x"]}}}, "inlets.a.options.region", "must be text"),
    ({"a": {"kind": "http"}}, "inlets.a.tokens", "must be set"),
    ({"a": {**HTTP, "tokens": []}}, "inlets.a.tokens", "at least 1 item"),
    ({"a": {**HTTP, "tokens": [f"{TOKEN}{n}" for n in range(3)]}}, "inlets.a.tokens", "at most 2 items"),
    ({"a": {**HTTP, "tokens": [TOKEN[1:]]}}, "inlets.a.tokens[0]", "at least 24 characters"),
    ({"a": {**HTTP, "tokens": ["${SHORT}"]}}, "inlets.a.tokens[0]", "at least 24 characters"),
    ({"a": {**HTTP, "unauthorized": 403}}, "inlets.a.unauthorized", "503"),
    ({"a": {**HTTP, "topic_prefix": "streams.x"}}, "inlets.a.topic_prefix", "our own topics"),
    ({"a": {**HTTP, "tokens": [TOKEN, TOKEN]}}, "inlets.a.tokens[1]", "the same token as inlets.a.tokens[0]"),
    ({"a": HTTP, "b": {**HTTP, "tokens": ["${TOKEN}"]}}, "inlets.b.tokens[0]", "the same token as inlets.a.tokens[0]"),
    ({"a": STORAGE, "b": {**STORAGE, "url": "s3://braze-currents"}}, "inlets.b.url", "overlaps inlets.a.url"),
    ({"a": STORAGE, "b": {**STORAGE, "url": "s3://braze-currents/prod/x/"}}, "inlets.b.url", "overlaps inlets.a.url"),
    ([], "inlets", "must be a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("inlets", "path", "words"), WRONG)
def test_a_mistake_is_told_once_with_its_path_and_its_fix(inlets: Any, path: str, words: str) -> None:
    ((told, sentence),) = problems(inlets)
    assert told == path
    assert words in sentence


BEYOND_A_SCHEMA = (
    "5s to",
    "3h to",
    "1s to",
    "10MB",
    "2026-11",
    "SQS",
    "NOPE",
    "24 char",
    "own topics",
    "same token",
    "buckets of S3",
    "queue of",
)


@pytest.mark.parametrize(
    ("inlets", "words"),
    [(one, words) for one, _, words in WRONG if not any(beyond in words for beyond in (*BEYOND_A_SCHEMA, "overlaps"))],
)
def test_the_json_schema_refuses_what_the_loader_refuses(inlets: Any, words: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(inlets), json_schema(), jsonschema.Draft202012Validator)


def test_the_json_schema_takes_what_the_loader_takes() -> None:
    good = document({"bucket": {**STORAGE, "options": {"region": "x"}, "start": "now"}, "feed": HTTP})
    jsonschema.validate(good, json_schema(), jsonschema.Draft202012Validator)


def test_all_mistakes_are_told_at_once() -> None:
    found = problems(
        {
            "one": {**STORAGE, "poll": "1s"},
            "two": {**STORAGE, "lookback": "1s"},
            "three": {**HTTP, "tokens": [TOKEN], "unauthorized": 400},
            "four": {"kind": "http", "tokens": [TOKEN], "topics": "x"},
        },
        receiver={"memory": "31MB"},
    )
    assert {path for path, _ in found} == {
        "inlets.one.poll", "inlets.two.lookback", "inlets.two.url", "inlets.three.unauthorized",
        "inlets.four.topics", "inlets.four.tokens[0]", "receiver.memory",
    }  # fmt: skip


def test_buckets_of_one_name_at_two_stores_do_not_overlap() -> None:
    found = settings(
        {
            "a": {**STORAGE, "options": {"endpoint": "http://one:9000"}},
            "b": {**STORAGE, "options": {"AWS_ENDPOINT": "http://two:9000"}},
            "c": {**STORAGE, "url": "s3://braze-currents/production"},
        }
    )
    assert len(found.storage_inlets) == 3


def test_a_receiver_with_an_inlet_has_room_for_what_braze_sends() -> None:
    ((path, words),) = problems({"a": HTTP}, receiver={"memory": "31MB"})
    assert path == "receiver.memory"
    assert "32MB" in words
    assert settings({"a": HTTP}, receiver={"memory": "64MB"}).receiver.memory == 64_000_000
    assert settings({"a": STORAGE}, receiver={"memory": "12MB"}).receiver.memory == 12_000_000


def test_without_secrets_references_are_compared_by_where_they_lead() -> None:
    found = settings({"a": {**HTTP, "tokens": ["file:/secrets/a", "file:/secrets/b"]}}, reads_secrets=False)
    assert len(found.http_inlets["a"].tokens) == 2
    ((path, _),) = problems({"a": {**HTTP, "tokens": ["file:/secrets/a"] * 2}}, reads_secrets=False)
    assert path == "inlets.a.tokens[1]"


def test_events_may_be_wanted_on_kafka_alone() -> None:
    empty: tuple[Any, ...] = ({}, None)
    for connectors in empty:
        alone = {"kafka": {"bootstrap_servers": "kafka:9092"}, "inlets": {"a": HTTP}}
        content = alone if connectors is None else {**alone, "connectors": connectors}
        found = loads(yaml.safe_dump(content), ENVIRONMENT)
        assert (list(found.inlets), list(found.connectors), found.source_topics) == (["a"], [], ())
        jsonschema.validate(content, json_schema(), jsonschema.Draft202012Validator)

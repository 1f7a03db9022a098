"""Broken configurations: exactly the problems that are there, each with its path, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import ConfigurationError, Problem, load, loads
from tests.config.vendors import REGISTRY

SECRET = "hunter2-swordfish"


def problems_of(text: str, environment: dict[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        loads(text, environment or {}, registry=REGISTRY)
    return caught.value.problems


def with_kafka(kafka: str) -> str:
    return f"kafka: {kafka}\nconnectors:\n  one: {{destination: acme, project_token: t}}\n"


def with_source(source: str) -> str:
    return with_kafka("{bootstrap_servers: kafka:9092}").replace("connectors", f"source: {source}\nconnectors")


def with_connector(connector: str, name: str = "one") -> str:
    return f"kafka: {{bootstrap_servers: kafka:9092}}\nconnectors:\n  {name}: {connector}\n"


GOOD = "{destination: acme, project_token: t}"
BROKEN = [
    (with_kafka("{}"), "kafka.bootstrap_servers", None, "must be set"),
    (with_kafka("null"), "kafka.bootstrap_servers", None, "must be set"),
    (with_kafka("[kafka:9092]"), "kafka", None, "must be a mapping"),
    (with_kafka("{bootstrap_servers: 'a b'}"), "kafka.bootstrap_servers", "'a b'", "must match"),
    (
        with_kafka("{bootstrap_servers: k:1, group_protocol: clasic}"),
        "kafka.group_protocol",
        "'clasic'",
        "must be 'classic' or 'consumer'",
    ),
    (with_kafka("{bootstrap_servers: k:1, topic_prefx: x.}"), "kafka.topic_prefx", None, "Did you mean topic_prefix?"),
    (with_kafka("{bootstrap_servers: k:1, topic_prefix: 'a b'}"), "kafka.topic_prefix", "'a b'", "must match"),
    (
        with_kafka("{bootstrap_servers: k:1, topics: {partitions: 0}}"),
        "kafka.topics.partitions",
        "0",
        "greater than or equal to 1",
    ),
    (
        with_kafka("{bootstrap_servers: k:1, topics: {partitions: '6'}}"),
        "kafka.topics.partitions",
        "'6'",
        "must be a valid integer",
    ),
    (
        with_kafka("{bootstrap_servers: k:1, topics: {replication: 1, min_insync_replicas: 2}}"),
        "kafka.topics",
        None,
        "must not be larger than replication",
    ),
    (with_source("{topics: []}"), "source.topics", None, "at least 1 item"),
    (with_source("{topics: ['^[']}"), "source.topics[0]", "'^['", "must be a regular expression"),
    (with_source("{topics: [a, 'b c']}"), "source.topics[1]", "'b c'", "must be a topic's name"),
    (with_source("{topics: currents}"), "source.topics", "'currents'", "must be a list"),
    (with_source("{encoding: avro}"), "source.encoding", "'avro'", "must be 'auto' or 'bare'"),
    (with_source("{topic_prefix: streams.in.}"), "source.topic_prefix", "'streams.in.'", "kafka.topic_prefix"),
    (with_source("{schema_folders: [/nowhere/at/all]}"), "source.schema_folders[0]", "'/nowhere/at/all'", "folder"),
    (with_source("{schema_registry: {url: 'ftp://x'}}"), "source.schema_registry.url", "'ftp://x'", "http://"),
    (with_source("{schema_registry: {url: 'http://x', username: u}}"), "source.schema_registry", None, "password"),
    (with_connector("{project_token: t}"), "connectors.one.destination", None, "Known names: acme, bolter"),
    (with_connector("{destination: acne}"), "connectors.one.destination", "'acne'", "Did you mean acme?"),
    (with_connector("acme"), "connectors.one", None, "must be a mapping"),
    (with_connector("{destination: acme}"), "connectors.one.project_token", None, "must be set"),
    (with_connector("{destination: acme, project_token: 12}"), "connectors.one.project_token", None, "in quotes"),
    (
        with_connector("{destination: acme, project_token: '${NOPE}'}"),
        "connectors.one.project_token",
        None,
        "environment variable NOPE is not set",
    ),
    (
        with_connector("{destination: acme, project_token: 'file:/no/such/file'}"),
        "connectors.one.project_token",
        None,
        "cannot read secret file /no/such/file",
    ),
    (
        with_connector("{destination: acme, project_token: t, region: ue}"),
        "connectors.one.region",
        "'ue'",
        "must be 'us' or 'eu'",
    ),
    (with_connector("{destination: acme, project_token: t, rgion: us}"), "connectors.one.rgion", None, "region?"),
    (with_connector("{destination: acme, project_token: t, rate: 0}"), "connectors.one.rate", "0", "greater than 0"),
    (with_connector("{destination: acme, project_token: t, rate: .inf}"), "connectors.one.rate", "inf", "finite"),
    (with_connector("{destination: acme, project_token: t, grace: 48}"), "connectors.one.grace", "48", "48h"),
    (with_connector("{destination: acme, project_token: t, grace: 0s}"), "connectors.one.grace", "'0s'", "more than 0"),
    (
        with_connector("{destination: acme, project_token: t, retry: {give_up_after: 1 day}}"),
        "connectors.one.retry.give_up_after",
        "'1 day'",
        "must be a number with a unit",
    ),
    (
        with_connector("{destination: acme, project_token: t, notify: {email: a@b.example}}"),
        "connectors.one.notify",
        None,
        "smtp.host",
    ),
    (
        with_connector("{destination: acme, project_token: t, contact: the growth team}"),
        "connectors.one.contact",
        "'the growth team'",
        "one mail address",
    ),
    ("notify: {smtp: {host: mail, port: 0}}\n" + with_connector(GOOD), "notify.smtp.port", "0", "greater than"),
    ("notify: {email: a@b.example}\n" + with_connector(GOOD), "notify.email", None, "is not a known key here"),
    (
        "notify: {smtp: {host: mail, username: u}}\n" + with_connector(GOOD),
        "notify.smtp",
        None,
        "username and password",
    ),
    (
        with_connector(
            "{destination: acme, project_token: t, notify: {email: 'a@b.example, c@d.example', smtp: {host: mail}}}"
        ),
        "connectors.one.notify.email",
        "'a@b.example, c@d.example'",
        "one mail address",
    ),
    (
        with_connector("{destination: acme, project_token: t, notify: {smtp: {host: h, username: u}}}"),
        "connectors.one.notify.smtp",
        None,
        "username and password",
    ),
    (with_connector("{destination: acme, project_token: t, events: []}"), "connectors.one.events", None, "1 item"),
    (
        with_connector("{destination: acme, project_token: t, events: [users.messages.email.Opem]}"),
        "connectors.one.events[0]",
        "'users.messages.email.Opem'",
        "users.messages.email.Open",
    ),
    (with_connector("{destination: acme, project_token: t}", "Upper"), "connectors.Upper", None, "lower-case letter"),
    (with_connector("{destination: acme, project_token: t}", "a" * 41), "connectors." + "a" * 41, None, "at most 40"),
    (with_connector("{destination: acme, project_token: t}", "source"), "connectors.source", None, "is reserved"),
    (with_connector("{destination: bolter, feeds: {}}"), "connectors.one.feeds", None, "at least 1 item"),
    (
        with_connector("{destination: bolter, feeds: {ios: {key: k}}}"),
        "connectors.one.feeds.ios.secret",
        None,
        "must be set",
    ),
    ("kafka: {bootstrap_servers: k:1}\n", "connectors", None, "at least one"),
    ("kafka: {bootstrap_servers: k:1}\nconnectors: {}\n", "connectors", None, "at least one"),
    (with_kafka("{bootstrap_servers: k:1}") + "conectors: {}\n", "conectors", None, "Did you mean connectors?"),
    (with_kafka("{bootstrap_servers: k:1, bootstrap_servers: k:2}"), "kafka.bootstrap_servers", None, "occurs twice"),
    ("", "", None, "is empty"),
    ("- a\n- b\n", "", None, "must be a mapping"),
    ("kafka: {bootstrap_servers: [}\n", "", None, "line 1, column 29"),
    ("kafka:\n\t- a\n", "", None, "line 2, column 1"),
    ("[" * 5_000, "", None, "nested too deeply"),
    ("kafka: *nowhere\n", "", None, "undefined alias"),
]


@pytest.mark.parametrize(("text", "path", "value", "fix"), BROKEN, ids=[str(index) for index in range(len(BROKEN))])
def test_a_mistake_is_told_once_with_its_path_its_value_and_its_fix(
    text: str, path: str, value: str | None, fix: str
) -> None:
    (problem,) = problems_of(text)
    assert problem.path == path
    assert problem.value == value
    assert fix in problem.fix


@pytest.mark.parametrize(
    "option",
    [
        "isolation.level",
        "group.id",
        "group.protocol",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "enable.partition.eof",
        "partition.assignment.strategy",
        "partitioner",
        "transactional.id",
        "group.instance.id",
        "enable.idempotence",
        "acks",
    ],
)
def test_an_option_that_a_promise_rests_on_is_refused_with_the_reason(option: str) -> None:
    (problem,) = problems_of(with_kafka(f"{{bootstrap_servers: k:1, options: {{{option}: x}}}}"))
    assert problem.path == f"kafka.options.{option}"
    assert "may not be set: " in problem.fix


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """
kafka:
  bootstrap_server: kafka:9092
  options: {acks: 1}
source:
  encoding: avro
connectors:
  one:
    destination: acme
    region: ue
    grace: forever
    grace: 48h
  Two:
    destination: bolter
    feeds: {ios: {key: k, secrt: s}}
"""
    assert [problem.path for problem in problems_of(text)] == [
        "kafka.bootstrap_servers",
        "kafka.bootstrap_server",
        "kafka.options.acks",
        "source.encoding",
        "connectors.one.project_token",
        "connectors.one.region",
        "connectors.one.grace",
        "connectors.Two",
        "connectors.Two.feeds.ios.secret",
        "connectors.Two.feeds.ios.secrt",
    ]


def test_a_problem_names_its_line() -> None:
    (problem,) = problems_of("kafka:\n  bootstrap_servers: k:1\nconnectors:\n  one:\n    destination: acne\n")
    assert problem.line == 5


@pytest.mark.parametrize(
    "connector",
    [
        f"{{destination: acme, project_token: [{SECRET}]}}",
        f"{{destination: acme, project_token: t, auth: {SECRET}}}",
        f"{{destination: acme, project_token: t, auth: {{key: {SECRET}, secret: [x]}}}}",
        f"{{destination: acme, project_tokn: {SECRET}}}",
        f"{{destination: bolter, feeds: {{ios: {SECRET}}}}}",
        f"{{destination: bolter, feeds: {SECRET}}}",
        f"{{destination: acme, project_token: *{SECRET}}}",
        f"{{destination: acme, project_token: !{SECRET} x}}",
        f"{{destination: acme, project_token: t, notify: {{webhook: [{SECRET}]}}}}",
        f"{{destination: acme, project_token: '{SECRET}', region: ue}}",
    ],
)
def test_no_problem_shows_a_secret(connector: str) -> None:
    for problem in problems_of(with_connector(connector)):
        assert SECRET not in str(problem)
        assert SECRET not in repr(problem)


def test_an_option_that_refers_to_a_missing_variable_is_a_problem() -> None:
    text = with_kafka("{bootstrap_servers: k:1, options: {sasl.password: '${NOPE}'}}")
    (problem,) = problems_of(text)
    assert (problem.path, problem.value) == ("kafka.options.sasl.password", None)
    assert "NOPE is not set" in problem.fix


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"kafka: \xe4")
    for path, fix in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory"), (latin, "not UTF-8")):
        with pytest.raises(ConfigurationError, match=fix):
            load(path, {}, registry=REGISTRY)


def test_more_connectors_than_kafka_takes_the_counts_of_are_a_problem_that_names_the_limit() -> None:
    def many(count: int) -> str:
        names = [f"connector-of-a-large-customer-no-{number:04d}" for number in range(count)]
        lines = "".join(f"  {name}: {{destination: acme, project_token: t}}\n" for name in names)
        return f"kafka: {{bootstrap_servers: kafka:9092}}\nconnectors:\n{lines}"

    assert len(loads(many(200), {}, registry=REGISTRY).connectors) == 200
    (problem,) = problems_of(many(800))
    assert problem.path == "connectors"
    assert "offset.metadata.max.bytes" in problem.fix
    assert "4,096" in problem.fix


def test_a_connector_whose_name_is_a_number_has_its_other_problems_told() -> None:
    problems = problems_of(with_connector("{destination: acme, project_token: t, retry: {kafka: 1}}", "0"))
    told = {problem.path: problem.fix for problem in problems}
    assert set(told) == {"connectors[0]", "connectors.0.retry.kafka"}
    assert told["connectors.0.retry.kafka"] == "is not a known key here. Known names: give_up_after"

"""What doctor makes of the answers of destinations and of the schema registry."""

from __future__ import annotations

import pytest

from streams.config import Connector, loads
from streams.config.source import SchemaRegistry
from streams.delivery.account import RouterCounts
from streams.delivery.contract import NoResponse, Request, Response
from streams.operations.doctor.cluster import metadata_finding
from streams.operations.doctor.destinations import credential_findings, registry_findings
from streams.operations.doctor.findings import Finding
from streams.testing.clock import MovableClock

NO_SUCH_SCHEMA = b'{"error_code":40403,"message":"Schema not found"}'


class Answers:
    """Gives one answer to whatever is asked."""

    def __init__(self, answer: Response | NoResponse) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def fetch(self, request: Request) -> Response | NoResponse:
        self.asked.append(request)
        return self.answer


def connector() -> Connector:
    settings = loads(
        f"""
kafka: {{bootstrap_servers: "kafka:9092"}}
connectors: {{growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}
"""
    )
    return settings.connectors["growth"]


def of_destination(status: int) -> Finding:
    (finding,) = credential_findings(connector(), Answers(Response(status, {}, b"")), MovableClock())
    return finding


def of_registry(answer: Response | NoResponse) -> Finding:
    (finding,) = registry_findings(SchemaRegistry(url="http://registry:8081"), Answers(answer))
    return finding


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_destination_that_asks_for_patience_is_busy_and_its_address_is_not_doubted(status: int) -> None:
    finding = of_destination(status)
    assert "busy" in finding.detail
    assert "address" not in finding.fix
    assert finding.trouble == "unreachable"


@pytest.mark.parametrize("status", [301, 404, 405])
def test_an_answer_that_no_destination_gives_makes_the_address_doubtful(status: int) -> None:
    assert "address" in of_destination(status).fix


def test_a_secret_that_is_away_is_a_finding_and_the_destination_is_not_asked() -> None:
    settings = loads(
        """
kafka: {bootstrap_servers: "kafka:9092"}
connectors: {growth: {destination: mixpanel, project_token: "${NOT_SET}"}}
""",
        {},
        reads_secrets=False,
    )
    answers = Answers(Response(200, {}, b""))
    (finding,) = credential_findings(settings.connectors["growth"], answers, MovableClock())
    assert (finding.trouble, answers.asked) == ("configuration", [])
    assert "NOT_SET" in finding.detail


def test_refused_credentials_are_told_with_how_a_secret_is_read_again() -> None:
    finding = of_destination(401)
    assert finding.trouble == "credentials"
    assert "connectors.growth.project_token (the configuration file itself, read when processes start" in finding.fix


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (Response(200, {}, b'{"schema":"{}"}'), None),
        (Response(404, {}, NO_SUCH_SCHEMA), None),
        (Response(404, {}, b"<html>nginx</html>"), "unreachable"),
        (Response(404, {}, b'{"error_code":404,"message":"HTTP 404 Not Found"}'), "unreachable"),
        (Response(200, {}, b"<html>sign in</html>"), "unreachable"),
        (Response(200, {}, b'{"health":"ok"}'), "unreachable"),
        (Response(401, {}, b""), "credentials"),
        (Response(403, {}, b""), "credentials"),
        (Response(503, {}, b""), "unreachable"),
        (NoResponse("connection refused"), "unreachable"),
    ],
)
def test_a_registry_is_well_if_it_answers_as_a_registry(answer: Response | NoResponse, trouble: str | None) -> None:
    assert of_registry(answer).trouble == trouble


def test_a_page_of_a_proxy_and_a_wrong_path_are_no_registry() -> None:
    """Confluent's server has its own 404 for a path that it does not serve: routers would wait for ever."""
    finding = of_registry(Response(404, {}, b'{"error_code":404,"message":"HTTP 404 Not Found"}'))
    assert "is not the answer of a schema registry" in finding.detail
    assert "source.schema_registry.url" in finding.fix


def test_a_registry_that_is_not_configured_is_not_asked() -> None:
    answers = Answers(Response(200, {}, b""))
    assert list(registry_findings(None, answers)) == []
    assert answers.asked == []


def test_the_registry_is_asked_with_its_credentials() -> None:
    answers = Answers(Response(200, {}, b""))
    registry = SchemaRegistry.model_validate({"url": "http://registry:8081", "bearer_token": "a-token"})
    assert len(list(registry_findings(registry, answers))) == 1
    assert answers.asked[0].headers["Authorization"] == "Bearer a-token"


@pytest.mark.parametrize(
    ("connectors", "bytes_max", "outcome", "says"),
    [
        ((), 4096, "ok", ""),
        (range(20), 4096, "ok", ""),
        (range(250), 4096, "warning", "split the connectors"),
        (range(250), 8192, "ok", ""),
        (range(100, 350), 4096, "warning", "let the router run"),
    ],
)
def test_commits_of_the_router_that_come_near_to_what_kafka_takes_are_told_in_time(
    connectors: range, bytes_max: int, outcome: str, says: str
) -> None:
    counts = RouterCounts({f"connector-{number}": 10**9 for number in connectors})
    finding = metadata_finding([counts.to_metadata(), ""], bytes_max, [f"connector-{number}" for number in range(250)])
    assert finding.outcome == outcome
    assert says in finding.fix

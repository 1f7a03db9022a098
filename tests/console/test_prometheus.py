"""Charts over days come from Prometheus, where one is configured; one that is away is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from streams.web.console.prometheus import QUERIES, PrometheusAway, charts_of
from streams.web.listener import Listener, TrackingServer

NOW_MS = 1_790_000_000_000
DAY_SECONDS = 86_400


def asked(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> Any:
    """The charts of `growth` over a day, from a server that answers so."""

    async def run() -> Any:
        listener = Listener(TrackingServer(answer), 1.0)
        host, port = await listener.open("127.0.0.1", 0)
        try:
            return await charts_of(f"http://{host}:{port}/", "growth", DAY_SECONDS, NOW_MS)
        finally:
            await listener.close()

    return asyncio.run(run())


def test_every_chart_is_asked_for_its_connector_and_range() -> None:
    queries: list[dict[str, list[str]]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        assert urlsplit(request.path).path == "/api/v1/query_range"
        queries.append(parse_qs(request.query_string))
        values = [[1_789_999_000, "3.5"], [1_789_999_288, "NaN"], [1_789_999_576, "4"]]
        return web.json_response({"status": "success", "data": {"result": [{"metric": {}, "values": values}]}})

    charts = asked(answer)
    assert [query.title for query, _ in charts] == [query.title for query in QUERIES]
    for _, series in charts:
        assert (list(series.times_ms), list(series.values)) == ([1_789_999_000_000, 1_789_999_576_000], [3.5, 4.0])
    assert len(queries) == len(QUERIES)
    for query in queries:
        assert 'connector="growth"' in query["query"][0]
        assert (query["start"], query["end"], query["step"]) == (["1789913600"], ["1790000000"], ["288"])


def test_no_series_yet_is_an_empty_chart() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.json_response({"status": "success", "data": {"result": []}})

    assert all(not series.values for _, series in asked(answer))


@pytest.mark.parametrize("body", ['{"data": {}}', "[]", '{"data": {"result": [{"values": [["x", "y"]]}]}}'])
def test_an_answer_that_is_not_prometheus_s_is_said(body: str) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    with pytest.raises(PrometheusAway, match="does not answer"):
        asked(answer)


def test_one_that_refuses_is_said() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=503)

    with pytest.raises(PrometheusAway, match="503"):
        asked(answer)

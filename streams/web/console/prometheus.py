"""Longer charts from a Prometheus that scrapes the processes. Without one, charts begin when the console starts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from streams.web.console.history import Series

RANGES: Mapping[str, int] = {"6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
"""Seconds of each range that a page offers."""
ANSWER_SECONDS_MAX = 5.0
POINTS = 300
STEP_SECONDS_MIN = 30


@dataclass(frozen=True, slots=True)
class Query:
    """One chart. `text` has places for the labels and for the seconds over which a rate is taken."""

    title: str
    unit: str
    text: str


QUERIES = (
    Query("Delivered", "per second", "sum(rate(streams_delivered_records_total{{{labels}}}[{seconds}s]))"),
    Query("Parked", "letters", "sum(max by (cause) (streams_dead_letters{{{labels}}}))"),
    Query("Waiting", "records", "max(streams_waiting_records{{{labels}}})"),
    Query("Oldest waiting", "s", "max(streams_lag_seconds{{{labels}}})"),
    Query(
        "Answers, 95 % within",
        "s",
        "histogram_quantile(0.95, sum by (le) (rate(streams_delivery_request_seconds_bucket{{{labels}}}[{seconds}s])))",
    ),
)


class PrometheusAway(Exception):
    """It does not answer, or not as Prometheus does. The message says what."""


async def charts_of(address: str, connector: str, seconds: int, now_ms: int) -> list[tuple[Query, Series]]:
    """Every chart of a connector over the last `seconds`. Raises `PrometheusAway`."""
    step = max(STEP_SECONDS_MIN, seconds // POINTS)
    span = {"start": str(now_ms // 1000 - seconds), "end": str(now_ms // 1000), "step": str(step)}
    labels = f'connector="{connector}"'
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            texts = [query.text.format(labels=labels, seconds=4 * step) for query in QUERIES]
            answers = await asyncio.gather(*(_asked(session, address, {**span, "query": text}) for text in texts))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise PrometheusAway(f"Prometheus at {address} does not answer: {error or type(error).__name__}") from None
    return list(zip(QUERIES, answers, strict=True))


async def _asked(session: aiohttp.ClientSession, address: str, parameters: Mapping[str, str]) -> Series:
    async with session.get(f"{address.rstrip('/')}/api/v1/query_range", params=dict(parameters)) as response:
        response.raise_for_status()
        content = await response.json()
    return _series(content)


def _series(content: Any) -> Series:
    """Raises `ValueError` for an answer that is not Prometheus's."""
    try:
        results = content["data"]["result"]
        points = results[0]["values"] if results else []
        known = [(round(float(at) * 1000), float(value)) for at, value in points]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"its answer is not understood at {error}") from None
    numbers = [(at_ms, value) for at_ms, value in known if value == value]  # NaN: no answer in that time
    return Series([at_ms for at_ms, _ in numbers], [value for _, value in numbers])

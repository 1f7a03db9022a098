"""`streams emulate braze --currents URL`: sample events as Braze sends them, and what each answer would have cost."""

from __future__ import annotations

import time
from collections import Counter

from streams.cli.errors import CommandError, ExitCode
from streams.cli.output import note
from streams.emulators.braze.currents import CurrentsConnector
from streams.emulators.braze.currents_post import body_of, post, run
from streams.events.custom_http.samples import sample_posts
from streams.values import http_problem

SHOWN_DROPPED_MAX = 10


def send_currents(url: str, token: str, events: int, batch: int, is_gzip: bool, seed: int) -> None:
    """Send, and print the ledger. Raises `CommandError` where Braze would have lost events, or not gone on."""
    if problem := http_problem(url):
        raise CommandError(f"--currents: {problem}, with the path /currents/NAME", ExitCode.USAGE)
    check = post(url, token, body_of([]), is_gzip=is_gzip)
    note(f"check of the credentials: {_shown(check)}")
    if not events:
        if check != 200:
            raise CommandError("Braze would not accept this address and token", ExitCode.FAILED)
        return
    connector = CurrentsConnector(batch)
    connector.add(sample_posts(events, seed=seed, now_s=int(time.time())))
    try:
        run(
            connector,
            lambda body: post(url, token, body, is_gzip=is_gzip),
            now_ms=lambda: time.time_ns() // 1_000_000,
            sleep=time.sleep,
            told=_told,
        )
    except KeyboardInterrupt:
        note("stopped")
    _print(connector)


def _told(status: int | None, events: int) -> None:
    if status is None or not 200 <= status < 300:
        note(f"{events} events: {_shown(status)}")


def _print(connector: CurrentsConnector) -> None:
    ledger = connector.ledger
    print(f"events     {ledger.sent}")
    print(f"delivered  {ledger.delivered}")
    print(f"dropped    {len(ledger.dropped)}")
    print(f"waiting    {connector.waiting}")
    if ledger.doubled_at_most:
        print(f"           {ledger.doubled_at_most} were sent again after no answer came: they may be there twice")
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(ledger.requests.items()))
    print(f"answers    {answers}")
    for (status, why), count in Counter((one.status, one.why) for one in ledger.dropped).most_common(SHOWN_DROPPED_MAX):
        print(f"           {count} dropped at {status}: {why}")
    if connector.state == "disabled":
        raise CommandError(f"Braze would have disabled the connector: {connector.why_disabled}", ExitCode.FAILED)
    if ledger.dropped:
        raise CommandError(f"Braze would have dropped {len(ledger.dropped)} events", ExitCode.FAILED)


def _shown(status: int | None) -> str:
    return "no answer" if status is None else str(status)

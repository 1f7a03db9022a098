"""`/connectors/NAME/letters`: dead letters by cause, then by what went wrong. They are counted beside the page."""

from __future__ import annotations

from collections.abc import Sequence

from streams.config.names import SOURCE
from streams.operations.dead_letters.filters import check_fingerprint
from streams.operations.dead_letters.groups import grouped, listed
from streams.operations.dead_letters.overview import LettersOverview
from streams.operations.dead_letters.rows import Rows, rows
from streams.operations.dead_letters.topics import dead_letters
from streams.operations.installation import Installation
from streams.state.top import Groups
from streams.web.console.desk import Asked, Desk, Page, Shown
from streams.web.console.failures import PageError
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND, ROWS_KIND = "count letters", "list letters"
ROWS_MAX = 100
FRESH_MS = 60_000
"""A count that is older is made again when somebody opens the page; until then the old one is shown."""
TROUBLES_MAX = 50
CHOSEN = ("action", "cause", "event_type", "since", "until", "limit", "rate", "scope")
"""Fields of the form that an address may fill in: a plan that selected nothing leads back to them."""


async def show(desk: Desk, asked: Asked) -> Shown:
    name = asked.names["name"]
    dead = dead_letters(desk.settings, name)
    overview = desk.snapshot.letters.get(name)
    if overview is None:
        failure = desk.snapshot.failure
        assert failure is not None, "a look that does not fail sees the letters of all"
        raise PageError(failure.status, failure.title, failure.what, failure.fix)
    work, counted = _count(desk, name, asked.user.name, is_forced=bool(asked.first("again")))
    cause, fingerprint = asked.first("cause"), asked.first("fingerprint")
    listing = _rows(desk, name, asked.user.name, fingerprint) if fingerprint else None
    content = {**overview.to_json(), **({} if counted is None else _listed(counted, name)), "count": work.to_json()}
    if listing is not None:
        content["rows"] = [] if listing.result is None else [row.to_json() for row in listing.result.rows]
    is_running = work.is_running or (listing is not None and listing.is_running)
    result = None if counted is None else counted.result
    also = {
        "name": name,
        "title": "the source (what the router could not read)" if name == SOURCE else name,
        "work": work,
        "counted": counted,
        "cause": cause,
        "fingerprint": fingerprint,
        "listing": listing,
        "causes": _causes(overview, None if counted is None else counted.result, dead.causes),
        "chosen": {field: asked.first(field) for field in CHOSEN},
        "parked": sum(row.letters for row in overview.causes),
        "troubles": [] if result is None else _troubles(result, cause),
        "counted_letters": 0 if result is None else sum(one.count for one in result.troubles()) + result.others,
        "overview": overview,
        "has_page": name != SOURCE,
    }
    return Page("letters.html", f"Letters of {name}", content, also, refresh_seconds=3 if is_running else 60)


def _causes(overview: LettersOverview, counted: Groups | None, known: Sequence[str]) -> list[tuple[str, int | None]]:
    """The causes of letters that a person replays or purges, each with its count; None where it is not known.

    The letters of `source` are one number, whatever their cause: only a count tells which causes there are.
    """
    if overview.connector != SOURCE:
        return [(row.cause, row.letters) for row in overview.causes if row.letters and row.cause != "credentials"]
    if not sum(row.letters for row in overview.causes):
        return []
    there = set(known) if counted is None else {one.largest.cause for one in counted.troubles()}
    return [(cause, None) for cause in known if cause in there]


def _count(desk: Desk, name: str, who: str, *, is_forced: bool) -> tuple[Work, Work | None]:
    """The newest count, which may still run, and the newest one that is done."""
    works = list(desk.works.newest(KIND, name))
    done = next((work for work in works if not work.is_running and work.result is not None), None)
    newest = works[0] if works else None
    now_ms = desk.clock.epoch_ms()
    is_old = newest is None or (newest.ended_ms is not None and now_ms - newest.ended_ms > FRESH_MS)
    if newest is None or (not newest.is_running and (is_old or is_forced)):

        def count(installation: Installation, work: Work) -> Groups:
            return grouped(installation, name, work.report)

        newest = desk.works.begin(desk.threads.counts, KIND, name, who, count)
    return newest, done


def _rows(desk: Desk, name: str, who: str, fingerprint: str) -> Work:
    """The first letters of one group: the newest listing, or a new one."""
    check_fingerprint(fingerprint)
    now_ms, subject = desk.clock.epoch_ms(), f"{name} {fingerprint}"
    newest = next(desk.works.newest(ROWS_KIND, subject), None)
    if newest is not None and (newest.ended_ms is None or now_ms - newest.ended_ms < FRESH_MS):
        return newest

    def read(installation: Installation, work: Work) -> Rows:
        return rows(installation, name, fingerprint, ROWS_MAX, work.report)

    return desk.works.begin(desk.threads.counts, ROWS_KIND, subject, who, read)


def _listed(counted: Work, name: str) -> dict[str, object]:
    return listed(counted.result, name, limit=TROUBLES_MAX)


def _troubles(groups: Groups, cause: str) -> list[object]:
    found = [one for one in groups.troubles() if not cause or one.largest.cause == cause]
    return list(found[:TROUBLES_MAX])


ROUTES = (Route("GET", "/connectors/{name}/letters", show),)

"""The commands of `streams dlq`, gathered."""

from __future__ import annotations

import typer

from streams.cli.dlq import deadline, files, groups, jobs, letter, orders, overview
from streams.cli.help import examples

app = typer.Typer(help="List, show, replay, purge, export and import dead letters.", no_args_is_help=True)
app.command("list", epilog=examples("streams dlq list growth", "streams dlq list source -o json"))(
    overview.list_letters
)
app.command("top", epilog=examples("streams dlq top growth", "streams dlq top growth --by-type --limit 5"))(groups.top)
app.command(
    "show",
    epilog=examples(
        "streams dlq show growth --fingerprint 5b1c9be0a2f4d713",
        "streams dlq show growth --offset rejected/0/17 --show-payload",
    ),
)(letter.show)
app.command(
    "replay",
    epilog=examples(
        "streams dlq replay growth --cause rejected --since 2h",
        "streams dlq replay growth --cause rejected --since 2h --execute --reason 'the mapping is fixed'",
        "streams dlq replay growth --scope default --until 0s",
    ),
)(orders.replay)
app.command(
    "purge",
    epilog=examples(
        "streams dlq purge growth --event-type users.behaviors.Purchase",
        "streams dlq purge growth --fingerprint 5b1c9be0a2f4d713 --execute --reason 'test events'",
    ),
)(orders.purge)
app.command(
    "extend", epilog=examples("streams dlq extend growth --scope default --by 24h --reason 'a new key comes on Monday'")
)(deadline.extend)
app.command(
    "export",
    epilog=examples(
        "streams dlq export growth --to growth.letters.gz",
        "streams dlq export growth --cause rejected --to - > growth.letters",
    ),
)(files.export)
app.command("import", epilog=examples("streams dlq import growth --from growth.letters.gz"))(files.import_letters)
app.command("jobs", epilog=examples("streams dlq jobs growth", "streams dlq jobs growth --cancel 4f1c09ab"))(jobs.jobs)

"""The commands of `streams dlq`, gathered."""

from __future__ import annotations

import typer

from streams.cli.dlq import deadline, files, groups, jobs, letter, orders, overview

app = typer.Typer(help="Dead letters: listed, looked at, replayed, purged, exported.", no_args_is_help=True)
app.command("list")(overview.list_letters)
app.command("top")(groups.top)
app.command("show")(letter.show)
app.command("replay")(orders.replay)
app.command("purge")(orders.purge)
app.command("extend")(deadline.extend)
app.command("export")(files.export)
app.command("import")(files.import_letters)
app.command("jobs")(jobs.jobs)

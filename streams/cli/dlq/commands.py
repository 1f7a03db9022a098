"""The commands of `streams dlq`, gathered."""

from __future__ import annotations

import typer

from streams.cli.dlq import exporting, extending, importing, listing, ordering, showing, topping, watching

app = typer.Typer(help="Dead letters: listed, looked at, replayed, purged, exported.", no_args_is_help=True)
app.command("list")(listing.list_letters)
app.command("top")(topping.top)
app.command("show")(showing.show)
app.command("replay")(ordering.replay)
app.command("purge")(ordering.purge)
app.command("extend")(extending.extend)
app.command("export")(exporting.export)
app.command("import")(importing.import_letters)
app.command("jobs")(watching.jobs)

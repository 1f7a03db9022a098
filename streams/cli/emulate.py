"""`streams emulate`: the destinations as local servers, for tests and trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.output import note

if TYPE_CHECKING:
    from pydantic import ValidationError

    from streams.emulators.faults import Fault

app = typer.Typer(help="Run an emulated destination until it is stopped.", no_args_is_help=True)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")]
Script = Annotated[
    str, typer.Option("--faults", metavar="JSON|FILE", help='Faults at the start: [{"status": 503, "count": 2}].')
]
Settings = Annotated[
    str, typer.Option("--options", metavar="JSON|FILE", help="Credentials, limits and strictness, as JSON.")
]


@app.command(
    epilog=examples("streams emulate mixpanel", """streams emulate mixpanel --faults '[{"status": 503, "count": 2}]'""")
)
@translated
def mixpanel(host: Host = "127.0.0.1", port: Port = 8401, faults: Script = "[]", options: Settings = "{}") -> None:
    """Emulate Mixpanel: the import API, as strict as Mixpanel."""
    _serve("mixpanel", options, host, port, faults)


@app.command(epilog=examples("streams emulate mparticle --port 0"))
@translated
def mparticle(host: Host = "127.0.0.1", port: Port = 8402, faults: Script = "[]", options: Settings = "{}") -> None:
    """Emulate mParticle: the events API, as strict as mParticle."""
    _serve("mparticle", options, host, port, faults)


@app.command(
    epilog=examples(
        "streams emulate braze",
        "streams emulate braze --currents http://localhost:8088/currents/braze-http --token TOKEN --events 1000",
    )
)
@translated
def braze(
    host: Host = "127.0.0.1",
    port: Port = 8403,
    faults: Script = "[]",
    options: Settings = "{}",
    currents: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Send sample events there, as Braze's Custom HTTP connector does, and serve nothing: "
            "http://localhost:8088/currents/NAME.",
        ),
    ] = "",
    token: Annotated[str, typer.Option(envvar="STREAMS_CURRENTS_TOKEN", help="Bearer token of --currents.")] = "",
    events: Annotated[int, typer.Option(min=0, help="Events that --currents sends; 0 only checks the token.")] = 1_000,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Events of one request of --currents.")] = 100,
    compressed: Annotated[bool, typer.Option("--gzip", help="Compress the requests of --currents.")] = False,
    seed: Annotated[int, typer.Option(help="The sample events of --currents are the same for the same seed.")] = 0,
) -> None:
    """Emulate Braze: /users/track and the cohort import, as strict as Braze. With --currents, its Custom HTTP
    connector.
    """
    if currents:
        from streams.cli.emulate_currents import send_currents

        send_currents(currents, token, events, batch, compressed, seed)
        return
    _serve("braze", options, host, port, faults)


def _serve(kind: str, text: str, host: str, port: int, script: str) -> None:
    from pydantic import ValidationError

    from streams.emulators.host import OPTIONS, run

    try:
        options = OPTIONS[kind].model_validate_json(_text(text, "--options"))
    except ValidationError as error:
        raise CommandError(f"--options: {_sentences(error)}", ExitCode.USAGE) from None
    faults = _faults(script)
    try:
        run(options, host, port, faults, lambda address: note(f"listening on {address}; control under /_emulator"))
    except OSError as error:
        raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}", ExitCode.FAILED) from None


def _faults(script: str) -> tuple[Fault, ...]:
    from pydantic import TypeAdapter, ValidationError

    from streams.emulators.faults import Fault

    try:
        return TypeAdapter(tuple[Fault, ...]).validate_json(_text(script, "--faults"))
    except ValidationError as error:
        raise CommandError(f"--faults: {_sentences(error)}", ExitCode.USAGE) from None


def _text(text: str, option: str) -> str:
    """JSON as it is given, or the content of the file that is named."""
    if text.lstrip().startswith(("{", "[")):
        return text
    try:
        return Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{option}: cannot read {text}: {type(error).__name__}", ExitCode.USAGE) from None


def _sentences(error: ValidationError) -> str:
    return "; ".join(
        ".".join(str(place) for place in detail["loc"]) + f" {detail['msg']}"
        for detail in error.errors(include_url=False, include_input=False)
    )

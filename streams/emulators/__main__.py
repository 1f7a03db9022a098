"""`python -m streams.emulators mixpanel --port 0`: serve, and print one JSON line with the address."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson
from pydantic import ValidationError

from streams.emulators.host import OPTIONS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m streams.emulators", description="An emulated vendor.")
    parser.add_argument("kind", choices=sorted(OPTIONS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--options", help="file of options as JSON, - for standard input")
    arguments = parser.parse_args()
    try:
        options = OPTIONS[arguments.kind].model_validate_json(_text(arguments.options))
    except OSError as error:
        parser.error(f"cannot read --options: {error.strerror}")
    except ValidationError as error:
        # Without the input: it may hold secrets.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        parser.error("; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems))

    def announce(base_url: str) -> None:
        print(orjson.dumps({"v": 1, "base_url": base_url}).decode(), flush=True)

    try:
        run(options, arguments.host, arguments.port, listening=announce)
    except OSError as error:
        parser.exit(1, f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror}\n")


def _text(path: str | None) -> bytes:
    if path is None:
        return b"{}"
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


main()

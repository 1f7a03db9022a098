"""`python -m streams.emulators mixpanel --port 0`: serve, and print one JSON line with the address."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from streams.emulators.hosting import OPTIONS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m streams.emulators", description="An emulated vendor.")
    parser.add_argument("kind", choices=sorted(OPTIONS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--options", help="file of options as JSON, - for standard input")
    arguments = parser.parse_args()
    text = b"{}"
    if arguments.options is not None:
        text = sys.stdin.buffer.read() if arguments.options == "-" else Path(arguments.options).read_bytes()
    options = OPTIONS[arguments.kind].model_validate_json(text)

    def announce(base_url: str) -> None:
        print(orjson.dumps({"v": 1, "base_url": base_url}).decode(), flush=True)

    run(options, arguments.host, arguments.port, listening=announce)


main()

"""Compiles the walker by mypyc, in place: the same file, about twice as fast, and nothing else changes.

    python tools/compile_walker.py          streams/events/walker.<platform>.so, which Python prefers to walker.py
    python tools/compile_walker.py --undo   removes it again

Needs mypy, setuptools and a C compiler where it is run, none of them where it is used. The tests are the same on both:
run them after either. The compiled file is ignored by git and belongs to one Python version and platform.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WALKER = Path("streams") / "events" / "walker.py"


def compiled_files() -> list[Path]:
    """The compiled file next to the walker, which any Python version would load instead of it."""
    endings = {Path(suffix).suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES}
    return [path for path in (ROOT / WALKER).parent.glob("walker*") if path.suffix in endings]


def undo() -> None:
    """Back to plain Python."""
    for path in compiled_files():
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")


def compile_in_place() -> None:
    """Build the extension in a temporary folder, and put it next to its source."""
    try:
        from mypyc.build import mypycify
        from setuptools import Distribution  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed here: python -m pip install mypy setuptools")
    undo()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        extensions = mypycify([str(WALKER)], target_dir=folder)
        command = Distribution({"name": "walker", "packages": [], "ext_modules": extensions}).get_command_obj(
            "build_ext"
        )
        command.inplace, command.build_lib, command.build_temp = True, folder, folder
        command.ensure_finalized()
        command.run()
    for path in compiled_files():
        print(f"compiled {path.relative_to(ROOT)}; undo with: python {Path(__file__).relative_to(ROOT)} --undo")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--undo", action="store_true", help="remove the compiled file")
    if parser.parse_args().undo:
        undo()
    else:
        compile_in_place()

"""Compiles the hot modules by mypyc, in place: the same files, two to three times as fast, and nothing else changes.

    python tools/compile.py          <module>.<platform>.so beside each module, which Python prefers to the .py, and the
                                     library that they share
    python tools/compile.py --undo   removes them again

Needs mypy, setuptools and a C compiler where it is run, none of them where it is used. The tests are the same on both:
run them after either. The compiled files are ignored by git and belong to one Python version and platform.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def compiled_files() -> Iterator[Path]:
    """The compiled files, also of modules that are compiled no more: any Python version would load them."""
    endings = {f".{suffix.rpartition('.')[2]}" for suffix in importlib.machinery.EXTENSION_SUFFIXES}
    return (path for path in sorted((ROOT / "streams").rglob("*")) if path.suffix in endings)


def undo() -> None:
    """Back to plain Python."""
    for path in list(compiled_files()):
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")


def compile_in_place(modules: tuple[str, ...], library: str) -> None:
    """Build the library and an extension for each module in a temporary folder, and put them beside their sources."""
    try:
        from mypyc.build import mypycify
        from setuptools import Distribution  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed here: python -m pip install mypy setuptools")
    undo()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        sources = [f"{module.replace('.', '/')}.py" for module in modules]
        extensions = mypycify(sources, target_dir=folder, group_name=library)
        command = Distribution({"name": "hot", "packages": [], "ext_modules": extensions}).get_command_obj("build_ext")
        command.inplace, command.build_lib, command.build_temp = True, folder, folder
        command.ensure_finalized()
        command.run()
    for path in compiled_files():
        print(f"compiled {path.relative_to(ROOT)}")
    print(f"undo with: python {Path(__file__).relative_to(ROOT)} --undo")


if __name__ == "__main__":
    from streams.compiled import LIBRARY, MODULES

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--undo", action="store_true", help="remove the compiled files")
    if parser.parse_args().undo:
        undo()
    else:
        compile_in_place(MODULES, LIBRARY)

"""Builds a wheel for one platform, with the hot modules compiled, where STREAMS_COMPILE=1; else the pure wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledModules(BuildHookInterface[Any]):
    """Runs `tools/compile.py` before the files are collected."""

    def dependencies(self) -> list[str]:
        """What an isolated build needs for it: the compiler, and the packages whose types it reads."""
        if not _is_wanted():
            return []
        return ["mypy", "setuptools", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface
        if not _is_wanted():
            return
        command = [sys.executable, str(Path(self.root) / "tools" / "compile.py")]
        subprocess.run(command, cwd=self.root, check=True)  # noqa: S603 - a script of ours
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += ["streams/**/*.so", "streams/**/*.pyd"]  # git ignores them


def _is_wanted() -> bool:
    return os.environ.get("STREAMS_COMPILE") == "1"

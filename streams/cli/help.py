"""How help is shown: whole sentences in lists of commands, and examples below a command."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

SENTENCE_CHARACTERS_MAX = 1_000
"""A command's first sentence, whole: it is wrapped, not cut."""


class Commands(TyperGroup):
    """A noun or the program itself."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with its first sentence."""
        rows = [
            (name, command.get_short_help_str(limit=SENTENCE_CHARACTERS_MAX))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def examples(*commands: str) -> str:
    """What stands below a command's options, one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)

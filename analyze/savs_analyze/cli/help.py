"""Help that is whole at any width: nothing in it is cut, neither words nor the sentence of a command."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

# Longer than any first sentence: click cuts there.
WHOLE = 1000


class WholeHelp(TyperGroup):
    """Commands with their whole first sentence, over as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in the order in which they are registered."""
        rows = [(name, self.commands[name].get_short_help_str(WHOLE)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

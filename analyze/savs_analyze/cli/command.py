"""A store may be named with --store or without: one way to read both, and one in the help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

STORE = "--store"


class StoreCommand(TyperCommand):
    """A command that takes words it has no other place for as stores, as if `--store` stood before each."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words with every store behind its option. Raises click's UsageError for one too many."""
        option = next((param for param in self.params if STORE in param.opts), None)
        if option is None:
            return super().parse_args(ctx, args)
        given, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        if unknown := next((word for word in rest if word.startswith("-") and len(word) > 1), ""):
            ctx.fail(f"{unknown} is no store")
        if not option.multiple and len(rest) + (option.name in given) > 1:
            ctx.fail("one store is asked for, name one: --store STORE")
        if not rest:
            return super().parse_args(ctx, args)
        ctx.allow_extra_args = True
        super().parse_args(ctx, [*(word for store in rest for word in (STORE, store)), *args])
        ctx.args = []
        return ctx.args

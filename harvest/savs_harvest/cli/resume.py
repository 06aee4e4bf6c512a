"""The command that finishes a harvest, as its store keeps it: read off the options themselves, so none is forgotten."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import typer

# What is not kept: where the store is, how it was laid out when it was begun, and what is for one process to choose.
LEFT_OUT = (
    *("store", "shard_samples", "codec", "device", "device_map", "workers", "rank", "world", "retry"),
    *("journal", "key_env", "proxy", "concurrency", "rate", "retries", "timeout", "dry_run"),
    *("most_requests", "most_cost", "price_in", "price_out"),
)
# What is named, but not told: where a server is.
HIDDEN = {"endpoint": "URL"}


def resume_command(context: typer.Context) -> str:
    """Return the running command without its store: of the options, those that are not the default."""
    return shlex.join(["savs-harvest", str(context.info_name), *options_said(context, LEFT_OUT, _shareable)])


def options_said(context: typer.Context, left_out: Collection[str], shown: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the options of the running command that are not the default, but for some, as they are typed."""
    for option in context.command.params:
        value = context.params.get(str(option.name))
        if option.name not in left_out and value not in (None, [], option.default):
            yield from _words(option, HIDDEN.get(str(option.name), value), shown)


def _words(option: Any, value: Any, shown: Callable[[str], str]) -> Iterator[str]:
    """Yield an option with its value; one that repeats comes once a value, a flag stands alone."""
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, bool):
            yield (option.opts if each else option.secondary_opts)[0]
        else:
            yield from (option.opts[0], shown(str(each)))


def _shareable(path: str) -> str:
    """Return a name without absolute folders: a store may be given away."""
    return f"FOLDER/{Path(path).name}" if Path(path).is_absolute() else path

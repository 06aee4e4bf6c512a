"""The command line of the harvest: one file a group of commands."""

from savs_harvest.cli.commands import app, entry

__all__ = ["app", "entry"]

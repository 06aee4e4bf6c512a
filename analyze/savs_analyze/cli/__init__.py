"""The command line of the analysis: one file a group of commands."""

from savs_analyze.cli.commands import app, entry

__all__ = ["app", "entry"]

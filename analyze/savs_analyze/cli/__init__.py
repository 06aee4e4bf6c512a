"""The command line of the analysis: one file a group of commands."""

from savs_analyze.cli.commands import app, entry
from savs_moved import names

__all__ = ["app", "entry"]

__getattr__ = names(__name__)

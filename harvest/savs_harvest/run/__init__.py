"""A harvest from start to end: shards of this rank, their provenance, a forecast of time and room."""

from savs_moved import names

__getattr__ = names(__name__)

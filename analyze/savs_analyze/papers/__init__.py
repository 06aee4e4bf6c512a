"""Both papers: their published numbers beside ours, and their studies as sweeps."""

from savs_moved import names

__getattr__ = names(__name__)

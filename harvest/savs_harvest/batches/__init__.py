"""How samples run together: plans, layouts, packing, the runner, and what is checked of them at the start."""

from savs_moved import names

__getattr__ = names(__name__)

"""Which samples a draw learns from, which choose hyperparameters, which are tested."""

from savs_moved import names

__getattr__ = names(__name__)

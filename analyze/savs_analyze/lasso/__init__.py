"""Sparse-group lasso over heads: penalty, problem, path, references, estimator."""

from savs_moved import names

__getattr__ = names(__name__)

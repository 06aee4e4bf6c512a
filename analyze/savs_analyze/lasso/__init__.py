"""Sparse-group lasso over heads: penalty, problem, path, references, estimator."""

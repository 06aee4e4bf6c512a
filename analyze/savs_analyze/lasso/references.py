"""Solvers of other packages for the same problem, to compare with; their models get our certificate."""

from __future__ import annotations

import warnings

import numpy as np

from savs_analyze.lasso.path import Fit, certify
from savs_analyze.lasso.problem import Problem


def group_lasso(problem: Problem, alpha: float, tol: float, max_iter: int) -> Fit:
    """Fit by the package group-lasso, which minimises loss + 2 * penalty and has two outputs for two classes."""
    from group_lasso import LogisticGroupLasso

    if not problem.free:
        raise ValueError("solver='group-lasso' has no penalised intercept")
    if problem.weights is not None:
        raise ValueError("solver='group-lasso' takes no sample_weight")
    penalty, binary = problem.penalty, len(problem.targets) == 1
    labels = problem.targets[0].astype(int) if binary else problem.targets.argmax(axis=0)
    weights = alpha * (1 - penalty.l1_ratio) / 2 * penalty.weights * (np.sqrt(2) if binary else 1)
    model = LogisticGroupLasso(
        groups=penalty.groups,
        group_reg=weights.tolist(),
        l1_reg=alpha * penalty.l1_ratio / 2,
        n_iter=max_iter,
        tol=tol,
        supress_warning=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.features * problem.factors, labels)
    coef, intercept = model.coef_.T * problem.factors, model.intercept_.reshape(-1)
    if binary:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    return certify(problem, coef, intercept, alpha, tol, max_iter)


def liblinear(problem: Problem, alpha: float, tol: float, max_iter: int) -> Fit:
    """Fit by liblinear, whose intercept is the coefficient of a feature that is 1: the last of the problem."""
    from sklearn.linear_model import LogisticRegression

    C = 1 / (alpha * problem.targets.shape[1])
    model = LogisticRegression(
        solver="liblinear", l1_ratio=1, C=C, tol=tol, max_iter=max_iter, random_state=0, fit_intercept=False
    )
    model.fit(problem.features * problem.factors, problem.targets[0], problem.weights)
    return certify(problem, model.coef_ * problem.factors, np.zeros(1), alpha, tol, int(model.n_iter_.max()))

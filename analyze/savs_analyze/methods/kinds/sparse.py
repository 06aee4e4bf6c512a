"""How sparse regressions learn from a support, and what they say of samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped
from sklearn.exceptions import ConvergenceWarning

from savs_analyze.lasso.estimator import SparseGroupLogisticRegression
from savs_analyze.methods.learnt import Learnt, Support
from savs_analyze.methods.recipes import Method, Sparse
from savs_analyze.votes.voting import Allowed, Votes, first_best, restrict

# group-lasso takes minutes for more on many classes; liblinear and ours stop by themselves.
SOLVER_STEPS = {"working-set": 10_000, "liblinear": 1000, "group-lasso": 1000}


def learn_sparse(methods: Sequence[Sparse], support: Support) -> dict[Method, Learnt]:
    """Return what each learns; those that differ in the penalty's weight alone are one path."""
    paths: dict[Sparse, list[Sparse]] = {}
    for method in methods:
        paths.setdefault(replace(method, value=1, restricted=False), []).append(method)
    if paths:
        support.check_classes("the lasso")
    learnt: dict[Method, Learnt] = {}
    for of_path in paths.values():
        learnt |= _learn_path(of_path, support)
    return learnt


def _learn_path(methods: Sequence[Sparse], support: Support) -> dict[Method, Learnt]:
    one = methods[0]
    last = np.unique(support.layer)[-one.layers :]
    heads = np.flatnonzero(np.isin(support.layer, last))
    features = support.vectors[:, heads].reshape(len(support.labels), -1).astype(np.float64)
    values = np.array([method.value for method in methods], dtype=np.float64)
    grid = 1 / (values * len(features)) if one.knob == "C" else values
    estimator = SparseGroupLogisticRegression(
        l1_ratio=one.l1_ratio,
        head_dim=support.vectors.shape[2],
        loss=one.loss,
        scaling=one.scaling,
        solver=one.solver,
        max_iter=SOLVER_STEPS[one.solver],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the report says so
        models = estimator.path(features, support.labels, grid, relative=one.knob == "share")
    return {method: _sparse_learnt(method, model, heads) for method, model in zip(methods, models, strict=True)}


def _sparse_learnt(
    method: Sparse, model: SparseGroupLogisticRegression, heads: Int[np.ndarray, " candidate"]
) -> Learnt:
    dim, coef = model.head_dim, model.coef_[:, model.features_]
    # A model that uses no feature reads one head all the same.
    needed = heads[model.heads_] if len(model.heads_) else heads[:1]
    places = np.searchsorted(needed, heads[model.features_ // dim]), model.features_ % dim
    report = {
        "alpha": model.alpha_,
        "objective": model.objective_,
        "gap": model.gap_,
        "n_iter": model.n_iter_,
        "converged": model.converged_,
        "degenerate": model.degenerate_,
        "separated": model.separated_,
        "saturated": model.saturated_,
        "heads_alive": len(model.heads_),
        "features_alive": len(model.features_),
    }
    ranked = heads[model.heads_][np.argsort(-model.head_norms_, kind="stable")]
    return Learnt(method, needed, model=(*places, coef, model.intercept_), ranked=ranked, report=report)


def sparse_votes(
    learnt: Learnt, features: Shaped[np.ndarray, "sample head dim"], places: Int[np.ndarray, " needed"], among: Allowed
) -> Votes:
    """Return the linear scores; of two classes, half of those of the second and their negatives."""
    head, dim, coef, intercept = learnt.model
    scores = features[:, places[head], dim].astype(np.float64) @ coef.T + intercept
    scores = np.hstack([-scores, scores]) / 2 if scores.shape[1] == 1 else scores
    scores = restrict(scores, among)
    return Votes(first_best(scores), scores)

"""Sparse regressions on all heads of the last layers: lasso and sparse-group lasso (second paper)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from savs_analyze.lasso.penalty import SCALINGS, SOLVERS
from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.methods.protocols import Protocol
from savs_analyze.votes.linear import SparseVotes

if TYPE_CHECKING:
    from savs_analyze.lasso.estimator import SparseGroupLogisticRegression

# group-lasso takes minutes for more on many classes; liblinear and ours stop by themselves.
SOLVER_STEPS = {"working-set": 10_000, "liblinear": 1000, "group-lasso": 1000}


@dataclass(frozen=True)
class Sparse(Method):
    """Sparse logistic regression on all heads of the last `layers` layers (second paper).

    `knob` says what `value` is: "alpha", the weight of the penalty, the lasso's "C" = 1 / (n alpha), or the "share"
    of the least alpha at which no feature is used. `solver` and `scaling` are those of the estimator.
    """

    layers: int
    knob: str
    value: int | float
    l1_ratio: int | float = 1.0
    loss: str = "multinomial"
    solver: str = "working-set"
    scaling: str = "none"

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers must be at least 1, got {self.layers}")
        if not self.value > 0:
            raise ValueError(f"{self.knob} must be above 0, got {self.value}")
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio must be from 0 to 1, got {self.l1_ratio}")
        if self.solver not in SOLVERS or self.scaling not in SCALINGS:
            raise ValueError(f"unknown solver or scaling: {self.solver!r}, {self.scaling!r}")
        if self.solver == "liblinear" and self.l1_ratio != 1:
            raise ValueError("the solver liblinear knows the lasso only")
        if self.solver == "liblinear" and self.knob == "share":
            raise ValueError(
                "the solver liblinear penalises the intercept, so no share of the largest penalty is known"
            )
        if self.solver == "group-lasso" and self.loss != "multinomial":
            raise ValueError("the solver group-lasso knows the multinomial loss only")

    @property
    def path(self) -> Sparse:
        """What those have in common that differ in the penalty's weight alone: they are learnt as one path."""
        return replace(self, value=1, restricted=False)

    @property
    def weighs(self) -> bool:
        return self.solver != "group-lasso"

    @property
    def solving(self) -> tuple[str, str]:
        return self.solver, self.scaling

    def solved_by(self, solver: str, scaling: str) -> Sparse:
        return replace(self, solver=solver or self.solver, scaling=scaling or self.scaling)

    def following(self, protocol: Protocol) -> Sparse:
        """Return the lasso as the papers' code solves it, by liblinear; what it cannot solve stays."""
        liblinear = self.l1_ratio == 1 and self.knob == "C"
        return replace(self, solver="liblinear") if liblinear else self

    def learn(self, context: Context) -> SparseVotes:
        of_path = [one for one in context.methods if isinstance(one, Sparse) and one.path == self.path] or [self]
        models = context.shared(self.path, lambda: _fit_path(of_path, context))
        heads = candidates(context, self.layers)
        return self._votes(models[self.value], heads, context.vectors.shape[2])

    def _votes(
        self, model: SparseGroupLogisticRegression, heads: Int[np.ndarray, " candidate"], dim: int
    ) -> SparseVotes:
        # A model that uses no feature reads one head all the same.
        needed = heads[model.heads_] if len(model.heads_) else heads[:1]
        return SparseVotes(
            heads=needed,
            restricted=self.restricted,
            ranked=heads[model.heads_][np.argsort(-model.head_norms_, kind="stable")],
            head=np.searchsorted(needed, heads[model.features_ // dim]),
            dim=model.features_ % dim,
            weights=model.coef_[:, model.features_],
            intercept=model.intercept_,
            apart=self.loss == "one-vs-rest" or self.solver == "liblinear",
            report=_report(model),
        )


def candidates(context: Context, layers: int) -> Int[np.ndarray, " candidate"]:
    """Return the heads of the last layers."""
    return np.flatnonzero(np.isin(context.layer, np.unique(context.layer)[-layers:]))


def _fit_path(methods: Sequence[Sparse], context: Context) -> dict[int | float, SparseGroupLogisticRegression]:
    """Return the models of methods that differ in the penalty's weight alone, by that weight."""
    # Here, as every command knows the names of methods, and few need scikit-learn.
    from sklearn.exceptions import ConvergenceWarning

    from savs_analyze.lasso.estimator import SparseGroupLogisticRegression

    context.check_classes("the lasso")
    one = methods[0]
    vectors = context.vectors[:, candidates(context, one.layers)].astype(np.float64)
    weights = list(dict.fromkeys(method.value for method in methods))
    values = np.array(weights, dtype=np.float64)
    estimator = SparseGroupLogisticRegression(
        l1_ratio=one.l1_ratio,
        loss=one.loss,
        scaling=one.scaling,
        solver=one.solver,
        max_iter=SOLVER_STEPS[one.solver],
    )
    grid = 1 / (values * context.size) if one.knob == "C" else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the report says so
        models = estimator.path(vectors, context.labels, grid, one.knob == "share", context.weights)
    return dict(zip(weights, models, strict=True))


def _report(model: SparseGroupLogisticRegression) -> dict[str, float | bool]:
    return {
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

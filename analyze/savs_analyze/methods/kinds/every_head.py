"""Linear classifiers on the vectors of every head, solved in as many dimensions as there are samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.probes import Strong
from savs_analyze.parts.selection import Scoring
from savs_analyze.parts.shrinkage import in_samples, shrunk_discriminant
from savs_analyze.votes.linear import LinearVotes, Standard

PENALTIES = np.logspace(-1, 6, 15)


@dataclass(frozen=True)
class OnEveryHead(Strong):
    """A probe on all heads."""

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        return ()

    def choose_heads(self, context: Context) -> tuple[Int[np.ndarray, " voter"], int]:
        return np.arange(context.vectors.shape[1]), 0


@dataclass(frozen=True)
class CrossValidatedRidge(OnEveryHead):
    """Ridge regression onto the classes, its penalty by generalised cross-validation: leave-one-out in closed form."""

    @property
    def weighs(self) -> bool:
        return False

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LinearVotes:
        from sklearn.linear_model import RidgeClassifierCV

        standard, features = self.standardised(context, heads, "ridge-gcv")
        model = RidgeClassifierCV(PENALTIES).fit(features, context.labels)
        return LinearVotes(
            heads=heads,
            restricted=self.restricted,
            standard=standard,
            weights=np.atleast_2d(model.coef_),
            intercept=np.atleast_1d(model.intercept_),
            logistic=False,
        )


@dataclass(frozen=True)
class LogisticOnEveryHead(OnEveryHead):
    """Logistic regression, in the dimensions that the support spans."""

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LinearVotes:
        from sklearn.linear_model import LogisticRegression

        standard, features = self.standardised(context, heads, "linear-probe-all")
        spanned, axes = in_samples(features)
        model = LogisticRegression(C=self.strength, max_iter=1000).fit(spanned, context.labels, context.weights)
        return LinearVotes(
            heads=heads,
            restricted=self.restricted,
            standard=standard,
            weights=model.coef_ @ axes,
            intercept=model.intercept_,
            logistic=True,
            report={} if (model.n_iter_ < model.max_iter).all() else {"converged": False},
        )


@dataclass(frozen=True)
class ShrunkDiscriminant(OnEveryHead):
    """The linear discriminant of one covariance, shrunk by Ledoit and Wolf."""

    @property
    def least_shots(self) -> int:
        return 2

    @property
    def weighs(self) -> bool:
        return False

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LinearVotes:
        context.check_classes("lda")
        if len(context.labels) <= context.classes:
            raise ValueError("lda needs two samples of a class at least: every class has one")
        weights, intercept = shrunk_discriminant(context.vectors, context.labels, context.classes)
        if context.classes == 2:  # one score, of the second
            weights, intercept = weights[1:] - weights[:1], intercept[1:] - intercept[:1]
        as_they_are = Standard(np.zeros(weights.shape[1]), np.ones(weights.shape[1]))
        return LinearVotes(
            heads=heads,
            restricted=self.restricted,
            standard=as_they_are,
            weights=weights,
            intercept=intercept,
            logistic=True,
        )

"""What a sparse-group lasso minimises on some samples: losses, gradients, the dual, and the best intercept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import expit, xlogy

from savs_analyze.lasso.penalty import Coef, Features, OfFeature, Penalty

SETTLED, ROUGHLY = 1e-12, 1e-6  # mean residual a free intercept leaves: where it matters; between, and in single

Scores = Float[np.ndarray, "output sample"]
Intercept = Float[np.ndarray, "output 1"]


@dataclass(frozen=True)
class Problem:
    """What is fitted: features times factors, targets (one row of 0 and 1: sigmoid), penalty, free intercept or none.

    Features may be of any float type; passes over all of them are made in double precision. Weights of samples have
    mean 1; without any, each counts the same.
    """

    features: Float[np.ndarray, "sample feature"]
    factors: OfFeature
    targets: Scores
    penalty: Penalty
    free: bool = True
    weights: Float[np.ndarray, " sample"] | None = None

    def weighted(self, values: Float[np.ndarray, "*row sample"]) -> Float[np.ndarray, "*row sample"]:
        """Return numbers of samples times the samples' weights."""
        return values if self.weights is None else values * self.weights

    def restricted(self, kept: Features) -> Problem:
        """Return the problem with these features only: scaled, and centred where an intercept makes up for it."""
        columns = self.features.take(kept, axis=1).astype(np.float64, copy=False)
        if self.free:
            columns -= self.weighted(columns.T).mean(axis=1)
        columns *= self.factors[kept]
        return replace(self, features=columns, factors=np.ones(len(kept)), penalty=self.penalty.restricted(kept))

    def single(self) -> Problem:
        """Return the problem in single precision."""
        features, targets = self.features.astype(np.float32), self.targets.astype(np.float32)
        weights = None if self.weights is None else self.weights.astype(np.float32)
        return replace(self, features=features, targets=targets, weights=weights)

    def gradient(self, residual: Scores) -> Coef:
        """Return the gradient of the mean loss. A free intercept centres the residual, so features need not be."""
        if self.free:
            residual = residual - self.weighted(residual).mean(axis=1, keepdims=True)
        residual = self.weighted(residual)
        if self.features.dtype == np.float64:
            gradient = residual @ self.features
        else:
            parts = [self.features[:, i : i + 1024].astype(np.float64) for i in range(0, self.features.shape[1], 1024)]
            gradient = np.concatenate([residual @ part for part in parts], axis=1)
        gradient *= self.factors / len(self.features)
        return gradient

    def loss(self, scores: Scores) -> float:
        """Return the mean loss of scores that hold the intercept."""
        scores = scores.astype(np.float64, copy=False)
        if len(scores) == 1:
            return float(self.weighted(np.logaddexp(0, scores) - self.targets * scores).mean())
        top = scores.max(axis=0)
        each = np.log(np.exp(scores - top).sum(axis=0)) + top - (self.targets * scores).sum(axis=0)
        return float(self.weighted(each).mean())

    def dual(self, residual: Scores, sizes: Coef, alpha: float) -> float:
        """Return the dual objective, an entropy, of the residual scaled until alpha holds its gradient's sizes.

        It is minus infinity where the residual is not that of a settled intercept.
        """
        if self.free and np.abs(self.weighted(residual).mean(axis=1)).max() > 1e3 * _settled(residual):
            return -np.inf
        point = self.targets.astype(np.float64) + alpha / self.penalty.dual_norm(sizes, alpha) * residual
        np.clip(point, 0, 1, out=point)
        rest = self.weighted(xlogy(1 - point, 1 - point)).sum() if len(point) == 1 else 0
        return float(-(self.weighted(xlogy(point, point)).sum() + rest) / point.shape[1])

    def settle(self, scores: Scores, intercept: Intercept, exact: bool = True) -> tuple[Intercept, Scores]:
        """Return the best intercept, where it is free, by Newton steps (halved if they overshoot), and the residual."""
        residual, reach = probabilities(scores + intercept) - self.targets, 4.0
        for _ in range(50 if self.free else 0):
            off = self.weighted(residual).mean(axis=1)
            size = np.abs(off).max()
            if size <= (_settled(scores) if exact else ROUGHLY):
                break
            found = residual + self.targets
            if len(found) == 1:
                step = off / max(self.weighted(found * (1 - found)).mean(), 1e-12)
            else:
                each = self.weighted(found)
                hessian = np.diag(each.mean(axis=1) + 1e-12) - each @ found.T / found.shape[1] + 1 / len(found)
                step = np.linalg.solve(hessian, off)
            far = np.abs(step).max() > reach  # on a plateau: go on, ever faster
            step *= min(1.0, reach / np.abs(step).max())
            reach *= 2
            for _ in range(20):
                trial = intercept - step[:, None].astype(scores.dtype)
                residual = probabilities(scores + trial) - self.targets
                if np.abs(self.weighted(residual).mean(axis=1)).max() < size * (1 + far * 1e-9):
                    break
                step, reach = step / 2, 4.0
            else:
                return intercept, found - self.targets
            intercept = trial
        return intercept, residual

    def null(self) -> tuple[Intercept, Scores, float]:
        """Return intercept, residual and loss of the model without features."""
        scores = np.zeros_like(self.targets)
        intercept, residual = self.settle(scores, scores[:, :1])
        return intercept, residual, self.loss(scores + intercept)

    def largest_alpha(self) -> float:
        """Return the least alpha at which no feature is used; 0 where the gradient is no more than rounding errors."""
        residual = self.null()[1]
        sizes = np.abs(self.gradient(residual))
        lengths = np.sqrt(np.einsum("sf,sf->f", self.features, self.features, dtype=np.float64)) * self.factors
        noise = 1e-13 * np.linalg.norm(self.weighted(residual)) * lengths / len(self.features)
        return self.penalty.dual_norm(np.where(sizes > noise, sizes, 0))


def _settled(values: Scores) -> float:
    return SETTLED if values.dtype == np.float64 else ROUGHLY


def probabilities(scores: Scores) -> Scores:
    if len(scores) == 1:
        return expit(scores)
    found = scores - scores.max(axis=0)
    np.exp(found, out=found)
    found /= found.sum(axis=0)
    return found

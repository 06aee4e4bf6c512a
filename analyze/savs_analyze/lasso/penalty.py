"""The penalty of the sparse-group lasso: its value, its proximal step, and its dual norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Coef = Float[np.ndarray, "output feature"]
OfFeature = Float[np.ndarray, " feature"]
Features = Int[np.ndarray, " kept"]

# What solves the problem, and by what features are divided before.
SOLVERS = ("working-set", "group-lasso", "liblinear")
SCALINGS = ("none", "head_rms", "feature_std")


@dataclass(frozen=True)
class Penalty:
    """l1_ratio * |W|_1 + (1 - l1_ratio) * sum_g weights_g * |W_g|_2, for W `[output, feature]`."""

    l1_ratio: int | float
    groups: Int[np.ndarray, " feature"]
    weights: Float[np.ndarray, " group"]

    def restricted(self, features: Features) -> Penalty:
        """Return the penalty of models that use these features only."""
        kept, groups = np.unique(self.groups[features], return_inverse=True)
        return Penalty(self.l1_ratio, groups, self.weights[kept])

    def sums(self, values: OfFeature) -> Float[np.ndarray, " group"]:
        return np.bincount(self.groups, values, len(self.weights)).astype(np.float64, copy=False)

    def value(self, coef: Coef) -> float:
        norms = np.sqrt(self.sums(squared_norms(coef)))
        return float(self.l1_ratio * np.abs(coef).sum() + (1 - self.l1_ratio) * (self.weights @ norms))

    def excess(self, sizes: Coef, alpha: float) -> OfFeature:
        """Return the |gradient| of each feature's group over what alpha holds at zero; above 1 it must enter.

        Where all of the penalty is l1, each feature is its own group.
        """
        if self.l1_ratio == 1:
            return sizes.max(axis=0) / alpha
        over = np.maximum(sizes - alpha * self.l1_ratio, 0)
        return (np.sqrt(self.sums(squared_norms(over))) / (alpha * (1 - self.l1_ratio) * self.weights))[self.groups]

    def dual_norm(self, sizes: Coef, at_least: int | float = 0.0) -> float:
        """Return the least alpha, from at_least on, that holds all coefficients at zero against |gradient|.

        For each group it is the root of a convex decreasing function: Newton steps from below stay below.
        """
        if self.l1_ratio == 1:
            return float(max(at_least, sizes.max(initial=0)))
        groups, alpha, rest = self.groups, float(at_least), (1 - self.l1_ratio) * self.weights
        while True:
            kept = sizes.max(axis=0, initial=0) > alpha * self.l1_ratio
            sizes, groups = sizes[:, kept], groups[kept]
            over = np.maximum(sizes - alpha * self.l1_ratio, 0)
            norms = np.sqrt(np.bincount(groups, squared_norms(over), len(rest)))
            hot = norms > alpha * rest * (1 + 1e-12)
            if not hot.any():
                return alpha * (1 + 1e-12)
            slopes = rest[hot] + self.l1_ratio * np.bincount(groups, over.sum(axis=0), len(rest))[hot] / norms[hot]
            before, alpha = alpha, alpha + float(((norms - alpha * rest)[hot] / slopes).max())
            if alpha == before:  # less than a rounding error is missing
                return alpha * (1 + 1e-12)
            sizes, groups = sizes[:, hot[groups]], groups[hot[groups]]

    def proximal(self, coef: Coef, steps: OfFeature) -> Coef:
        """Return the W with the least penalty(W) + sum over features of |W - coef|^2 / (2 * step).

        Soft-thresholding, then: a group that keeps norm r shrinks each feature by r / (r + weight * step), where r
        solves sum |W|^2 / (r + weight * step)^2 = 1. Newton steps on the inverse root of that sum find it, from the
        bound that Jensen's inequality gives.
        """
        sizes = np.abs(coef)
        sizes -= steps * self.l1_ratio
        np.maximum(sizes, 0, out=sizes)
        shrunk = np.copysign(sizes, coef)
        if self.l1_ratio == 1:
            return shrunk
        squares = squared_norms(sizes).astype(np.float64)
        pull = ((1 - self.l1_ratio) * self.weights)[self.groups] * steps
        whole = self.sums(squares)
        norms = np.maximum(np.sqrt(whole) - self.sums(squares * pull) / np.maximum(whole, 1e-300), 0)
        for _ in range(50):
            reach = norms[self.groups] + pull
            terms = squares / reach**2
            total, slope = self.sums(terms), self.sums(terms / reach)
            more = np.where(total > 1, total * (np.sqrt(total) - 1) / np.maximum(slope, 1e-300), 0)
            norms += more
            if (more <= 1e-7 * norms).all():  # squared by the last step
                break
        shrunk *= (norms[self.groups] / (norms[self.groups] + pull)).astype(coef.dtype)
        return shrunk


def squared_norms(values: Coef) -> OfFeature:
    return np.einsum("of,of->f", values, values)

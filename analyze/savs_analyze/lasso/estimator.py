"""Sparse-group lasso and lasso logistic regression as scikit-learn classifiers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import expit, log_expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from savs_analyze.lasso.path import Fit, path, run
from savs_analyze.lasso.penalty import SCALINGS, SOLVERS, Penalty
from savs_analyze.lasso.problem import Problem, probabilities
from savs_analyze.lasso.references import group_lasso, liblinear
from savs_analyze.parts.given import HeadClassifier, finite_number, positive_number, whole_number
from savs_analyze.votes.voting import decided

PAPER_GRID = 10.0 ** np.arange(-5, 3)
RELATIVE_GRID = 10.0 ** -np.linspace(0, 4, 9)
CHOICES = {
    "loss": ("multinomial", "one-vs-rest"),
    "intercept": ("free", "penalised"),
    "scaling": SCALINGS,
    "solver": SOLVERS,
    "precision": ("double", "single"),
}
FLOATS = [np.float64, np.float32]
SATURATED = 0.01  # of the loss without features


class SparseGroupLogisticRegression(HeadClassifier):
    """Logistic regression that uses few heads, and few features of each, with a duality gap for every fit.

    It minimises, with n samples (or the sum n of their weights) and W_g the coefficients of head g for all outputs,

        1/n sum_i w_i loss(y_i, W x_i + b) + alpha * (l1_ratio * |W|_1 + (1 - l1_ratio) * sum_g sqrt(d_g) * |W_g|_2)

    where w_i is 1 or the sample's weight, loss the negative log-likelihood in nats and d_g the width of the head. Two
    classes have one output (sigmoid); more have one each (softmax). One-vs-rest sums the objective of each class
    against the others.

    The knob `alpha` in the terms of others:

    - lasso, `l1_ratio=1`: alpha = 1 / (n C) with the C of scikit-learn (`LassoLogisticRegression` takes C).
    - the paper's sparse-group lasso, and groupyr: the same alpha, a weight of the penalty and no inverse. groupyr 0.3
      knows two classes only and shrinks wrongly, so its results differ.
    - group-lasso 1.5 minimises loss + 2 * penalty: l1_reg = alpha * l1_ratio / 2, group_reg = alpha * (1 - l1_ratio)
      / 2; and for two classes a softmax of two outputs, which is the sigmoid where groups weigh sqrt(2) times as much.

    Parameters
    ----------
    alpha : float, default 0.01
        Weight of the penalty.
    l1_ratio : float, default 0.5
        Share of the l1 term: 1 is the lasso, 0 the group lasso.
    head_dim : int or None, default None
        Width of a head, where X is `[sample, head * dim]`, head after head. None: X is `[sample, head, dim]` as a
        store's `read()` gives it, or one head holds all features.
    groups : array [feature] or None, default None
        The head of each feature, where heads are not of one width.
    loss : {"multinomial", "one-vs-rest"}
    intercept : {"free", "penalised"}
        Penalised: the coefficient of a feature that is 1, as in liblinear; slow where features are far from zero.
    scaling : {"none", "head_rms", "feature_std"}
        Divide features by the root mean variance of their head, or by their own deviation, in the training samples.
    solver : {"working-set", "group-lasso", "liblinear"}
        The last two are for comparison and get tol and max_iter in their own meaning. liblinear is always
        one-vs-rest with a penalised intercept, needs `l1_ratio=1`, and depends on its seed (0).
    tol : float, default 1e-4
        A fit is certified where its gap is at most tol times the loss of the model without features.
    max_iter : int, default 10000
        Steps at most; a fit that is not certified then warns.
    precision : {"double", "single"}
        Single solves the working sets in single precision until that stalls; gaps are in double precision anyway.

    Attributes
    ----------
    features_ : array [alive], features with coefficients; heads_ : array, the heads they are of.
    head_norms_ : array, the norm of each such head's coefficients of the features as they are scaled.
    coef_ : array [output, feature]; intercept_ : array [output], in units of the features as given.
    alpha_ : float, the knob. objective_, gap_ : float, the objective is at most gap_ above the least one.
    n_iter_ : int, steps. converged_ : bool, certified.
    degenerate_ : bool, no feature is used: predictions come from the intercept, equal classes are a tie (first wins).
    separated_ : bool, all training samples are classified right. saturated_ : bool, their loss is below 1 % of that
    without features, so the size of the coefficients is set by the penalty alone.
    classes_, n_features_in_ : as everywhere in scikit-learn.

    """

    _knob = "alpha"

    def __init__(
        self,
        alpha=0.01,
        l1_ratio=0.5,
        head_dim=None,
        groups=None,
        loss="multinomial",
        intercept="free",
        scaling="none",
        solver="working-set",
        tol=1e-4,
        max_iter=10_000,
        precision="double",
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.head_dim = head_dim
        self.groups = groups
        self.loss = loss
        self.intercept = intercept
        self.scaling = scaling
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.precision = precision

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SparseGroupLogisticRegression:
        """Fit on X `[sample, head, dim]`, or `[sample, feature]`, and labels y `[sample]`.

        A sample of weight 2 counts as two, one of weight 0 is as if it were not there.

        Raises ValueError for one class, for a setting that does not exist, and where heads do not fit the features.
        """
        problems = self._problems(X, y, sample_weight)
        alpha = self._alpha(getattr(self, self._knob))
        return self._take(self._solve(problems, np.array([alpha]))[0], problems)

    def path(
        self,
        X: Any,
        y: Any,
        grid: Sequence | np.ndarray = PAPER_GRID,
        relative: bool = False,
        sample_weight: Any = None,
    ) -> list[SparseGroupLogisticRegression]:
        """Return a fitted copy for each value of the knob (`alpha`, or `C` of the lasso), solved together.

        The default grid is the paper's. `relative` takes shares of the least alpha at which no feature is used, such
        as `RELATIVE_GRID`: they mean the same whatever the scale and number of samples. Raises as `fit`.
        """
        base = clone(self)
        problems = base._problems(X, y, sample_weight)
        values = np.asarray(grid, dtype=np.float64)
        if relative:
            # Of features that tell nothing, no share is smaller than another.
            alphas = (self._largest(problems) or 1.0) * values
            values = np.array([base._alpha(alpha) for alpha in alphas])
        else:
            alphas = np.array([base._alpha(value) for value in values])
        models = [copy.copy(base).set_params(**{self._knob: float(value)}) for value in values]
        return [model._take(fits, problems) for model, fits in zip(models, base._solve(problems, alphas), strict=True)]

    def largest_alpha(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the least alpha at which no feature is used, exactly.

        Raises ValueError for a penalised intercept, whose value at that alpha would have to be found first.
        """
        return self._largest(clone(self)._problems(X, y, sample_weight))

    def _largest(self, problems: list[Problem]) -> float:
        if not problems[0].free:
            raise ValueError("the largest alpha, and shares of it, need a free intercept")
        problems, scale = _scaled(problems)
        return max(problem.largest_alpha() for problem in problems) / scale

    def decision_function(self, X: Any) -> Float[np.ndarray, "*shape"]:
        """Return scores `[sample]` of the second of two classes, or `[sample, class]`; only `features_` are read."""
        X = self._unseen(X, FLOATS)
        scores = X[:, self.features_] @ self._alive_coef.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Shaped[np.ndarray, " sample"]:
        """Return the class of each sample of X, which is as in `fit`: the most probable one."""
        winners = _winners(self.decision_function(X))
        return self.classes_[winners]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "sample class"]:
        """Return the probability of each class; one-vs-rest: those of each class against the rest, normalised."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            found = np.stack([expit(-scores), expit(scores)], axis=1)
        elif self.loss == "multinomial" and self.solver != "liblinear":
            found = probabilities(scores.T).T
        else:
            found = softmax(log_expit(scores), axis=1)
        return decided(found, _winners(scores))

    def _settle_ties(self) -> None:
        """Give classes of one size without coefficients the same intercept: last digits must not decide a tie."""
        idle = np.logical_not(self._alive_coef.any(axis=1))
        if len(idle) == 1:
            if idle[0] and len(set(self._class_counts)) == 1:
                self.intercept_ = np.zeros(1)
            return
        for count in np.unique(self._class_counts[idle]):
            equal = idle & (self._class_counts == count)
            self.intercept_[equal] = self.intercept_[equal].mean()

    def _rank_heads(self, factors: Float[np.ndarray, " any"]) -> None:
        """Note the heads that are used, and the norm of each one's coefficients as they are penalised."""
        of_feature = self._groups(self.n_features_in_)[self.features_]
        used, place = np.unique(of_feature, return_inverse=True)
        sizes = np.abs(self._alive_coef / factors[self.features_])
        largest = sizes.max(initial=1e-300)
        self.head_norms_ = largest * np.sqrt(np.bincount(place, ((sizes / largest) ** 2).sum(axis=0), len(used)))
        self.heads_ = used if self.groups is None else np.unique(self.groups)[used]

    def _scores(self, features: np.ndarray) -> Int[np.ndarray, " sample"]:
        """Return the place of the class that each sample is given."""
        scores = features[:, self.features_].astype(np.float64) @ self._alive_coef.T + self.intercept_
        return _winners(scores[:, 0] if scores.shape[1] == 1 else scores)

    @property
    def coef_(self) -> Float[np.ndarray, "output feature"]:
        coef = np.zeros((len(self._alive_coef), self.n_features_in_))
        coef[:, self.features_] = self._alive_coef
        return coef

    def _alpha(self, value: Any) -> float:
        """Return alpha from the knob, and the knob from alpha.

        Raises ValueError where it is not positive and finite.
        """
        return positive_number(self._knob, value)

    def _check_settings(self) -> None:
        for name, known in CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(known)}")
        positive_number("tol", self.tol)
        whole_number("max_iter", self.max_iter)
        if not 0 <= finite_number("l1_ratio", self.l1_ratio) <= 1:
            raise ValueError(f"l1_ratio={self.l1_ratio}: must be from 0 to 1")
        if self.solver == "liblinear" and self.l1_ratio != 1:
            raise ValueError("solver='liblinear' knows the lasso only: l1_ratio=1")

    def _problems(self, X: Any, y: Any, sample_weight: Any) -> list[Problem]:
        self._check_settings()
        X, y, weights = self._seen(X, y, sample_weight, FLOATS)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._class_counts = np.bincount(labels, weights)
        if len(self.classes_) < 2:
            raise ValueError(f"all samples are of one class, {self.classes_[0]!r}: at least two are needed")
        groups = self._groups(X.shape[1])
        factors = _factors(X, groups, self.scaling, weights)
        prices = np.sqrt(np.bincount(groups))
        if penalised := self.intercept == "penalised" or self.solver == "liblinear":
            X, factors = np.column_stack([X, np.ones(len(X), X.dtype)]), np.append(factors, 1.0)
            groups, prices = np.append(groups, len(prices)), np.append(prices, 1.0)
        penalty = Penalty(self.l1_ratio, groups, prices)
        relative = None if weights is None else weights / weights.mean()
        targets = (labels == np.arange(len(self.classes_))[:, None]).astype(np.float64)
        if len(targets) == 2:
            parts = [targets[1:]]
        else:
            apart = self.loss == "one-vs-rest" or self.solver == "liblinear"
            parts = np.split(targets, len(targets)) if apart else [targets]
        return [Problem(X, factors, part, penalty, not penalised, relative) for part in parts]

    def _groups(self, features: int) -> Int[np.ndarray, " feature"]:
        if self.groups is not None:
            if np.shape(self.groups) != (features,):
                raise ValueError(f"groups of shape {np.shape(self.groups)} for {features} features")
            return np.unique(self.groups, return_inverse=True)[1]
        return np.arange(features) // self._shape[1]

    def _solve(self, problems: list[Problem], alphas: Float[np.ndarray, " alpha"]) -> list[tuple[Fit, ...]]:
        """Return the models of all problems, for each alpha."""
        if self.solver == "working-set":
            problems, scale = _scaled(problems)
            single = self.precision == "single"
            paths = [path(problem, alphas * scale, self.tol, self.max_iter, single) for problem in problems]
            found = [
                [replace(fit, alpha=float(alpha)) for fit, alpha in zip(fits, alphas, strict=True)]
                for fits in run(problems, paths)
            ]
            return list(zip(*found, strict=True))
        reference = group_lasso if self.solver == "group-lasso" else liblinear
        return [tuple(reference(problem, float(a), self.tol, self.max_iter) for problem in problems) for a in alphas]

    def _take(self, fits: tuple[Fit, ...], problems: list[Problem]) -> SparseGroupLogisticRegression:
        """Take over the models of all problems as one."""
        alive = np.unique(np.concatenate([fit.features for fit in fits]))
        coef = np.zeros((sum(len(fit.coef) for fit in fits), len(alive)))
        for row, fit in enumerate(fits):
            coef[row : row + len(fit.coef), np.searchsorted(alive, fit.features)] = fit.coef
        self.intercept_ = np.concatenate([fit.intercept for fit in fits])
        constant = alive == self.n_features_in_  # the feature that stands for a penalised intercept
        if constant.any():
            self.intercept_ = self.intercept_ + coef[:, constant][:, 0]
        self.features_: np.ndarray = alive[~constant]
        self._alive_coef: np.ndarray = coef[:, ~constant]
        self._rank_heads(problems[0].factors)
        self.alpha_ = fits[0].alpha
        self.objective_, self.gap_ = sum(fit.objective for fit in fits), sum(fit.gap for fit in fits)
        self.n_iter_ = max(fit.n_iter for fit in fits)
        self.converged_ = all(fit.converged for fit in fits)
        self._settle_ties()
        self.degenerate_ = not len(self.features_)
        labels = np.argmax([target for problem in problems for target in problem.targets], axis=0)
        labels = labels if len(self.classes_) > 2 else problems[0].targets[0].astype(np.int64)
        self.separated_ = bool((self._scores(problems[0].features) == labels).all())
        null = sum(fit.null for fit in fits)
        self.saturated_ = sum(fit.loss for fit in fits) < SATURATED * null
        if not self.converged_:
            words = f"not certified: the objective may be {self.gap_:.2g} above the least (goal {self.tol * null:.2g})"
            warnings.warn(f"{words} at alpha={self.alpha_:.3g}", ConvergenceWarning, stacklevel=3)
        return self


class LassoLogisticRegression(SparseGroupLogisticRegression):
    """Logistic regression that uses few features: `SparseGroupLogisticRegression` with l1_ratio=1, in terms of C.

    alpha = 1 / (n C) with n training samples, as in scikit-learn, so the same C is another alpha elsewhere. The paper's
    lasso is `solver="liblinear"`: one-vs-rest, penalised intercept, stopped at tol 1e-4 far from its optimum where C
    is large. Heads are no groups here; they are only counted. All else is as in `SparseGroupLogisticRegression`.
    """

    _knob = "C"
    l1_ratio = 1
    groups = None

    def __init__(
        self,
        C=1.0,
        head_dim=None,
        loss="multinomial",
        intercept="free",
        scaling="none",
        solver="working-set",
        tol=1e-4,
        max_iter=10_000,
        precision="double",
    ):
        self.C = C
        self.head_dim = head_dim
        self.loss = loss
        self.intercept = intercept
        self.scaling = scaling
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.precision = precision

    def _alpha(self, value: Any) -> float:
        return 1 / (float(self._class_counts.sum()) * super()._alpha(value))


def _winners(scores: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, " _"]:
    """Return the place of the class with the largest score; one score a sample is that of the second class."""
    return (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)


def _factors(
    X: Float[np.ndarray, "sample feature"],
    groups: Int[np.ndarray, " feature"],
    scaling: str,
    weights: Float[np.ndarray, " sample"] | None,
) -> Float[np.ndarray, " feature"]:
    """Return what features are multiplied by; zero for those that do not vary."""
    if scaling == "none":
        return np.ones(X.shape[1])
    parts = [_moments(X[:, part : part + 1024], weights) for part in range(0, X.shape[1], 1024)]
    mean, variance = np.concatenate(parts, axis=1)
    variance[variance <= (1e-10 * mean) ** 2] = 0
    if scaling == "head_rms":
        variance = (np.bincount(groups, variance) / np.bincount(groups))[groups]
    return np.divide(1, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)


def _moments(
    X: Float[np.ndarray, "sample feature"], weights: Float[np.ndarray, " sample"] | None
) -> Float[np.ndarray, "2 feature"]:
    """Return the mean and the variance of features."""
    X = X.astype(np.float64, copy=False)
    mean = np.average(X, axis=0, weights=weights)
    return np.stack([mean, np.average((X - mean) ** 2, axis=0, weights=weights)])


def _scaled(problems: list[Problem]) -> tuple[list[Problem], float]:
    """Return the problems with the largest feature near 1, for squares must neither overflow nor vanish; by what."""
    features, factors = problems[0].features, problems[0].factors
    peaks = np.maximum(features.max(axis=0), -features.min(axis=0)).astype(np.float64) * factors
    scale = 2.0 ** -float(np.ceil(np.log2(peaks.max(initial=0) or 1.0)))
    return [replace(problem, factors=factors * scale) for problem in problems], scale

"""Sparse-group lasso logistic regression: whole paths over the penalty, and a duality gap for every model.

With W `[output, feature]` the objective is

    mean over samples of loss(W x + b) + alpha * (l1_ratio * |W|_1 + (1 - l1_ratio) * sum_g weight_g * |W_g|_2)

The loss is softmax where there are several outputs and sigmoid where there is one; a group is some features with
their coefficients of all outputs; b is free. A path goes down the alphas. At each, a working set (the support and
the worst violators) is solved by proximal steps with momentum and restarts (greedy FISTA: Liang, Luo, Schönlieb,
SIAM J. Sci. Comput. 2022). Then one pass over all features gives the gap and the next violators. The dual point is
the residual, scaled until it is feasible (Ndiaye et al., Gap safe screening rules, JMLR 2017).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, xlogy

CHECK_EVERY = 5  # steps between two looks at the gap of the working set
MAX_ROUNDS = 100  # passes over all features for one alpha
NEW_FEATURES = 256  # a working set grows by these, or by half of the features alive
SINGLE_STEPS = 400  # single precision that needs more steps than this in a round has stalled
SETTLED, ROUGHLY = 1e-12, 1e-6  # mean residual a free intercept leaves: where it matters; between, and in single

Scores = Float[np.ndarray, "output sample"]
Coef = Float[np.ndarray, "output feature"]
Intercept = Float[np.ndarray, "output 1"]
OfFeature = Float[np.ndarray, " feature"]
Features = Int[np.ndarray, " kept"]
Path = Generator[Scores, Coef, "list[Fit]"]


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
        norms = np.sqrt(self.sums(_squares(coef)))
        return float(self.l1_ratio * np.abs(coef).sum() + (1 - self.l1_ratio) * (self.weights @ norms))

    def excess(self, sizes: Coef, alpha: float) -> OfFeature:
        """Return the |gradient| of each feature's group over what alpha holds at zero; above 1 it must enter.

        Where all of the penalty is l1, each feature is its own group.
        """
        if self.l1_ratio == 1:
            return sizes.max(axis=0) / alpha
        over = np.maximum(sizes - alpha * self.l1_ratio, 0)
        return (np.sqrt(self.sums(_squares(over))) / (alpha * (1 - self.l1_ratio) * self.weights))[self.groups]

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
            norms = np.sqrt(np.bincount(groups, _squares(over), len(rest)))
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
        squares, pull = _squares(sizes).astype(np.float64), ((1 - self.l1_ratio) * self.weights)[self.groups] * steps
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


@dataclass(frozen=True)
class Problem:
    """What is fitted: features times factors, targets (one row of 0 and 1: sigmoid), penalty, free intercept or none.

    Features may be of any float type; passes over all of them are made in double precision.
    """

    features: Float[np.ndarray, "sample feature"]
    factors: OfFeature
    targets: Scores
    penalty: Penalty
    free: bool = True

    def restricted(self, kept: Features) -> Problem:
        """Return the problem with these features only: scaled, and centred where an intercept makes up for it."""
        columns = self.features.take(kept, axis=1).astype(np.float64, copy=False)
        if self.free:
            columns -= columns.mean(axis=0)
        columns *= self.factors[kept]
        return Problem(columns, np.ones(len(kept)), self.targets, self.penalty.restricted(kept), self.free)

    def single(self) -> Problem:
        """Return the problem in single precision."""
        return replace(self, features=self.features.astype(np.float32), targets=self.targets.astype(np.float32))

    def gradient(self, residual: Scores) -> Coef:
        """Return the gradient of the mean loss. A free intercept centres the residual, so features need not be."""
        if self.free:
            residual = residual - residual.mean(axis=1, keepdims=True)
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
            return float((np.logaddexp(0, scores) - self.targets * scores).mean())
        top = scores.max(axis=0)
        return float((np.log(np.exp(scores - top).sum(axis=0)) + top - (self.targets * scores).sum(axis=0)).mean())

    def dual(self, residual: Scores, sizes: Coef, alpha: float) -> float:
        """Return the dual objective, an entropy, of the residual scaled until alpha holds its gradient's sizes.

        It is minus infinity where the residual is not that of a settled intercept.
        """
        if self.free and np.abs(residual.mean(axis=1)).max() > 1e3 * _settled(residual):
            return -np.inf
        point = self.targets.astype(np.float64) + alpha / self.penalty.dual_norm(sizes, alpha) * residual
        np.clip(point, 0, 1, out=point)
        rest = xlogy(1 - point, 1 - point).sum() if len(point) == 1 else 0
        return float(-(xlogy(point, point).sum() + rest) / point.shape[1])

    def settle(self, scores: Scores, intercept: Intercept, exact: bool = True) -> tuple[Intercept, Scores]:
        """Return the best intercept, where it is free, by Newton steps (halved if they overshoot), and the residual."""
        residual, reach = probabilities(scores + intercept) - self.targets, 4.0
        for _ in range(50 if self.free else 0):
            off = residual.mean(axis=1)
            size = np.abs(off).max()
            if size <= (_settled(scores) if exact else ROUGHLY):
                break
            found = residual + self.targets
            if len(found) == 1:
                step = off / max((found * (1 - found)).mean(), 1e-12)
            else:
                hessian = np.diag(found.mean(axis=1) + 1e-12) - found @ found.T / found.shape[1] + 1 / len(found)
                step = np.linalg.solve(hessian, off)
            far = np.abs(step).max() > reach  # on a plateau: go on, ever faster
            step *= min(1.0, reach / np.abs(step).max())
            reach *= 2
            for _ in range(20):
                trial = intercept - step[:, None].astype(scores.dtype)
                residual = probabilities(scores + trial) - self.targets
                if np.abs(residual.mean(axis=1)).max() < size * (1 + far * 1e-9):
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
        noise = 1e-13 * np.linalg.norm(residual) * lengths / len(self.features)
        return self.penalty.dual_norm(np.where(sizes > noise, sizes, 0))


@dataclass(frozen=True)
class Fit:
    """A model in units of the features, with its certificate: its objective is at most `gap` above the least one.

    `null` is the loss without features.
    """

    alpha: float
    features: Int[np.ndarray, " alive"]
    coef: Float[np.ndarray, "output alive"]
    intercept: Float[np.ndarray, " output"]
    loss: float
    objective: float
    gap: float
    null: float
    n_iter: int
    converged: bool


def _squares(values: Coef) -> OfFeature:
    return np.einsum("of,of->f", values, values)


def _settled(values: Scores) -> float:
    return SETTLED if values.dtype == np.float64 else ROUGHLY


def probabilities(scores: Scores) -> Scores:
    if len(scores) == 1:
        return expit(scores)
    found = scores - scores.max(axis=0)
    np.exp(found, out=found)
    found /= found.sum(axis=0)
    return found


def _divergence(found: Scores, change: Scores) -> float:
    """Return how much the mean loss exceeds its tangent at these probabilities when the scores change."""
    if len(found) > 1:
        change = change - (found * change).sum(axis=0)
        top = change.max(axis=0)
        near = np.log1p((found * (np.expm1(np.minimum(change, 1)) - change)).sum(axis=0).clip(0))
        far = top + np.log((found * np.exp(change - top)).sum(axis=0).clip(1e-300))
        return float(np.where(top > 1, far, near).mean())
    far = np.logaddexp(np.log1p(-found.clip(0, 1 - 1e-16)), np.log(found.clip(1e-300)) + change)
    near = np.log1p(found * np.expm1(np.minimum(change, 1)))
    return float((np.where(change > 1, far, near) - found * change).mean())


def _minimise(
    problem: Problem, alpha: float, coef: Coef, intercept: Intercept, curvature: float, goal: float, max_iter: int
) -> tuple[Coef, float, int, bool]:
    """Solve a working set until its own gap is at most goal; return coef, curvature, steps, and if rounding stopped it.

    Steps are measured in the Hessian's diagonal where they start (with a share of all samples, that may matter
    later); their length follows the curvature they meet.
    """
    columns, penalty = problem.features, problem.penalty
    scores = coef @ columns.T
    found = problem.settle(scores, intercept)[1] + problem.targets
    spread = 2 * (found * (1 - found)).mean(axis=0)
    metric = (spread + 0.2 * spread.mean()) @ (columns * columns) / len(columns)
    metric = np.maximum(metric, 1e-12 * metric.max())
    before, before_scores, momentum, null_step = coef, scores, False, 1e-24 if coef.dtype == np.float64 else 1e-10
    for step in range(max_iter + 1):
        check = step % CHECK_EVERY == 0 or step == max_iter
        point, point_scores = coef, scores
        if momentum:
            point, point_scores = 2 * coef - before, 2 * scores - before_scores
        intercept, residual = problem.settle(point_scores, intercept, check)
        gradient = residual @ columns
        gradient /= len(columns)
        if check:
            best, own = problem.settle(scores, intercept)
            primal = problem.loss(scores + best) + alpha * penalty.value(coef)
            near = primal - problem.dual(residual, np.abs(gradient), alpha) <= goal
            if near and momentum:  # the gap must hold for the residual of coef, not of point
                near = primal - problem.dual(own, np.abs(own @ columns / len(columns)), alpha) <= goal
            if near or step == max_iter:
                break
        for _ in range(100):
            steps = 1 / (curvature * metric)
            trial = penalty.proximal(point - gradient * steps, alpha * steps)
            trial_scores = trial @ columns.T
            move = trial - point
            length = float(_squares(move) @ metric)
            if length <= null_step * float(_squares(trial) @ metric):
                return coef, 0.5, step, True
            bend = 2 * _divergence(residual + problem.targets, trial_scores - point_scores) / length
            if bend <= 1.2 * curvature:
                curvature *= 0.98 if bend > 0.4 * curvature else 0.8
                break
            curvature = max(1.1 * curvature, 1.05 * bend)
        momentum = float(np.einsum("of,of->f", move, trial - coef) @ metric) >= 0
        before, before_scores, coef, scores = coef, scores, trial, trial_scores
    return coef, curvature, step, False


def _stretch(problem: Problem, scores: Scores, intercept: Intercept, price: float) -> float:
    """Return the factor of all coefficients, whose penalty costs price, that lowers the objective most."""
    factor, before = 1.0, problem.loss(scores + intercept) + price
    for _ in range(6):
        intercept, residual = problem.settle(factor * scores, intercept)
        weighted = (residual + problem.targets) * scores
        bend = (weighted * scores).sum(axis=0).mean() - (weighted.sum(axis=0) ** 2).mean()
        change = ((residual * scores).sum(axis=0).mean() + price) / max(bend, 1e-12)
        factor -= float(np.clip(change, -factor / 2, factor / 2))
        if abs(change) < 0.01 * factor:
            break
    return factor if problem.loss(factor * scores + intercept) + factor * price < before else 1.0


def _choose(penalty: Penalty, sizes: Coef, kept: Features, alpha: float) -> Int[np.ndarray, " chosen"]:
    """Return the features to solve for next, sorted: the support and the worst violators."""
    peaks, excess = sizes.max(axis=0), penalty.excess(sizes, alpha)
    violating = peaks > alpha * penalty.l1_ratio
    if penalty.l1_ratio < 1:
        violating &= (excess > 1) | np.isin(penalty.groups, penalty.groups[kept])
    violating[kept] = False
    new = np.flatnonzero(violating)
    worst = np.argsort(-(peaks * excess)[new], kind="stable")[: max(NEW_FEATURES, len(kept) // 2)]
    return np.union1d(kept, new[worst])


def path(
    problem: Problem, alphas: Float[np.ndarray, " alpha"], tol: float, max_iter: int = 10_000, single: bool = False
) -> Path:
    """Return a model for each alpha, in the order given; ask for the gradient of a residual by yielding it.

    The gap goal is tol * the null loss. max_iter bounds the steps at one alpha. In single precision the working
    sets are solved in it until that stalls; certificates are in double precision all the same.
    """
    intercept, residual, null = problem.null()
    scores, curvature = np.zeros_like(residual), 0.5
    kept, coef = np.arange(0), np.zeros((len(residual), 0))
    gradient = yield residual
    fits = {}
    for alpha in sorted(map(float, alphas), reverse=True):
        taken, over = 0, False
        for rounds in range(MAX_ROUNDS + 1):
            sizes = np.abs(gradient)
            dual = problem.dual(residual, sizes, alpha)
            price = alpha * problem.penalty.restricted(kept).value(coef)
            gap = problem.loss(scores + intercept) + price - dual
            if gap <= tol * null or taken >= max_iter or over or rounds == MAX_ROUNDS:
                break
            chosen = _choose(problem.penalty, sizes, kept, alpha)
            if not len(chosen):
                break
            double = problem.restricted(chosen)
            working, most = (double.single(), SINGLE_STEPS) if single else (double, max_iter)
            start = np.zeros((len(coef), len(chosen)), working.features.dtype)
            start[:, np.searchsorted(chosen, kept)] = coef
            start *= 1 if rounds else _stretch(problem, scores, intercept, price)
            goal, most = max(0.8 * tol * null, 0.05 * min(gap, null)), min(most, max_iter - taken)
            begin = intercept.astype(start.dtype)
            found, curvature, steps, stalled = _minimise(working, alpha, start, begin, curvature, goal, most)
            over = stalled and not single and len(chosen) == len(kept)
            single &= not stalled and steps < SINGLE_STEPS and (steps > 0 or len(chosen) > len(kept))
            taken += steps
            alive = found.any(axis=0)
            kept, coef = chosen[alive], found[:, alive].astype(np.float64)
            scores = coef @ double.features[:, alive].T
            intercept, residual = problem.settle(scores, intercept)
            gradient = yield residual
        raw = coef * problem.factors[kept]
        shift = raw @ problem.features[:, kept].mean(axis=0, dtype=np.float64) if problem.free else 0.0
        model = kept, raw, intercept[:, 0] - shift
        fits[alpha] = _record(problem, alpha, model, scores + intercept, price, dual, tol, taken)
    return [fits[float(alpha)] for alpha in alphas]


def run(problems: Sequence[Problem], paths: Sequence[Path]) -> list[list[Fit]]:
    """Return what each path returns. Problems have the same features; one pass over them answers all paths."""
    done: dict[int, list[Fit]] = {}
    asked = {index: next(path) for index, path in enumerate(paths)}
    while asked:
        answers = problems[0].gradient(np.concatenate(list(asked.values())))
        for index, answer in zip(list(asked), np.split(answers, len(asked)), strict=True):
            try:
                asked[index] = paths[index].send(answer)
            except StopIteration as finished:
                done[index] = finished.value
                del asked[index]
    return [done[index] for index in range(len(paths))]


def certify(
    problem: Problem, coef: Coef, intercept: Float[np.ndarray, " output"], alpha: float, tol: float, n_iter: int
) -> Fit:
    """Return any solver's model, in units of the features, with its gap. The intercept is zero where none is free."""
    scores = coef @ problem.features.T.astype(np.float64, copy=False)
    _, residual = problem.settle(scores, intercept[:, None])
    dual = problem.dual(residual, np.abs(problem.gradient(residual)), alpha)
    scaled = np.divide(coef, problem.factors, out=np.zeros_like(coef), where=problem.factors > 0)
    kept = np.flatnonzero(coef.any(axis=0))
    model, price = (kept, coef[:, kept], intercept), alpha * problem.penalty.value(scaled)
    return _record(problem, alpha, model, scores + intercept[:, None], price, dual, tol, n_iter)


def _record(
    problem: Problem,
    alpha: float,
    model: tuple[np.ndarray, np.ndarray, np.ndarray],
    scores: Scores,
    price: float,
    dual: float,
    tol: float,
    n_iter: int,
) -> Fit:
    loss, null = problem.loss(scores), problem.null()[2]
    gap = max(loss + price - dual, 0.0)
    return Fit(alpha, *model, loss, loss + price, gap, null, n_iter, gap <= tol * null)

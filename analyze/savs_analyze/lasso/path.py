"""Sparse-group lasso logistic regression: whole paths over the penalty, and a duality gap for every model.

With W `[output, feature]` the objective is

    mean over samples of loss(W x + b) + alpha * (l1_ratio * |W|_1 + (1 - l1_ratio) * sum_g weight_g * |W_g|_2)

Means are weighted where samples are. The loss is softmax where there are several outputs and sigmoid where there is
one; a group is some features with their coefficients of all outputs; b is free. A path goes down the alphas. At each,
a working set (the support and the worst violators) is solved by proximal steps with momentum and restarts (greedy
FISTA: Liang, Luo, Schönlieb, SIAM J. Sci. Comput. 2022). Then one pass over all features gives the gap and the next
violators. The dual point is the residual, scaled until it is feasible (Ndiaye et al., Gap safe screening rules, JMLR
2017).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.lasso.penalty import Coef, Features, Penalty, squared_norms
from savs_analyze.lasso.problem import Intercept, Problem, Scores

CHECK_EVERY = 5  # steps between two looks at the gap of the working set
MAX_ROUNDS = 100  # passes over all features for one alpha
NEW_FEATURES = 256  # a working set grows by these, or by half of the features alive
SINGLE_STEPS = 400  # single precision that needs more steps than this in a round has stalled

Path = Generator[Scores, Coef, "list[Fit]"]


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


def _divergence(found: Scores, change: Scores) -> Float[np.ndarray, " sample"]:
    """Return how much each loss exceeds its tangent at these probabilities when the scores change."""
    if len(found) > 1:
        change = change - (found * change).sum(axis=0)
        top = change.max(axis=0)
        near = np.log1p((found * (np.expm1(np.minimum(change, 1)) - change)).sum(axis=0).clip(0))
        far = top + np.log((found * np.exp(change - top)).sum(axis=0).clip(1e-300))
        return np.where(top > 1, far, near)
    far = np.logaddexp(np.log1p(-found.clip(0, 1 - 1e-16)), np.log(found.clip(1e-300)) + change)
    near = np.log1p(found * np.expm1(np.minimum(change, 1)))
    return (np.where(change > 1, far, near) - found * change)[0]


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
    metric = problem.weighted(spread + 0.2 * problem.weighted(spread).mean()) @ (columns * columns) / len(columns)
    metric = np.maximum(metric, 1e-12 * metric.max())
    before, before_scores, momentum, null_step = coef, scores, False, 1e-24 if coef.dtype == np.float64 else 1e-10
    for step in range(max_iter + 1):
        check = step % CHECK_EVERY == 0 or step == max_iter
        point, point_scores = coef, scores
        if momentum:
            point, point_scores = 2 * coef - before, 2 * scores - before_scores
        intercept, residual = problem.settle(point_scores, intercept, check)
        gradient = problem.weighted(residual) @ columns
        gradient /= len(columns)
        if check:
            best, own = problem.settle(scores, intercept)
            primal = problem.loss(scores + best) + alpha * penalty.value(coef)
            near = primal - problem.dual(residual, np.abs(gradient), alpha) <= goal
            if near and momentum:  # the gap must hold for the residual of coef, not of point
                sizes = np.abs(problem.weighted(own) @ columns / len(columns))
                near = primal - problem.dual(own, sizes, alpha) <= goal
            if near or step == max_iter:
                break
        for _ in range(100):
            steps = 1 / (curvature * metric)
            trial = penalty.proximal(point - gradient * steps, alpha * steps)
            trial_scores = trial @ columns.T
            move = trial - point
            length = float(squared_norms(move) @ metric)
            if length <= null_step * float(squared_norms(trial) @ metric):
                return coef, 0.5, step, True
            above = problem.weighted(_divergence(residual + problem.targets, trial_scores - point_scores))
            bend = 2 * float(above.mean()) / length
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
        expected = (residual + problem.targets) * scores
        bend = problem.weighted((expected * scores).sum(axis=0) - expected.sum(axis=0) ** 2).mean()
        change = (problem.weighted((residual * scores).sum(axis=0)).mean() + price) / max(bend, 1e-12)
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
            # BLAS may flag lanes of its float32 registers that hold no value: what it gives is looked at instead.
            with np.errstate(invalid="ignore" if single else np.geterr()["invalid"]):
                found, bent, steps, stalled = _minimise(working, alpha, start, begin, curvature, goal, most)
            if single and not np.isfinite(found).all():
                single = False
                continue
            curvature = bent
            over = stalled and not single and len(chosen) == len(kept)
            single &= not stalled and steps < SINGLE_STEPS and (steps > 0 or len(chosen) > len(kept))
            taken += steps
            alive = found.any(axis=0)
            kept, coef = chosen[alive], found[:, alive].astype(np.float64)
            scores = coef @ double.features[:, alive].T
            intercept, residual = problem.settle(scores, intercept)
            gradient = yield residual
        raw = coef * problem.factors[kept]
        columns = problem.features[:, kept].T.astype(np.float64, copy=False)
        shift = raw @ problem.weighted(columns).mean(axis=1) if problem.free else 0.0
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

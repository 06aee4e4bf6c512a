"""How fast the lasso paths are, next to liblinear, group-lasso and the bare passes over the features they need.

make perf        prints the tables and writes docs/lasso-performance.md
"""

import ctypes
import datetime
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from kit.gap import certificate, one_hot
from savs_analyze.lasso.estimator import PAPER_GRID, LassoLogisticRegression, SparseGroupLogisticRegression

SHAPES = {2: 40, 10: 200, 37: 740}  # classes: samples
LAYERS, HEADS, DIM = 4, 28, 128
GROUP_LASSO_STEPS = {2: 1000, 10: 300, 37: 100}
SUBSET = 4  # of the 37 classes are fitted by liblinear
TOL = 1e-4
DOCUMENT = Path(__file__).parents[2] / "docs" / "lasso-performance.md"
HEADER = """# Performance of the lasso paths

Measured by `make perf`: all columns of a row in one process, one after the other, one BLAS thread, CPU seconds.
{date}, {machine}.

Synthetic features of 4 layers x 28 heads x 128 in double precision: heads of very different scale, a few large
dimensions, large means, a shared latent; one head in seven is informative. A cell is one penalty; the paper's grid
has eight. Gaps are recomputed from coefficients and intercept by the plain function of the tests
(`tests/analyze/gap.py`) and given as the share of the loss without features. Ours stop at {tol:g}.
"""
GRID = """
## The whole grid: 8 penalties x the last 1 to 4 layers
The floor is one product of a residual with all features in each of the 32 cells, in the faster of its two orders.
Memory is what the process needs at most on top of the data, while it solves the four layers. `single` solves the
working sets in single precision; its gaps are certified in double precision all the same.

| samples, classes | model | seconds | floor | seconds / floor | worst gap | memory |
|---|---|---|---|---|---|---|
"""
GROUP = """
## Sparse-group lasso against group-lasso 1.5
One model alone (no warm start), four layers, l1_ratio 0.5. group-lasso gets half the penalty and {steps} steps
(2, 10, 37 classes). Where its gap is still above {tol:g} the ratio is a lower bound.

| samples, classes | alpha | savs | gap | group-lasso | gap | ratio |
|---|---|---|---|---|---|---|
"""
LIBLINEAR = """
## Lasso against liblinear
One class against the rest, penalised intercept, four layers: the same objective. Seconds for all classes, but for
{subset} of 37, one after the other. Ours is the whole path of eight penalties, once; liblinear has no path: the sum of
its cells, at its default tolerance of 1e-4, and at the largest power of ten at which each gap is no worse than ours.

| samples, classes | savs | worst gap | liblinear, default | worst gap | liblinear, as good | ratio |
|---|---|---|---|---|---|---|
"""


def planted(samples, classes):
    """Return X [sample, feature] and y."""
    generator, labels = np.random.default_rng(0), np.arange(samples) % classes
    latent = generator.normal(size=(samples, 16))
    heads = []
    for scale in 10 ** generator.uniform(-2, 0, LAYERS * HEADS):
        vectors = generator.normal(size=(samples, DIM)) + latent @ generator.normal(size=(16, DIM)) / 4
        if generator.random() < 1 / 7:
            vectors += 0.35 * generator.normal(size=(classes, DIM))[labels]
        large = np.ones(DIM)
        large[generator.choice(DIM, 3, replace=False)] = 4
        heads.append((vectors + 3 * generator.normal(size=DIM)) * large * scale * 0.36)
    return np.hstack(heads).astype(np.float16).astype(np.float64), labels


def timed(function):
    """Return CPU seconds (quick ones: the best of five) and result; others may warn that they are not certified."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = np.inf
        for _ in range(5):
            started = time.process_time()
            result = function()
            best = min(best, time.process_time() - started)
            if best > 0.5:
                break
        return best, result


def memory(function):
    """Return by how many bytes the resident memory rises at most."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    timed(function)
    return _status("VmHWM") - before


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name + ":")))


def floor(features, classes):
    """Return seconds of one product of a residual with all features."""
    residual = np.random.default_rng(0).normal(size=(classes if classes > 2 else 1, len(features)))
    upright = np.ascontiguousarray(residual.T)
    products = (lambda: residual @ features, lambda: features.T @ upright)
    return min(timed(product)[0] for product in products)


def worst_gap(models, features, labels, l1_ratio):
    """Return the largest gap of models, recomputed, over the loss without features."""
    classes = int(labels.max()) + 1
    apart = models[0].loss == "one-vs-rest"
    penalised = models[0].intercept == "penalised" or models[0].solver == "liblinear"
    groups = np.arange(features.shape[1]) // DIM
    if penalised:
        features = np.hstack([features, np.ones((len(features), 1))])
        groups = np.append(groups, groups[-1] + 1)
    gaps = []
    for model in models:
        total = 0.0
        for output in range(classes) if apart and classes > 2 else [slice(None)]:
            coef, intercept = np.atleast_2d(model.coef_[output]).T, np.atleast_1d(model.intercept_[output])
            targets = one_hot(labels == output) if apart and classes > 2 else one_hot(labels)
            if penalised:
                coef, intercept = np.vstack([coef, intercept]), np.zeros(1)
            total += certificate(
                features, targets, coef, intercept, model.alpha_, l1_ratio, groups, free=not penalised
            )[1]
        gaps.append(total / (classes * np.log(2) if apart and classes > 2 else np.log(classes)))
    return max(gaps)


def grid_rows(classes, features, labels, name):
    variants = {
        "sparse-group lasso": (SparseGroupLogisticRegression(head_dim=DIM), 0.5),
        "sparse-group lasso, single": (SparseGroupLogisticRegression(head_dim=DIM, precision="single"), 0.5),
        "lasso": (LassoLogisticRegression(head_dim=DIM), 1),
        "lasso, single": (LassoLogisticRegression(head_dim=DIM, precision="single"), 1),
        "lasso, one-vs-rest": (LassoLogisticRegression(head_dim=DIM, loss="one-vs-rest"), 1),
    }
    last = [features[:, -layers * HEADS * DIM :] for layers in range(1, LAYERS + 1)]
    least = sum(8 * floor(part, classes) for part in last)
    for label, (model, l1_ratio) in variants.items():
        if classes == 2 and "one-vs-rest" in label:
            continue
        seconds, paths = timed(lambda model=model: [model.path(part, labels) for part in last])
        assert all(fit.converged_ for fits in paths for fit in fits)
        gap = worst_gap(paths[-1], features, labels, l1_ratio)
        peak = memory(lambda model=model: model.path(features, labels))
        yield (
            f"| {name} | {label} | {seconds:.2f} | {least:.3f} | {seconds / least:.1f}x | {gap:.0e} "
            f"| {peak / 1e6:.0f} MB |"
        )


def group_rows(classes, features, labels, name):
    for alpha in PAPER_GRID[:5][::-1]:
        own = SparseGroupLogisticRegression(alpha, head_dim=DIM)
        other = SparseGroupLogisticRegression(
            alpha, head_dim=DIM, solver="group-lasso", tol=1e-5, max_iter=GROUP_LASSO_STEPS[classes]
        )
        seconds, _ = timed(lambda own=own: own.fit(features, labels))
        longer, _ = timed(lambda other=other: other.fit(features, labels))
        gaps = [worst_gap([model], features, labels, 0.5) for model in (own, other)]
        bound = "at least " if gaps[1] > max(gaps[0], TOL) else ""
        yield (
            f"| {name} | {alpha:g} | {seconds:.3f} s | {gaps[0]:.0e} | {longer:.2f} s | {gaps[1]:.0e} "
            f"| {bound}{longer / seconds:.0f}x |"
        )


def liblinear_rows(classes, features, labels, name):
    problems = [labels == one for one in range(SUBSET)] if classes == 37 else [labels]
    settings = {"head_dim": DIM, "loss": "one-vs-rest"}
    totals, gaps = np.zeros(3), np.zeros(2)
    for problem in problems:
        problem = problem.astype(int)
        own = LassoLogisticRegression(intercept="penalised", **settings)
        seconds, models = timed(lambda own=own, problem=problem: own.path(features, problem))
        totals[0] += seconds
        for model in models:
            limit = worst_gap([model], features, problem, 1)
            gaps[0] = max(gaps[0], limit)
            for power in range(4, 10):
                other = LassoLogisticRegression(model.C, solver="liblinear", tol=10.0**-power, **settings)
                seconds, _ = timed(lambda other=other, problem=problem: other.fit(features, problem))
                gap = worst_gap([other], features, problem, 1)
                if power == 4:
                    totals[1] += seconds
                    gaps[1] = max(gaps[1], gap)
                if gap <= max(limit, 1e-9):
                    break
            totals[2] += seconds
    yield (
        f"| {name} | {totals[0]:.2f} s | {gaps[0]:.0e} | {totals[1]:.1f} s | {gaps[1]:.0e} | {totals[2]:.1f} s "
        f"| {totals[2] / totals[0]:.0f}x |"
    )


@pytest.mark.perf
def test_lasso_paths():
    sections = {grid_rows: [], group_rows: [], liblinear_rows: []}
    with threadpool_limits(1):
        for classes, samples in SHAPES.items():
            features, labels = planted(samples, classes)
            for rows, lines in sections.items():
                for line in rows(classes, features, labels, f"{samples}, {classes}"):
                    print(line, flush=True)
                    lines.append(line)
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    header = HEADER.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}, NumPy {np.__version__}",
        tol=TOL,
    )
    steps = ", ".join(map(str, GROUP_LASSO_STEPS.values()))
    titles = [GRID, GROUP.format(steps=steps, tol=TOL), LIBLINEAR.format(subset=SUBSET)]
    tables = [title + "\n".join(lines) + "\n" for title, lines in zip(titles, sections.values(), strict=True)]
    DOCUMENT.write_text(header + "".join(tables))
    print("\n" + DOCUMENT.read_text())

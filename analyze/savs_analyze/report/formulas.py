"""The second paper's scores as functions of what they take: its Figures 3 and 4. They need no results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from savs_analyze.parts.transform import Transform, transformed
from savs_analyze.report.drawing import figure_at

# x is the similarity to a class, y the mean similarity to the others.
SCORES = {
    "x": Transform(),
    "x - y": Transform("penalty"),
    "(1 + artanh x) - artanh y": Transform("artanh"),
}
LEVELS = np.arange(-1.5, 3.1, 0.5)
# Of Figure 4: weights from left to right, from bottom to top, and the score along every line.
A, B, SCORE = np.linspace(1, 6, 5), np.linspace(4, 9, 5), 10.0
POINTS = 400
EDGE = 0.999  # where artanh is still finite


def score_of(kind: Transform, x: Float[np.ndarray, " *any"], y: Float[np.ndarray, " *any"]) -> np.ndarray:
    """Return the score of a class with similarity x where the one other class has y, as heads are scored with it."""
    pairs = np.stack([x.ravel(), y.ravel()], axis=1)[:, :, None]
    return transformed(kind, pairs)[:, 0, 0].reshape(x.shape)


def level_of(a: float, b: float, score: float, x: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Return y such that a (1 + artanh x) - b artanh y is the score: y = tanh((a (1 + artanh x) - score) / b)."""
    return np.tanh((a * (1 + np.arctanh(x)) - score) / b)


def draw_scores(path: Path) -> Path:
    """Draw what plain SAVs, the penalty and artanh make of x and y (second paper, Figure 3) and return the path."""
    x, y = np.meshgrid(np.linspace(-EDGE, EDGE, POINTS), np.linspace(-EDGE, EDGE, POINTS))
    with figure_at(path, 8.4, 2.8) as figure:
        every = figure.subplots(1, len(SCORES), sharey=True)
        for axes, (formula, kind) in zip(every, SCORES.items(), strict=True):
            filled = axes.contourf(x, y, score_of(kind, x, y), LEVELS, cmap="viridis", extend="both")
            axes.set(title=formula, xlabel="x: similarity to the class", aspect="equal")
        every[0].set_ylabel("y: mean similarity to the others")
        figure.colorbar(filled, ax=every, label="score")
    return path


def draw_levels(path: Path) -> Path:
    """Draw where the artanh score is 10, for a from 1 to 6 and b from 4 to 9 (second paper, Figure 4).

    Below a line the score is higher. Returns the path.
    """
    x = np.linspace(-EDGE, EDGE, POINTS)
    with figure_at(path, 7.2, 7.0) as figure:
        grid = figure.subplots(len(B), len(A), sharex=True, sharey=True)
        for axes, (b, a) in zip(grid.flat, ((b, a) for b in B[::-1] for a in A), strict=True):
            y = level_of(a, b, SCORE, x)
            axes.plot(x, y, color="black", lw=1)
            axes.fill_between(x, -1, y, color="tab:blue", alpha=0.3, lw=0)
            axes.set(xlim=(-1, 1), ylim=(-1, 1))
            axes.set_title(f"a = {a:g}, b = {b:g}", fontsize=6, pad=2)
        figure.supxlabel("x: similarity to the class; a grows from left to right", fontsize=8)
        figure.supylabel("y: mean similarity to the others; b grows from bottom to top", fontsize=8)
        figure.suptitle(f"a (1 + artanh x) - b artanh y = {SCORE:g}; more below the line", fontsize=9)
    return path

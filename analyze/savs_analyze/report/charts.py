"""Curves as SVG that lives inside a page: its colours are the page's, in the light and in the dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from savs_analyze.report.figures import REPRODUCIBLE

WIDTH, HEIGHT = 3.4, 2.3  # inches of 72 units
VIEW = f"0 0 {72 * WIDTH:g} {72 * HEIGHT:g}"
MOST_TICKS = 8
# The page has a colour for each of these, and the next shape of `SHAPES`; further curves are grey.
MARKERS, SHAPES = "os^Dvp", "●■▲◆▼⬟"
# Matplotlib knows no CSS: it draws in these colours, which become the page's.
INK, QUIET, OTHERS = "#000001", "#000002", "#000003"
LINES = [f"#0000{16 + place}" for place in range(len(MARKERS))]
PAGE_COLOURS = {INK: "currentColor", QUIET: "var(--rule)", OTHERS: "var(--others)"} | {
    colour: f"var(--line-{place})" for place, colour in enumerate(LINES)
}
FONT = {"font.size": 8, "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}


@dataclass(frozen=True)
class Curve:
    """Means with their intervals along x; `place` says its colour and marker."""

    place: int
    x: Sequence[int]
    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def inline_curves(curves: Sequence[Curve], level: float | None, x_label: str, name: str) -> str:
    """Return SVG elements of curves, with a dashed line at `level`; `name` keeps the ids of a page's charts apart."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, MaxNLocator

    style: Any = {**REPRODUCIBLE, **FONT, "svg.hashsalt": name}
    style |= dict.fromkeys(("axes.edgecolor", "grid.color"), QUIET)
    style |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with matplotlib.rc_context(style):
        figure, axis = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
        for curve in curves:
            known = curve.place < len(MARKERS)
            colour = LINES[curve.place] if known else OTHERS
            marker = MARKERS[curve.place] if known else ""
            axis.plot(curve.x, curve.value, color=colour, marker=marker, markersize=3.5, linewidth=1.4)
            if known:
                axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.1, linewidth=0)
        if level is not None:
            _draw_level(axis, level)
        known_x = sorted({x for curve in curves for x in curve.x})
        axis.xaxis.set_major_locator(FixedLocator(known_x) if len(known_x) <= MOST_TICKS else MaxNLocator(integer=True))
        axis.grid(axis="y", linewidth=0.6)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(length=0)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)
    return _inline(drawn.getvalue())


def _draw_level(axis: Any, level: float) -> None:
    """Draw zero-shot as a dashed line, or say it where it is so far away that curves would become flat."""
    low, high = axis.get_ylim()
    if low - (high - low) <= level <= high + (high - low):
        axis.axhline(level, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        return
    below = level < low
    axis.text(
        1,
        0.03 if below else 0.97,
        f"zero-shot {level:.1f} {'↓' if below else '↑'}",
        transform=axis.transAxes,
        ha="right",
        va="bottom" if below else "top",
    )


def _inline(svg: str) -> str:
    """Return the drawing alone: no header, no style for a whole page, no ids but those that are referred to."""
    body = svg[svg.index('<g id="figure_1">') : svg.rindex("</svg>")]
    body = re.sub(r'<style.*?</style>|(?<=<g) id="[^"]*"|<!--.*?-->', "", body, flags=re.DOTALL)
    body = re.sub(r"\n\s*", "\n", body)
    for placeholder, colour in PAGE_COLOURS.items():
        body = body.replace(placeholder, colour)
    return body

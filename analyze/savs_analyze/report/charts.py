"""Curves as SVG that lives inside a page: its colours are the page's, in the light and in the dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from savs_analyze.report.curves import Curve
from savs_analyze.report.drawing import empty_figure, svg_of
from savs_analyze.report.reliability import Diagram, draw_answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
FONT = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}
STYLE = {
    **FONT,
    **dict.fromkeys(("axes.edgecolor", "grid.color"), QUIET),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def inline_curves(curves: Sequence[Curve], level: float | None, labels: tuple[str, str], name: str) -> str:
    """Return SVG elements of curves, with a dashed line at `level`; `name` keeps the ids of a page's charts apart.

    `labels` are those of the axes, x and y.
    """
    with empty_figure(WIDTH, HEIGHT, STYLE | {"svg.hashsalt": name}) as figure:
        axes = figure.subplots()
        for curve in curves:
            _draw_curve(axes, curve)
        if level is not None:
            _draw_level(axes, level)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        _draw_frame(axes, sorted({x for curve in curves for x in curve.x}))
        return _inline(svg_of(figure))


def inline_reliability(diagram: Diagram) -> str:
    """Return SVG elements of a reliability diagram, as those of curves."""
    with empty_figure(WIDTH, HEIGHT, STYLE | {"svg.hashsalt": f"reliability {diagram.title}"}) as figure:
        axes = figure.subplots()
        draw_answers(axes, diagram, [*LINES, OTHERS], MARKERS + "x", INK)
        axes.grid(axis="y", linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        return _inline(svg_of(figure))


def _draw_curve(axes: Axes, curve: Curve) -> None:
    known = curve.place < len(MARKERS)
    colour = LINES[curve.place] if known else OTHERS
    marker = MARKERS[curve.place] if known else ""
    axes.plot(curve.x, curve.value, color=colour, marker=marker, markersize=3.5, linewidth=1.4)
    if known:
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.1, linewidth=0)


def _draw_frame(axes: Axes, ticks: Sequence[int]) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    axes.xaxis.set_major_locator(FixedLocator(ticks) if len(ticks) <= MOST_TICKS else MaxNLocator(integer=True))
    axes.grid(axis="y", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def _draw_level(axes: Axes, level: float) -> None:
    """Draw zero-shot as a dashed line, or say it where it is so far away that curves would become flat."""
    low, high = axes.get_ylim()
    if low - (high - low) <= level <= high + (high - low):
        axes.axhline(level, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        return
    below = level < low
    axes.text(
        1,
        0.03 if below else 0.97,
        f"zero-shot {level:.1f} {'↓' if below else '↑'}",
        transform=axes.transAxes,
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

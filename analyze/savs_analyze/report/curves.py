"""Curves: means in percent with their intervals, along heads or shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from savs_analyze.methods.recipes import displayed
from savs_analyze.report.drawing import figure_at, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS_A_LINE = 3
PANEL_WIDTH, PANEL_HEIGHT = 3.0, 2.3  # inches
X_LABELS = {"shots": "support samples a class", "heads": "heads that vote"}


@dataclass(frozen=True)
class Curve:
    """Means in percent with their intervals along `x`, where 0 is no place: a level. `place` says its look."""

    name: str
    place: int
    x: Sequence[int]
    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    @classmethod
    def of(cls, points: pd.DataFrame, along: str, name: str, place: int) -> Curve:
        """Return the curve of rows of a summary, in the order of their values along `along`."""
        points = points.sort_values(along, kind="stable")
        percent = (100 * points[["value", "low", "high"]]).to_dict("list")
        return cls(name, place, points[along].tolist(), percent["value"], percent["low"], percent["high"])

    @property
    def is_level(self) -> bool:
        return len(set(self.x)) == 1


@dataclass(frozen=True)
class Panel:
    """The curves of one benchmark and model."""

    title: str
    metric: str
    curves: Sequence[Curve]


def curve_panels(summary: pd.DataFrame, along: str) -> list[Panel]:
    """Return a panel a benchmark and model with a curve a method, along `heads` or `shots`.

    A benchmark of several tasks is shown by their mean. Raises ValueError where there is nothing along the axis.
    """
    rows = _first_metric(summary)
    if rows.loc[rows[along] > 0, along].nunique() < 2:
        raise ValueError(f"these results hold no two values of {along} to draw along")
    places = {method: place for place, method in enumerate(dict.fromkeys(rows["method"]))}
    return [
        Panel(
            " / ".join(names),
            panel["metric"].iloc[0].replace("_", " "),
            [
                Curve.of(points, along, displayed(method), places[method])
                for method, points in panel.sort_values(along, kind="stable").groupby("method", sort=False)
            ],
        )
        for names, panel in rows.groupby(["benchmark", "model"], sort=False)
    ]


def draw_curves(summary: pd.DataFrame, along: str, path: Path) -> Path:
    """Draw the panels of `curve_panels` into `path` (its ending says the format) and return it."""
    found = curve_panels(summary, along)
    columns = min(PANELS_A_LINE, len(found))
    lines = -(-len(found) // columns)
    with figure_at(path, PANEL_WIDTH * columns + 0.3, PANEL_HEIGHT * lines) as figure:
        every = panels(figure, len(found), columns)
        for axes, panel in zip(every, found, strict=True):
            _draw_panel(axes, panel, X_LABELS.get(along, along))
        every[0].legend(frameon=False, fontsize=7)
    return path


def _draw_panel(axes: Axes, panel: Panel, x_label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in panel.curves:
        _draw_curve(axes, curve)
    axes.set(title=panel.title, xlabel=x_label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylabel(f"{panel.metric}, %")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    from matplotlib import colormaps

    colour = colormaps["tab10"](curve.place)
    if curve.is_level:
        axes.axhline(curve.value[0], color=colour, ls=":" if curve.x[0] else "--", lw=1, label=curve.name)
    else:
        axes.plot(curve.x, curve.value, "o-", ms=3, lw=1.2, color=colour, label=curve.name)
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, lw=0)


def _first_metric(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each benchmark's first metric, of the mean over tasks where there are several."""
    first = summary["metric"] == summary.groupby("benchmark")["metric"].transform("first")
    tasks = summary.groupby(["benchmark", "model"])["task"].transform("nunique")
    return summary[first & ((tasks == 1) | summary["task"].str.startswith("mean of "))]

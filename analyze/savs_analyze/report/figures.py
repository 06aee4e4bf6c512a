"""Figures from results: where the selected heads are, and means along heads or shots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from savs_analyze.methods.recipes import SAVS, displayed
from savs_analyze.runs.results import CellResult, replaced
from savs_stores.terminal import shown

PANEL_WIDTH, PANEL_HEIGHT = 1.9, 1.9
MOST_COLUMNS = 5
# SVG ids and dates follow these, so that the same results give the same bytes; a $ in a name begins no formula.
REPRODUCIBLE: Any = {"svg.hashsalt": "savs", "svg.fonttype": "none", "text.parse_math": False}


def most_heads(cells: Iterable[CellResult]) -> int:
    """Return the largest number of voting heads that results hold, 0 where none vote."""
    of_savs = [cell for cell in cells if cell.facts["method"] == SAVS]
    return max((len(kept) for cell in of_savs for kept in cell.facts["kept"]), default=0)


def most_shots(cells: Iterable[CellResult]) -> list[CellResult]:
    """Return the cells with the most shots of their benchmark, model and task."""
    cells = list(cells)
    most: dict[tuple, int] = {}
    family = ("benchmark", "model", "task")
    for cell in cells:
        key = tuple(cell.facts[name] for name in family)
        most[key] = max(most.get(key, 0), cell.facts["shots"])
    return [cell for cell in cells if cell.facts["shots"] == most[tuple(cell.facts[name] for name in family)]]


def selection_frequency(cells: Iterable[CellResult], heads: int) -> dict[str, Float[np.ndarray, "layer head_in_layer"]]:
    """Return for every model, benchmark and task how often, over its draws, each head is among the best.

    NaN marks places where a layer has fewer heads than the widest. Raises ValueError for more heads than
    the results hold.
    """
    cells = list(cells)
    if heads > (most := most_heads(cells)):
        raise ValueError(f"these results hold the best {most} heads, not {heads}: sweep with a larger --k")
    counted: dict[str, list[np.ndarray]] = {}
    for cell in most_shots([cell for cell in cells if cell.facts["method"] == SAVS]):
        facts = cell.facts
        layers, places = (np.array(axis) for axis in facts["head_table"])
        grid = np.full((layers.max() + 1, places.max() + 1), np.nan)
        grid[layers, places] = 0
        for layer, place in max(facts["kept"], key=len)[:heads]:
            grid[layer, place] = 1
        task = "" if facts["task"] == "all" else f" / {facts['task']}"
        counted.setdefault(f"{facts['model']}\n{facts['benchmark']}{task}", []).append(grid)
    return {title: np.mean(grids, axis=0) for title, grids in counted.items()}


def draw_curves(summary: pd.DataFrame, along: str, path: Path) -> Path:
    """Draw means with 95 % intervals along `heads` or `shots`, a panel a benchmark and model, into `path`; return it.

    A benchmark of several tasks is drawn by their mean. What has no value along the axis is a level line. Raises
    ValueError where there is nothing along the axis.
    """
    rows = _first_metric(summary)
    if rows.loc[rows[along] > 0, along].nunique() < 2:
        raise ValueError(f"these results hold no two values of {along} to draw along")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    panels = list(rows.groupby(["benchmark", "model"], sort=False))
    columns = min(3, len(panels))
    colours = dict(zip(dict.fromkeys(rows["method"]), map(pyplot.get_cmap("tab10"), range(100)), strict=False))
    with matplotlib.rc_context(REPRODUCIBLE | {"font.size": 8}):
        size = (3 * columns + 0.3, 2.3 * -(-len(panels) // columns))
        figure, axes = pyplot.subplots(
            -(-len(panels) // columns), columns, figsize=size, squeeze=False, layout="constrained"
        )
        for axis, (names, panel) in zip(axes.flat, panels, strict=False):
            for method, curve in panel.sort_values(along, kind="stable").groupby("method", sort=False):
                _draw_curve(axis, curve, along, displayed(method), colours[method])
            axis.set(title=" / ".join(names), xlabel={"shots": "support samples a class"}.get(along, along))
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axis.set_ylabel(f"{panel['metric'].iloc[0].replace('_', ' ')}, %")
            axis.spines[["top", "right"]].set_visible(False)
        for axis in list(axes.flat)[len(panels) :]:
            axis.remove()
        axes.flat[0].legend(frameon=False, fontsize=7)
        save_figure(figure, path)
    return path


def _draw_curve(axis: Any, curve: pd.DataFrame, along: str, name: str, colour: Any) -> None:
    low, high = 100 * curve["low"], 100 * curve["high"]
    if (curve[along] == 0).all():
        axis.axhline(100 * curve["value"].iloc[0], color=colour, ls="--", lw=1, label=name)
    elif curve[along].nunique() == 1:
        axis.axhline(100 * curve["value"].iloc[0], color=colour, ls=":", lw=1, label=name)
    else:
        axis.plot(curve[along], 100 * curve["value"], "o-", ms=3, lw=1.2, color=colour, label=name)
        axis.fill_between(curve[along], low, high, color=colour, alpha=0.15, lw=0)


def _first_metric(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each benchmark's first metric, of the mean over tasks where there are several."""
    first = summary["metric"] == summary.groupby("benchmark")["metric"].transform("first")
    tasks = summary.groupby(["benchmark", "model"])["task"].transform("nunique")
    return summary[first & ((tasks == 1) | summary["task"].str.startswith("mean of "))]


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all; the ending of the path says the format."""
    from matplotlib import pyplot
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names may come from anywhere
        text.set_text(shown(text.get_text()))
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    with replaced(path) as beside:
        figure.savefig(beside, metadata=metadata, dpi=160)
    pyplot.close(figure)


def draw_head_maps(frequencies: dict[str, Float[np.ndarray, "layer head_in_layer"]], heads: int, path: Path) -> Path:
    """Draw one layer x head map a task into `path` (its ending says the format) and return it.

    Raises ValueError where there is nothing to draw.
    """
    if not frequencies:
        raise ValueError("these results hold no selected heads to draw")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(MOST_COLUMNS, len(frequencies))
    rows = -(-len(frequencies) // columns)
    with matplotlib.rc_context(REPRODUCIBLE | {"font.size": 8}):
        figure, axes = pyplot.subplots(
            rows,
            columns,
            figsize=(PANEL_WIDTH * columns + 0.8, PANEL_HEIGHT * rows + 0.2),
            squeeze=False,
            layout="constrained",
        )
        for axis, (title, grid) in zip(axes.flat, frequencies.items(), strict=False):
            axis.imshow(grid, cmap="Blues", vmin=0, vmax=1, origin="lower", aspect="auto")
            axis.set_title(title, fontsize=8)
            axis.set_xticks(range(0, grid.shape[1], -(-grid.shape[1] // 8)))
            axis.set_yticks(range(0, grid.shape[0], -(-grid.shape[0] // 8)))
            axis.set_xlabel("head")
            if axis.get_subplotspec().is_first_col():
                axis.set_ylabel("layer")
            axis.spines[:].set_visible(False)
            axis.hlines(np.arange(1, grid.shape[0]) - 0.5, -0.5, grid.shape[1] - 0.5, color="white", linewidth=0.5)
            axis.vlines(np.arange(1, grid.shape[1]) - 0.5, -0.5, grid.shape[0] - 0.5, color="white", linewidth=0.5)
        for axis in list(axes.flat)[len(frequencies) :]:
            axis.remove()
        bar = figure.colorbar(axes.flat[0].images[0], ax=list(axes.flat)[: len(frequencies)], shrink=0.9)
        bar.set_label(f"share of draws\n(best {heads} heads)")
        save_figure(figure, path)
    return path

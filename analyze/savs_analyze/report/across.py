"""The figures of transfer between tasks and of one head's vectors in the plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from savs_analyze.across.projection import Projection
from savs_analyze.across.transfer import ALL, HEADS, OWN, RANDOM
from savs_analyze.report.figures import REPRODUCIBLE, save_figure
from savs_stores.terminal import printable

# More classes have no legend: nobody tells so many colours apart.
MOST_NAMED = 20


def grids(rows: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Return for each panel of the figure the values and the differences from own heads, `[source, target]`.

    The second panel is there where heads and centroids were taken from any other task.
    """
    tasks = list(dict.fromkeys(rows["target"]))
    panels = {"heads of the source, centroids of the target": (HEADS, [*tasks, RANDOM])}
    if (rows["takes"] == ALL).any():
        panels["heads and centroids of the source"] = (ALL, tasks)
    found = {}
    for title, (takes, order) in panels.items():
        of_panel = rows[rows["takes"].isin([OWN, takes])]
        value, against = (
            of_panel.pivot(index="source", columns="target", values=name).reindex(index=order, columns=tasks)
            for name in ("value", "against_own")
        )
        found[title] = value, against
    return found


def draw_transfer(rows: pd.DataFrame, path: Path) -> Path:
    """Draw a heat map, source by target, into `path` (its ending says the format) and return it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = grids(rows)
    tasks = rows["target"].nunique()
    most = max(0.01, *(np.nanmax(np.abs(against.to_numpy())) for _, against in panels.values()))
    with matplotlib.rc_context(REPRODUCIBLE | {"font.size": 8}):
        size = 0.55 * tasks
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=((size + 2.6) * len(panels), size + 2.2), squeeze=False, layout="constrained"
        )
        for axis, (title, (value, against)) in zip(axes.flat, panels.items(), strict=True):
            axis.patch.set(hatch="////", edgecolor="0.85")  # shows where nothing was tried
            image = axis.imshow(against, cmap="RdBu", vmin=-most, vmax=most)
            for (row, column), number in np.ndenumerate(value.to_numpy()):
                if np.isfinite(number):
                    dark = abs(against.iloc[row, column]) > 0.6 * most
                    own = value.index[row] == value.columns[column]
                    style: dict[str, Any] = {
                        "color": "white" if dark else "black",
                        "weight": "bold" if own else "normal",
                    }
                    axis.text(column, row, f"{100 * number:.0f}", ha="center", va="center", **style)
            axis.set_xticks(
                range(tasks), map(printable, value.columns), rotation=45, ha="right", rotation_mode="anchor"
            )
            axis.set_yticks(range(len(value)), map(printable, value.index))
            axis.set_xlabel("target")
            axis.set_ylabel("source")
            axis.set_title(title, fontsize=8)
            axis.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=list(axes.flat), shrink=0.8, format=lambda points, _: f"{100 * points:+.0f}")
        bar.set_label("points against own heads")
        save_figure(figure, path)
    return path


def draw_projection(found: Projection, path: Path) -> Path:
    """Draw the planes side by side, coloured by class, into `path` (its ending says the format) and return it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    classes = found.task.classes
    with matplotlib.rc_context(REPRODUCIBLE | {"font.size": 8}):
        colours = _colours(len(classes))
        figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
        for axis, plane in zip(axes, found.planes, strict=True):
            for label, name in enumerate(classes):
                points = plane.points[found.labels == label]
                axis.scatter(*points.T, s=7, color=colours[label], linewidths=0, alpha=0.8, label=name)
            style: dict[str, Any] = {"marker": "X", "s": 80, "edgecolors": "black", "linewidths": 1.2, "zorder": 3}
            axis.scatter(*plane.centroids.T, c=colours, **style)
            axis.set_title(str(plane), fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        if len(classes) <= MOST_NAMED:
            names = axes[0].get_legend_handles_labels()
            figure.legend(*names, loc="outside right center", frameon=False, markerscale=2)
        figure.suptitle(f"{found.task.vectors.name} on {found.task.name}", fontsize=9)
        figure.supxlabel(found.caption, fontsize=7)
        save_figure(figure, path)
    return path


def _colours(classes: int) -> np.ndarray:
    """Return one colour a class: apart from each other for few classes, a wheel of them for many."""
    from matplotlib import colormaps

    if classes <= MOST_NAMED:
        return colormaps["tab10" if classes <= 10 else "tab20"](np.arange(classes))
    return colormaps["hsv"](np.arange(classes) / classes)

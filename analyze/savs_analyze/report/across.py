"""The figures of transfer between tasks and of one head's vectors in the plane."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from savs_analyze.across.projection import Plane, Projection
from savs_analyze.across.transfer import ALL, HEADS, OWN, RANDOM
from savs_analyze.report.drawing import figure_at
from savs_stores.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More classes have no legend: nobody tells so many colours apart.
MOST_NAMED = 20
INCHES_A_TASK = 0.55
# Of the strongest colour; numbers on what is stronger are white.
DARK = 0.6


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
    found = grids(rows)
    most = max(0.01, *(np.nanmax(np.abs(against.to_numpy())) for _, against in found.values()))
    side = INCHES_A_TASK * rows["target"].nunique()
    with figure_at(path, (side + 2.6) * len(found), side + 2.2) as figure:
        maps = figure.subplots(1, len(found), squeeze=False)[0].tolist()
        for axes, (title, (value, against)) in zip(maps, found.items(), strict=True):
            _draw_heat_map(axes, against, most)
            _write_values(axes, value, against.abs().to_numpy() > DARK * most)
            axes.set_title(title, fontsize=8)
        image = maps[-1].images[0]
        bar = figure.colorbar(image, ax=maps, shrink=0.8, format=lambda points, _: f"{100 * points:+.0f}")
        bar.set_label("points against own heads")
    return path


def _draw_heat_map(axes: Axes, against: pd.DataFrame, most: float) -> None:
    axes.patch.set(hatch="////", edgecolor="0.85")  # shows where nothing was tried
    axes.imshow(against, cmap="RdBu", vmin=-most, vmax=most)
    targets = list(map(printable, against.columns))
    axes.set_xticks(range(len(targets)), targets, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(against)), list(map(printable, against.index)))
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    axes.spines[:].set_visible(False)


def _write_values(axes: Axes, value: pd.DataFrame, dark: np.ndarray) -> None:
    """Write every value in percent, those of a task's own heads bold, on `dark` places in white."""
    for (row, column), number in np.ndenumerate(value.to_numpy()):
        if np.isfinite(number):
            colour = "white" if dark[row, column] else "black"
            weight = "bold" if value.index[row] == value.columns[column] else "normal"
            axes.text(column, row, f"{100 * number:.0f}", ha="center", va="center", color=colour, weight=weight)


def draw_projection(found: Projection, path: Path) -> Path:
    """Draw the planes side by side, coloured by class, into `path` (its ending says the format) and return it."""
    with figure_at(path, 9.6, 4.8) as figure:
        both = figure.subplots(1, len(found.planes))
        for axes, plane in zip(both, found.planes, strict=True):
            _draw_plane(axes, plane, found)
        if len(found.task.classes) <= MOST_NAMED:
            names = both[0].get_legend_handles_labels()
            figure.legend(*names, loc="outside right center", frameon=False, markerscale=2)
        figure.suptitle(f"{found.task.vectors.name} on {found.task.name}", fontsize=9)
        figure.supxlabel(found.caption, fontsize=7)
    return path


def _draw_plane(axes: Axes, plane: Plane, found: Projection) -> None:
    colours = _colours(len(found.task.classes))
    for label, name in enumerate(found.task.classes):
        x, y = plane.points[found.labels == label].T
        axes.scatter(x, y, s=7, color=colours[label], linewidths=0, alpha=0.8, label=name)
    x, y = plane.centroids.T
    axes.scatter(x, y, c=colours, marker="X", s=80, edgecolors="black", linewidths=1.2, zorder=3)
    axes.set_title(str(plane), fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _colours(classes: int) -> Float[np.ndarray, "class rgba"]:
    """Return one colour a class: apart from each other for few classes, a wheel of them for many."""
    from matplotlib import colormaps

    if classes <= MOST_NAMED:
        return colormaps["tab10" if classes <= 10 else "tab20"](np.arange(classes))
    return colormaps["hsv"](np.arange(classes) / classes)

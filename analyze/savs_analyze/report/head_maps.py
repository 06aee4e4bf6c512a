"""Maps of the heads that are selected: layer by head, one a task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float

from savs_analyze.methods.recipes import SAVS
from savs_analyze.report.drawing import figure_at, panels
from savs_analyze.runs.results import CellResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# For every head the share of draws that select it; NaN where a layer has fewer heads than the widest.
Shares: TypeAlias = Float[np.ndarray, "layer head_in_layer"]

MAPS_A_LINE = 5
PANEL_WIDTH, PANEL_HEIGHT = 1.9, 1.9  # inches
MOST_TICKS = 8
FAMILY = ("benchmark", "model", "task")


def most_heads(cells: Iterable[CellResult]) -> int:
    """Return the largest number of voting heads that results hold, 0 where none vote."""
    of_savs = [cell for cell in cells if cell.facts.method == SAVS]
    return max((len(kept) for cell in of_savs for kept in cell.facts.kept), default=0)


def most_shots(cells: Iterable[CellResult]) -> list[CellResult]:
    """Return the cells with the most shots of their benchmark, model and task."""
    cells = list(cells)
    most: dict[tuple, int] = {}
    for cell in cells:
        most[_family(cell)] = max(most.get(_family(cell), 0), cell.facts.shots)
    return [cell for cell in cells if cell.facts.shots == most[_family(cell)]]


def _family(cell: CellResult) -> tuple[str, ...]:
    return tuple(getattr(cell.facts, name) for name in FAMILY)


def selection_frequency(cells: Iterable[CellResult], heads: int) -> dict[str, Shares]:
    """Return for every model, benchmark and task how often, over its draws, each head is among the best.

    Raises ValueError for more heads than the results hold.
    """
    cells = list(cells)
    if heads > (most := most_heads(cells)):
        raise ValueError(f"these results hold the best {most} heads, not {heads}: sweep with a larger --k")
    counted: dict[str, list[Shares]] = {}
    for cell in most_shots([cell for cell in cells if cell.facts.method == SAVS]):
        task = "" if cell.facts.task == "all" else f" / {cell.facts.task}"
        title = f"{cell.facts.model}\n{cell.facts.benchmark}{task}"
        counted.setdefault(title, []).append(_selected(cell, heads))
    return {title: np.mean(grids, axis=0) for title, grids in counted.items()}


def _selected(cell: CellResult, heads: int) -> Shares:
    """Return 1 for the best heads of one draw, 0 for all others."""
    layers, places = (np.array(axis) for axis in cell.facts.head_table)
    grid = np.full((layers.max() + 1, places.max() + 1), np.nan)
    grid[layers, places] = 0
    best: np.ndarray = np.array(max(cell.facts.kept, key=len)[:heads]).reshape(-1, 2)
    grid[best[:, 0], best[:, 1]] = 1
    return grid


def draw_head_maps(frequencies: dict[str, Shares], heads: int, path: Path) -> Path:
    """Draw one layer x head map a task into `path` (its ending says the format) and return it.

    Raises ValueError where there is nothing to draw.
    """
    if not frequencies:
        raise ValueError("these results hold no selected heads to draw")
    columns = min(MAPS_A_LINE, len(frequencies))
    lines = -(-len(frequencies) // columns)
    with figure_at(path, PANEL_WIDTH * columns + 0.8, PANEL_HEIGHT * lines + 0.2) as figure:
        maps = panels(figure, len(frequencies), columns)
        for axes, (title, shares) in zip(maps, frequencies.items(), strict=True):
            _draw_map(axes, title, shares)
        for axes in maps[::columns]:
            axes.set_ylabel("layer")
        bar = figure.colorbar(maps[0].images[0], ax=maps, shrink=0.9)
        bar.set_label(f"share of draws\n(best {heads} heads)")
    return path


def _draw_map(axes: Axes, title: str, shares: Shares) -> None:
    layers, heads = shares.shape
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, origin="lower", aspect="auto")
    axes.set_title(title, fontsize=8)
    axes.set_xticks(range(0, heads, -(-heads // MOST_TICKS)))
    axes.set_yticks(range(0, layers, -(-layers // MOST_TICKS)))
    axes.set_xlabel("head")
    axes.spines[:].set_visible(False)
    axes.hlines(np.arange(1, layers) - 0.5, -0.5, heads - 0.5, color="white", linewidth=0.5)
    axes.vlines(np.arange(1, heads) - 0.5, -0.5, layers - 0.5, color="white", linewidth=0.5)

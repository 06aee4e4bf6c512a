"""Reliability diagrams: how often answers are right against the probability that is given for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from savs_analyze.findings.findings import Findings
from savs_analyze.measure.probabilities import Reliability, reliability, wilson
from savs_analyze.methods.recipes import ZERO_SHOT, displayed
from savs_analyze.report.drawing import figure_at, panels
from savs_analyze.report.layout import columns_of
from savs_analyze.runs.results import CellResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS_A_LINE = 3
PANEL_WIDTH, PANEL_HEIGHT = 3.0, 2.6  # inches


@dataclass(frozen=True)
class Answers:
    """The answers of one method on one benchmark in bins, in percent, those of all draws and tasks together.

    `low` and `high` are Wilson's intervals of as many answers as one draw has in a bin: draws share their samples.
    """

    name: str
    place: int
    confidence: Sequence[float]
    right: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    @classmethod
    def of(cls, name: str, place: int, found: Reliability, draws: int) -> Answers:
        shares = zip(found.right.tolist(), found.count.tolist(), strict=True)
        ends = [wilson(right, max(1, round(count / draws))) for right, count in shares]
        low, high = (100 * np.array(ends).T).tolist()
        return cls(name, place, (100 * found.confidence).tolist(), (100 * found.right).tolist(), low, high)


@dataclass(frozen=True)
class Diagram:
    """The best method of a benchmark, and zero-shot beside it; `settings` are (setting, shots) of both in rows."""

    benchmark: str
    model: str
    title: str
    answers: Sequence[Answers]
    settings: Sequence[tuple[str, int]]


def diagrams(found: Findings) -> list[Diagram]:
    """Return a diagram of every benchmark and model whose best method, or zero-shot, has scores."""
    rows = found.chosen.assign(column=columns_of(found.chosen))
    places: dict[str, int] = {}
    every = []
    for best in found.best(rows).itertuples():
        headlines = found.headlines(rows)
        own = (headlines["benchmark"] == best.benchmark) & (headlines["model"] == best.model)
        shown = [best, *headlines[own & (headlines["method"] == ZERO_SHOT)].itertuples()]
        answers, settings = [], []
        for row in dict.fromkeys(shown) if best.method != ZERO_SHOT else [best]:
            cells = found.of(benchmark=row.benchmark, model=row.model, method=row.method, shots=row.shots)
            if (binned := _binned(cells, row.setting)) is not None:
                name = displayed(row.method) if row.method == ZERO_SHOT else row.column
                answers.append(Answers.of(name, places.setdefault(name, len(places)), binned, int(row.draws)))
                settings.append((row.setting, int(row.shots)))
        if answers:
            title = found.title(best.benchmark, best.model)
            every.append(Diagram(best.benchmark, best.model, title, answers, settings))
    return every


def _binned(cells: Sequence[CellResult], setting: str) -> Reliability | None:
    """Return the tested answers of a setting in bins; None where a cell keeps no scores."""
    scored = [cell.units(cell.facts.columns.index(setting)).scored for cell in cells]
    known = [one for one in scored if one is not None]
    if len(known) < len(scored):
        return None
    right = np.concatenate([one.predicted == one.label for one in known])
    return reliability(np.concatenate([one.confidence for one in known]), right)


def draw_reliability(found: Sequence[Diagram], path: Path) -> Path:
    """Draw diagrams into `path` (its ending says the format) and return it."""
    from matplotlib import colormaps

    columns = min(PANELS_A_LINE, len(found))
    colours = [colormaps["tab10"](place) for place in range(10)]
    with figure_at(path, PANEL_WIDTH * columns + 0.3, PANEL_HEIGHT * -(-len(found) // columns)) as figure:
        for axes, diagram in zip(panels(figure, len(found), columns), found, strict=True):
            draw_answers(axes, diagram, colours, "os^Dvp", "grey")
            axes.set(title=diagram.title)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=7)
    return path


def draw_answers(axes: Axes, diagram: Diagram, colours: Sequence, markers: str, diagonal: str) -> None:
    """Draw the answers of every method, with the diagonal on which they would be as often right as they say."""
    for answers in diagram.answers:
        colour, marker = colours[answers.place % len(colours)], markers[answers.place % len(markers)]
        right = np.array(answers.right)
        ends = np.abs(np.array([answers.low, answers.high]) - right)
        look = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.2, "elinewidth": 0.8}
        axes.errorbar(answers.confidence, right, yerr=ends, label=answers.name, **look)
    least = min(min(answers.confidence) for answers in diagram.answers)
    start = min(10 * (least // 10), 90.0)
    axes.plot([start, 100], [start, 100], color=diagonal, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(start, 101), ylim=(0, 102), xlabel="probability of the answer, %", ylabel="right, %")

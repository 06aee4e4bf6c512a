"""Which hyperparameters the validation samples choose: one setting for each method and model, over all benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from savs_analyze.methods import DISPLAYED
from savs_analyze.metrics import METRICS
from savs_analyze.results import CellResult


@dataclass(frozen=True)
class Choice:
    """The chosen setting of a method; `value` is its mean validation metric over the benchmarks, equally weighted.

    `settings` is how many there were to choose from, `tied` how many of them are as good: the first is taken.
    """

    model: str
    method: str
    shots: int
    setting: str
    value: float
    benchmarks: tuple[str, ...]
    settings: int
    tied: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.model, self.method, self.shots


def choose(cells: Iterable[CellResult]) -> list[Choice]:
    """Return the best setting of every model, method and number of shots (second paper, Table 2).

    The metric is the benchmark's first, or under the papers' protocol the plain accuracy. A setting counts that
    was run on all benchmarks that choose; without such benchmarks there is no choice.
    """
    rows = [row for cell in cells if cell.facts["chooses"] for row in cell.rows if _judges(cell, row)]
    if not rows:
        return []
    found = pd.DataFrame(rows)
    choices = []
    for (model, method, shots), of_method in found.groupby(["model", "method", "shots"], sort=False):
        means = of_method.groupby(["setting", "benchmark"], sort=False)["value"].mean().unstack("benchmark")
        values = means.reindex(of_method["setting"].unique()).dropna().mean(axis=1)
        if len(values):
            best = values.max()
            tied = values[np.isclose(values, best, rtol=0, atol=1e-12)]
            names = tuple(of_method["benchmark"].unique())
            choices.append(
                Choice(str(model), str(method), int(shots), tied.index[0], float(best), names, len(values), len(tied))
            )
    return choices


def _judges(cell: CellResult, row: dict) -> bool:
    papers = cell.facts["validation"]["first"]
    return row["split"] == "validation" and row["metric"] == (
        "accuracy" if papers else METRICS[cell.facts["metric"]][0]
    )


def hyperparameters(choices: Sequence[Choice]) -> pd.DataFrame:
    """Return the choices as a table: model, method, shots, setting, value in percent, benchmarks, settings, tied."""
    return pd.DataFrame(
        [
            {
                "model": choice.model,
                "method": DISPLAYED.get(choice.method, choice.method),
                "shots": choice.shots,
                "setting": choice.setting,
                "validation": f"{100 * choice.value:.1f}",
                "benchmarks": len(choice.benchmarks),
                "settings": choice.settings,
                "as good": choice.tied,
            }
            for choice in choices
        ],
        columns=["model", "method", "shots", "setting", "validation", "benchmarks", "settings", "as good"],
    )

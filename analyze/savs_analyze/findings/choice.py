"""Which hyperparameters the validation samples choose: one setting for each method and model, over all benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import displayed
from savs_analyze.methods.settings import COUNTED, Setting
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult


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
    chosen: Setting

    @property
    def key(self) -> tuple[str, str, int]:
        return self.model, self.method, self.shots


def choose(cells: Iterable[CellResult]) -> list[Choice]:
    """Return the best setting of every model, method and number of shots (second paper, Table 2).

    The metric is the benchmark's first, or under the papers' protocol the plain accuracy. A setting counts that
    was run on all benchmarks that choose; without such benchmarks there is no choice.
    """
    cells = [cell for cell in cells if cell.facts.chooses]
    rows = [row for cell in cells for row in cell.rows if _judges(cell, row)]
    if not rows:
        return []
    named = {
        name: Setting.from_json(setting)
        for cell in cells
        for name, setting in zip(cell.facts.columns, cell.facts.settings, strict=True)
    }
    found = pd.DataFrame(rows)
    choices = []
    for (model, method, shots), of_method in found.groupby(["model", "method", "shots"], sort=False):
        means = of_method.groupby(["setting", "benchmark"], sort=False)["value"].mean().unstack("benchmark")
        values = means.reindex(of_method["setting"].unique()).dropna().mean(axis=1)
        if len(values):
            best = values.max()
            tied = values[np.isclose(values, best, rtol=0, atol=1e-12)]
            names, setting = tuple(of_method["benchmark"].unique()), tied.index[0]
            counts = len(values), len(tied)
            key = str(model), str(method), int(shots)
            choices.append(Choice(*key, setting, float(best), names, *counts, named[setting]))
    return choices


def kept_places(facts: CellFacts, choices: Iterable[Choice]) -> list[int]:
    """Return the places of the settings of a cell that are looked at: the chosen one, or all where nothing chose.

    Where a model has fewer heads or layers than the chosen number, it is the setting that was capped instead.
    """
    places = list(range(len(facts.columns)))
    key = facts.model, facts.method, facts.shots
    choice = next((choice for choice in choices if choice.key == key), None)
    if choice is None:
        return places
    if choice.setting in facts.columns:
        return [facts.columns.index(choice.setting)]
    settings = [Setting.from_json(setting) for setting in facts.settings]
    near = [place for place in places if _is_capped(settings[place], choice.chosen)]
    return near and [max(near, key=lambda place: [dict(settings[place].parameters).get(name, 0) for name in COUNTED])]


def _is_capped(setting: Setting, chosen: Setting) -> bool:
    mine, theirs = dict(setting.parameters), dict(chosen.parameters)
    others = [name for name in theirs if name not in COUNTED]
    fewer = all(mine[name] <= theirs[name] for name in theirs if name in COUNTED)
    return setting.name == chosen.name and fewer and all(mine[name] == theirs[name] for name in others)


def _judges(cell: CellResult, row: dict) -> bool:
    papers = cell.facts.validation["first"]
    return row["split"] == "validation" and row["metric"] == (
        "accuracy" if papers else METRICS[cell.facts.metric].first
    )


def hyperparameters(choices: Sequence[Choice]) -> pd.DataFrame:
    """Return the choices as a table: model, method, shots, setting, value in percent, benchmarks, settings, tied."""
    return pd.DataFrame(
        [
            {
                "model": choice.model,
                "method": displayed(choice.method),
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

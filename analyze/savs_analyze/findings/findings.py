"""What a folder of results says: read once, and worked out when it is asked for."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from savs_analyze.findings.choice import Choice, choose, hyperparameters
from savs_analyze.findings.comparisons import compare
from savs_analyze.findings.stability import stability
from savs_analyze.findings.summary import summarize
from savs_analyze.measure.metrics import METRICS
from savs_analyze.measure.probabilities import from_scores
from savs_analyze.measure.units import FURTHER
from savs_analyze.methods.rooms import add_rooms
from savs_analyze.runs.results import CellResult, Results, missing_metric
from savs_metrics import OF_CLASSES, OF_SCORES


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Look for no cycles in a block that makes millions of lists without any, which takes a tenth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Findings:
    """All that the results of a sweep say: its cells, what validation chooses, tests, and means."""

    cells: list[CellResult]
    notes: list[str] = field(default_factory=list)
    all_settings: bool = False

    @classmethod
    def of_folder(cls, folder: str | Path, all_settings: bool = False, include: Sequence[str | Path] = ()) -> Findings:
        """Read the last finished sweep of a folder; with all settings, none is chosen.

        `include` are files with metrics of the user's. Raises FileNotFoundError where there is no sweep, OSError for
        damage, ValueError where a metric from outside is not here.
        """
        results = Results(Path(folder))
        with collecting_nothing():
            cells = list(results.loaded())
        if include or any(missing_metric(cell.facts) for cell in cells):
            add_rooms(include)
        if missing := next(filter(None, (missing_metric(cell.facts) for cell in cells)), ""):
            raise ValueError(f"{folder}: {missing}")
        return cls(cells, results.notes(), all_settings)

    def table(self, all_metrics: bool = True) -> pd.DataFrame:
        """Return tidy means over draws, with intervals, of every method the chosen setting, or all settings.

        Without `all_metrics` there are only each benchmark's own.
        """
        return summarize(self.cells, self.choices, self.compared, FURTHER if all_metrics else ())

    def compare(self) -> pd.DataFrame:
        """Return the paired tests of methods on the same samples, corrected for how many there are."""
        return self.compared

    def answers(self) -> pd.DataFrame:
        """Return a row a test sample of every draw and setting: what it is and what it was taken for.

        `score` is the probability of the answer, NaN where the cell keeps no scores.
        """
        return pd.concat([_answers(cell) for cell in self.cells], ignore_index=True)

    @cached_property
    def choices(self) -> list[Choice]:
        return [] if self.all_settings else choose(self.cells)

    @cached_property
    def compared(self) -> pd.DataFrame:
        return compare(self.cells, self.choices)

    @cached_property
    def hyperparameters(self) -> pd.DataFrame:
        return hyperparameters(self.choices)

    @cached_property
    def stability(self) -> pd.DataFrame:
        return stability(self.cells, self.choices)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Every setting, without metrics of scores."""
        return summarize(self.cells, further=OF_CLASSES) if self.choices else self.chosen

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The chosen setting of every method, or all where nothing chooses, without metrics of scores."""
        return summarize(self.cells, self.choices, self.compared, OF_CLASSES)

    def of_scores(self, settings: Collection[str]) -> pd.DataFrame:
        """Return the metrics of scores of some settings."""
        return summarize(self.cells, self.choices, further=OF_SCORES, settings=settings)

    def every(self, fact: str) -> list[Any]:
        """Return the different values of a fact, as they appear."""
        return list(dict.fromkeys(getattr(cell.facts, fact) for cell in self.cells))

    def tasks(self, benchmark: str, model: str) -> list[str]:
        return list(dict.fromkeys(cell.facts.task for cell in self.of(benchmark=benchmark, model=model)))

    def of(self, **wanted: str | int) -> list[CellResult]:
        """Return the cells that have all these facts."""
        return [
            cell for cell in self.cells if all(getattr(cell.facts, name) == value for name, value in wanted.items())
        ]

    def title(self, benchmark: str, model: str, task: str = "") -> str:
        """Return a caption: the benchmark, and what else is needed to tell it from others."""
        tasks, models = self.tasks(benchmark, model), self.every("model")
        return " / ".join([benchmark, *([task] if task and len(tasks) > 1 else []), *([model] * (len(models) > 1))])

    def overall(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of means over tasks, and of the only task where there is one."""
        known = {tuple(getattr(cell.facts, name) for name in ("benchmark", "model", "task")) for cell in self.cells}
        tasks = Counter(key[:2] for key in known)
        keys = zip(rows["benchmark"], rows["model"], rows["task"], strict=True)
        return rows[[(key in known) == (tasks[key[:2]] == 1) for key in keys]]

    def headlines(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows to look at: each benchmark's first metric, over all its tasks."""
        metrics = {cell.facts.benchmark: METRICS[cell.facts.metric].first for cell in self.cells}
        rows = self.overall(rows)
        return rows[rows["metric"] == rows["benchmark"].map(metrics)]

    def best(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the row of the best method on each benchmark and model, by its first metric over all tasks."""
        rows = self.headlines(rows)
        return rows.loc[rows.groupby(["benchmark", "model"], sort=False)["value"].idxmax()]


def _answers(cell: CellResult) -> pd.DataFrame:
    facts, arrays = cell.facts, cell.arrays
    names = np.array([*(facts.class_names or ()), ""], dtype=object)  # the last is what -1 stands for: no class
    tables = []
    for place, (setting, predicted) in enumerate(zip(facts.columns, arrays["predicted"], strict=True)):
        scores, rows = cell.scores(place), np.arange(len(predicted))
        described = {name: getattr(facts, name) for name in ("benchmark", "model", "task", "method", "shots", "draw")}
        found = pd.DataFrame(
            {
                "sample": arrays["sample"],
                "split": np.where(arrays["validation"], "validation", "test"),
                "label": names[arrays["label"]],
                "answer": names[predicted],
                "score": np.nan if scores is None else from_scores(scores)[rows, predicted],
                "correct": predicted == arrays["label"],
            }
        )
        tables.append(found.assign(setting=setting, **described))
    columns = ["benchmark", "model", "task", "method", "setting", "shots", "draw"]
    columns += ["sample", "split", "label", "answer", "score", "correct"]
    return pd.concat(tables, ignore_index=True)[columns]

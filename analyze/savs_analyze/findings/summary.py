"""Summaries of results: one row a benchmark, task, metric and setting, every number with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse import csr_array, hstack

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.findings.comparisons import indistinct, mean_name
from savs_analyze.measure.intervals import interval, replicates, task_seed
from savs_analyze.measure.overlay import Overlay, means_of_sums, with_tested
from savs_analyze.measure.units import Units, class_metrics
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.results import CellResult

LINE = ("benchmark", "model", "task", "metric")


@dataclass(frozen=True)
class Measurement:
    """One method on one task under one metric: its value in every draw; `means` are bootstrap replicates.

    A mean over tasks has the values `of_tasks` beside their means.
    """

    values: Float[np.ndarray, " draw"]
    means: Float[np.ndarray, " replicate"]
    units: int
    of_tasks: tuple[Float[np.ndarray, " _"], ...] = ()


def summarize(
    cells: Iterable[CellResult], choices: Sequence[Choice] = (), compared: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return tidy means over draws: benchmark ... shots, heads, draws, n, value, sd, low, high, close.

    `sd` is the standard deviation over draws. With choices, a method that has one comes with the chosen setting only.
    `close` marks what `compared` does not distinguish from the best of its line. A benchmark of several tasks has a
    further line, the unweighted mean over them, for every method that has results on all of them; tasks are resampled
    independently.
    """
    families: dict[tuple, list[CellResult]] = {}
    for cell in cells:
        family = tuple(getattr(cell.facts, name) for name in ("benchmark", "model", "method", "shots", "task"))
        families.setdefault(family, []).append(cell)
    tasks: dict[tuple[str, str], set[str]] = {}
    for benchmark, model, _, _, task in families:
        tasks.setdefault((benchmark, model), set()).add(task)
    rows: list[dict[str, Any]] = []
    by_task: dict[tuple[tuple[str, Any], ...], list[Measurement]] = {}
    for (benchmark, model, method, shots, task), of_family in families.items():
        first = of_family[0].facts
        places = kept_places(first, choices)
        for (setting, metric), measured in _measure(of_family, places).items():
            ran = Setting.from_json(first.settings[setting])
            keys = {"benchmark": benchmark, "model": model, "metric": metric, "method": method, "shots": shots}
            keys |= {"setting": first.columns[setting], "same_as": ran.same_as, "draws": len(of_family)}
            keys |= {"heads": dict(ran.parameters).get("k", 0)}
            rows.append(keys | {"task": task} | _numbers(measured))
            by_task.setdefault(tuple(keys.items()), []).append(measured)
    for method_keys, measurements in by_task.items():
        described = dict(method_keys)
        count = len(tasks[described["benchmark"], described["model"]])
        if count > 1 and len(measurements) == count:
            rows.append(described | {"task": mean_name(count)} | _numbers(_mean(measurements)))
    order = ["benchmark", "model", "task", "metric", "method", "setting", "same_as", "shots", "heads", "draws", "n"]
    order += ["value", "sd", "low", "high", "close"]
    place = {benchmark: i for i, benchmark in enumerate(dict.fromkeys(row["benchmark"] for row in rows))}
    near = {} if compared is None else indistinct(compared)
    for row in rows:
        row["close"] = _is_close(row, near)
    return pd.DataFrame(sorted(rows, key=lambda row: place[row["benchmark"]]), columns=order)


def _is_close(row: Mapping[str, Any], near: Mapping[tuple, set[str]]) -> bool:
    """Tell whether a row's setting is not distinguishable from the best, of zero-shot: for all numbers of shots."""
    line = [row[name] for name in LINE]
    found = [names for (*key, shots), names in near.items() if key == line and row["shots"] in (0, shots)]
    return bool(found) and all(row["setting"] in names for names in found)


def _measure(family: list[CellResult], places: Sequence[int]) -> dict[tuple[int, str], Measurement]:
    """Return the means of the settings at these places over the draws of a family, its draws' units over each other."""
    # Settings that predict the same are resampled once.
    first_like: dict[bytes, int] = {}
    like = {
        setting: first_like.setdefault(
            b"".join(cell.arrays["predicted"][setting].tobytes() for cell in family), setting
        )
        for setting in places
    }
    settings = list(first_like.values())
    draws = [[cell.units(setting) for setting in settings] for cell in family]
    over = Overlay.of((of_draw[0].unit, of_draw[0].cluster) for of_draw in draws)
    widths = [len(units.scores) + 1 + units.counts.shape[1] for units in draws[0]]

    def evaluate(sums: np.ndarray) -> np.ndarray:
        parts = np.split(sums, np.cumsum(widths)[:-1], axis=1)
        return np.hstack([_values_of_sums(part, len(draws[0][0].scores)) for part in parts])

    columns = [
        over.spread(of_draw[0].unit, hstack([_columns(units) for units in of_draw], format="csr")) for of_draw in draws
    ]
    seed = task_seed(family[0].facts.benchmark, family[0].facts.task)
    means = replicates(columns, over.clusters, evaluate, seed)
    units = round(np.mean([len(of_draw[0].unit) for of_draw in draws]))
    found = [[of_setting.values() for of_setting in of_draw] for of_draw in draws]
    keys = [(place, metric) for place in range(len(settings)) for metric in found[0][place]]
    measured = {
        (settings[place], metric): Measurement(np.array([row[place][metric] for row in found]), column, units)
        for (place, metric), column in zip(keys, means.T, strict=True)
    }
    return {(setting, metric): measured[first, metric] for setting, first in like.items() for metric in found[0][0]}


def _columns(units: Units) -> csr_array:
    """Return `[unit, column]`: the scores of the units, 1 for being tested, the counts of classes."""
    return hstack([with_tested(np.column_stack([*units.scores.values()])), units.counts], format="csr")


def _values_of_sums(sums: np.ndarray, scores: int) -> np.ndarray:
    """Return `[replicate, metric]` from sums over units of what `_columns` lists."""
    of_classes = class_metrics(sums[:, scores + 1 :]).values()
    return np.column_stack([means_of_sums(sums[:, : scores + 1]), *of_classes])


def _mean(measurements: list[Measurement]) -> Measurement:
    draws = {len(m.values) for m in measurements}
    values = [m.values if len(draws) == 1 else np.array([m.values.mean()]) for m in measurements]
    return Measurement(
        values=np.mean(values, axis=0),
        means=np.mean([m.means for m in measurements], axis=0),
        units=sum(m.units for m in measurements),
        of_tasks=tuple(m.values for m in measurements),
    )


def _numbers(measured: Measurement) -> dict[str, int | float]:
    low, high = interval(measured.means, measured.of_tasks or (measured.values,))
    spread = float(measured.values.std(ddof=1)) if len(measured.values) > 1 else float("nan")
    return {"n": measured.units, "value": float(measured.values.mean()), "sd": spread, "low": low, "high": high}

"""Summaries of results: one row a benchmark, task, metric and setting, every number with its interval."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.findings.comparisons import indistinct, mean_name
from savs_analyze.measure.crossed import Noise, noise, on_clusters
from savs_analyze.measure.intervals import interval_of_mean, interval_of_share
from savs_analyze.measure.scored import OF_RANKS, PLAIN, WITHOUT_INTERVAL
from savs_analyze.measure.units import FURTHER, Units
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult
from savs_metrics import OF_CLASSES

LINE = ("benchmark", "model", "task", "metric")
COLUMNS = ["benchmark", "model", "task", "metric", "method", "setting", "same_as", "shots", "heads", "draws", "n"]
COLUMNS += ["value", "sd", "low", "high", "close"]


@dataclass(frozen=True)
class Measurement:
    """One method on one task under one metric, or on the mean of several: its value in every draw, and its noise."""

    values: Float[np.ndarray, " draw"]
    noise: Noise
    units: int

    @property
    def value(self) -> float:
        return float(self.values.mean())


def summarize(
    cells: Iterable[CellResult],
    choices: Sequence[Choice] = (),
    compared: pd.DataFrame | None = None,
    further: Collection[str] = FURTHER,
    settings: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return tidy means over draws: benchmark ... shots, heads, draws, n, value, sd, low, high, close.

    `sd` is the standard deviation over draws. With choices, a method that has one comes with the chosen setting only.
    `close` marks what `compared` does not distinguish from the best of its line. A benchmark of several tasks has a
    further line, the unweighted mean over them, for every method that has results on all of them; tasks are taken as
    independent. Beside each benchmark's own metrics stand the `further` ones; `settings` are those looked at, or all.
    """
    near = {} if compared is None else indistinct(compared)
    rows = [keys | numbers(found, keys["metric"]) for keys, found in measured(cells, choices, further, settings)]
    place = {benchmark: i for i, benchmark in enumerate(dict.fromkeys(row["benchmark"] for row in rows))}
    for row in rows:
        row["close"] = _is_close(row, near)
    return pd.DataFrame(sorted(rows, key=lambda row: place[row["benchmark"]]), columns=COLUMNS)


def measured(
    cells: Iterable[CellResult],
    choices: Sequence[Choice] = (),
    further: Collection[str] = FURTHER,
    settings: Collection[str] | None = None,
) -> list[tuple[dict[str, Any], Measurement]]:
    """Return what each row of the summary is of, and its measurement: all tasks first, then the means over them."""
    families: dict[tuple, list[CellResult]] = {}
    for cell in cells:
        family = tuple(getattr(cell.facts, name) for name in ("benchmark", "model", "method", "shots", "task"))
        families.setdefault(family, []).append(cell)
    tasks: dict[tuple[str, str], set[str]] = {}
    for benchmark, model, _, _, task in families:
        tasks.setdefault((benchmark, model), set()).add(task)
    rows = []
    by_task: dict[tuple[tuple[str, Any], ...], list[Measurement]] = {}
    described: dict[str, dict[str, Any]] = {}
    for (benchmark, model, method, shots, task), of_family in families.items():
        first = of_family[0].facts
        places = kept_places(first, choices)
        if settings is not None:
            places = [place for place in places if first.columns[place] in settings]
        for place in places:
            if first.columns[place] not in described:  # the simplest like it is looked for among all methods
                described[first.columns[place]] = _described(first, place)
        for (setting, metric), found in _measure(of_family, places, further).items():
            keys = {"benchmark": benchmark, "model": model, "metric": metric, "method": method, "shots": shots}
            keys |= described[first.columns[setting]]
            rows.append((keys | {"task": task, "draws": len(of_family)}, found))
            by_task.setdefault(tuple(keys.items()), []).append(found)
    for method_keys, of_tasks in by_task.items():
        keys = dict(method_keys)
        count = len(tasks[keys["benchmark"], keys["model"]])
        if count > 1 and len(of_tasks) == count:
            draws = min(len(found.values) for found in of_tasks)
            rows.append((keys | {"task": mean_name(count), "draws": draws}, mean_of_tasks(of_tasks)))
    return rows


def _described(facts: CellFacts, place: int) -> dict[str, Any]:
    """Return what a row says of its setting."""
    ran = Setting.from_json(facts.settings[place])
    heads = dict(ran.parameters).get("k", 0)
    return {"setting": facts.columns[place], "same_as": ran.same_as, "heads": heads}


def _is_close(row: Mapping[str, Any], near: Mapping[tuple, set[str]]) -> bool:
    """Tell whether a row's setting is not distinguishable from the best, of zero-shot: for all numbers of shots."""
    line = [row[name] for name in LINE]
    found = [names for (*key, shots), names in near.items() if key == line and row["shots"] in (0, shots)]
    return bool(found) and all(row["setting"] in names for names in found)


def numbers(measured: Measurement, metric: str) -> dict[str, int | float]:
    """Return n, value, sd, low, high of a measurement: Wilson's interval of shares, Student's of other means."""
    low, high = _interval(measured, metric)
    spread = float(measured.values.std(ddof=1)) if len(measured.values) > 1 else float("nan")
    return {"n": measured.units, "value": measured.value, "sd": spread, "low": low, "high": high}


def _interval(measured: Measurement, metric: str) -> tuple[float, float]:
    if metric in WITHOUT_INTERVAL:
        return float("nan"), float("nan")
    of_kind = interval_of_mean if metric in PLAIN else interval_of_share
    ((low,), (high,)) = of_kind(np.array([measured.value]), measured.noise)
    return float(np.maximum(0.0, low)), float(high)  # where nothing is known, both ends are NaN


def _measure(
    family: list[CellResult], places: Sequence[int], further: Collection[str]
) -> dict[tuple[int, str], Measurement]:
    """Return what every setting at these places is worth over the draws of a family, by setting and metric."""
    # Settings that predict the same are measured once.
    first_like: dict[bytes, int] = {}
    like = {setting: first_like.setdefault(_said(family, setting), setting) for setting in places}
    measured = {
        first: _measure_setting([cell.units(first) for cell in family], further) for first in first_like.values()
    }
    return {(setting, metric): one for setting, first in like.items() for metric, one in measured[first].items()}


def _said(family: Sequence[CellResult], setting: int) -> bytes:
    """Return a hash of all that a setting says of samples."""
    found = hashlib.sha256()
    for cell in family:
        for name in ("predicted", "scores"):
            found.update(cell.arrays[name][setting].tobytes() if name in cell.arrays else b"none")
    return found.digest()


def _measure_setting(draws: Sequence[Units], further: Collection[str]) -> dict[str, Measurement]:
    """Return what every metric that all draws have is worth."""
    every = [units.measured(further) for units in draws]
    metrics = [metric for metric in every[0] if all(metric in measured for measured in every)]
    values = np.array([[measured[metric].value for metric in metrics] for measured in every])
    influences = [np.column_stack([measured[metric].influence for metric in metrics]) for measured in every]
    clusters = on_clusters([(units.cluster, one) for units, one in zip(draws, influences, strict=True)])
    found = noise(values, clusters)
    tested = round(np.mean([len(units.unit) for units in draws]))
    return {
        metric: Measurement(values[:, place], _of_clusters(found.of(place), draws, metric), tested)
        for place, metric in enumerate(metrics)
    }


def _of_clusters(found: Noise, draws: Sequence[Units], metric: str) -> Noise:
    """Return the noise with what few samples of a class hide, and the clusters of a metric of ranks."""
    if metric in OF_CLASSES:
        return found.with_more(np.array([np.mean([units.answers.half_sample_a_class for units in draws])]))
    # In the draw of fewest.
    counts = [units.scored.clusters(metric, units.cluster) for units in draws if units.scored and metric in OF_RANKS]
    return replace(found, clusters=np.array([[float(max(2, min(counts)))]])) if counts else found


def mean_of_tasks(measurements: list[Measurement]) -> Measurement:
    """Return the unweighted mean over tasks; by draw where all have as many."""
    draws = {len(m.values) for m in measurements}
    values = [m.values if len(draws) == 1 else np.array([m.value]) for m in measurements]
    found = Noise.over_tasks([m.noise for m in measurements])
    return Measurement(np.mean(values, axis=0), found, sum(m.units for m in measurements))

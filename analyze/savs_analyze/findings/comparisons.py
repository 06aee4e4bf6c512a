"""Which methods differ: paired tests on the same samples, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.measure.intervals import interval, replicates, task_seed
from savs_analyze.measure.metrics import METRICS
from savs_analyze.measure.overlay import Overlay, means_of_sums, with_tested
from savs_analyze.measure.paired_tests import holm, sign_flip_test
from savs_analyze.methods.recipes import ZERO_SHOT
from savs_analyze.runs.results import CellResult

LEVEL = 0.05
MOST_FOR_ALL_PAIRS = 12


@dataclass(frozen=True)
class Paired:
    """What several settings score on the same units of one draw: `scores` are `[unit, setting]`."""

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: Float[np.ndarray, "unit setting"]


@dataclass(frozen=True)
class Line:
    """What several settings score on one task, or on the mean of several: by draw, by bootstrap replicate, by cluster.

    `of_draws` are [draw, setting] of each task. `clusters` are sums over all draws, of tasks of different sizes as
    shares of their task. `n` are tested units.
    """

    settings: list[str]
    of_draws: list[Float[np.ndarray, "_ setting"]]
    replicates: Float[np.ndarray, "replicate setting"]
    clusters: Float[np.ndarray, "cluster setting"]
    n: int


def compare(cells: Iterable[CellResult], choices: Sequence[Choice] = ()) -> pd.DataFrame:
    """Return tested differences between methods, under the first metric of each benchmark.

    Columns: benchmark, model, task, metric, shots, setting, other, difference with low and high (95 %), n, p, holm,
    verdict. A benchmark of several tasks has further rows, of the unweighted mean over them. Of methods with chosen
    hyperparameters the chosen setting is compared. Up to 12 settings are compared each with each, more of them with
    the best only. p takes the draws as they are and speaks of other samples, the interval of other samples and draws;
    two settings differ where both say so.
    """
    lines: dict[tuple, list[tuple[str, CellResult, int]]] = {}
    for cell in cells:
        facts = cell.facts
        key = facts.benchmark, facts.model, METRICS[facts.metric].first, facts.task
        for place in kept_places(facts, choices):
            lines.setdefault(key, []).append((facts.columns[place], cell, place))
    tasks: dict[tuple, dict[str, list]] = {}
    for (*benchmark, task), of_line in lines.items():
        tasks.setdefault(tuple(benchmark), {})[task] = of_line
    rows = []
    for (benchmark, model, metric), of_tasks in tasks.items():
        by_shots: dict[int, list[Line]] = {}
        for task, of_line in of_tasks.items():
            for shots in sorted({cell.facts.shots for _, cell, _ in of_line if cell.facts.method != ZERO_SHOT}):
                settings, draws = side_by_side([one for one in of_line if one[1].facts.shots in (0, shots)], metric)
                if len(settings) > 1 and draws:
                    line = _line(settings, draws, task_seed(benchmark, task))
                    by_shots.setdefault(shots, []).append(line)
                    keys = {"benchmark": benchmark, "model": model, "task": task, "metric": metric, "shots": shots}
                    rows += [keys | row for row in _tests(line)]
        for shots, of_shots in by_shots.items():
            if len(of_tasks) > 1 and len(of_shots) == len(of_tasks):
                keys = {"benchmark": benchmark, "model": model, "task": mean_name(len(of_tasks))}
                rows += [keys | {"metric": metric, "shots": shots} | row for row in _tests(_mean_line(of_shots))]
    columns = "benchmark model task metric shots setting other difference low high n p holm verdict".split()
    return pd.DataFrame(rows, columns=columns)


def mean_name(tasks: int) -> str:
    """Return what the unweighted mean over so many tasks is called where a task's name stands."""
    return f"mean of {tasks} tasks"


def side_by_side(of_line: Sequence[tuple[str, CellResult, int]], metric: str) -> tuple[list[str], list[Paired]]:
    """Return the settings and, for every draw, their scores on the units that all of them tested.

    What learns nothing has the same scores in every draw.
    """
    settings = list(dict.fromkeys(setting for setting, _, _ in of_line))
    numbers = sorted({cell.facts.draw for _, cell, _ in of_line if cell.facts.method != ZERO_SHOT})
    draws = []
    for number in numbers:
        units = {
            setting: cell.units(place)
            for setting, cell, place in of_line
            if cell.facts.method == ZERO_SHOT or cell.facts.draw == number
        }
        if len(units) < len(settings):
            continue
        common = units[settings[0]].unit
        for of_setting in units.values():
            common = np.intersect1d(common, of_setting.unit)
        places = {setting: np.searchsorted(units[setting].unit, common) for setting in settings}
        scores = np.column_stack([units[setting].scores[metric][places[setting]] for setting in settings])
        draws.append(Paired(common, units[settings[0]].cluster[places[settings[0]]], scores))
    return settings, draws


def _line(settings: list[str], draws: Sequence[Paired], seed: int) -> Line:
    over = Overlay.of((draw.unit, draw.cluster) for draw in draws)
    columns = [over.spread(draw.unit, with_tested(draw.scores)) for draw in draws]
    totals = sum(column.toarray()[:, :-1] for column in columns)
    kept, place = np.unique(over.clusters, return_inverse=True)
    return Line(
        settings,
        [np.stack([draw.scores.mean(axis=0) for draw in draws])],
        replicates(columns, over.clusters, means_of_sums, seed),
        np.stack([np.bincount(place, column, len(kept)) for column in totals.T], axis=1),
        round(float(np.mean([len(draw.unit) for draw in draws]))),
    )


def _mean_line(of_tasks: Sequence[Line]) -> Line:
    """Return the unweighted mean over tasks of what all of them have."""
    settings = [name for name in of_tasks[0].settings if all(name in line.settings for line in of_tasks)]
    places = [[line.settings.index(name) for name in settings] for line in of_tasks]
    each = [(line, line.of_draws[0], place) for line, place in zip(of_tasks, places, strict=True)]
    return Line(
        settings,
        [of_draws[:, place] for _, of_draws, place in each],
        np.mean([line.replicates[:, place] for line, _, place in each], axis=0),
        np.concatenate([line.clusters[:, place] / (line.n * len(of_draws)) for line, of_draws, place in each]),
        sum(line.n for line in of_tasks),
    )


def _tests(line: Line) -> list[dict]:
    """Return a row for every pair, of many settings for those of the best; the better one comes first."""
    if len(line.settings) < 2:
        return []
    means = np.mean([of_task.mean(axis=0) for of_task in line.of_draws], axis=0)
    best = int(means.argmax())
    pairs = list(combinations(range(len(means)), 2))
    total = len(pairs)  # the best was found among all, whichever pairs are shown
    if len(means) > MOST_FOR_ALL_PAIRS:
        pairs = [pair for pair in pairs if best in pair]
    pairs = [(one, other) if means[one] >= means[other] else (other, one) for one, other in pairs]
    chances = [sign_flip_test(line.clusters[:, one] - line.clusters[:, other]) for one, other in pairs]
    rows = []
    for (one, other), chance, corrected in zip(pairs, chances, holm(chances, total), strict=True):
        of_draws = [of_task[:, one] - of_task[:, other] for of_task in line.of_draws]
        low, high = interval(line.replicates[:, one] - line.replicates[:, other], of_draws, least=-1.0)
        rows.append(
            {
                "setting": line.settings[one],
                "other": line.settings[other],
                "difference": float(means[one] - means[other]),
                "low": low,
                "high": high,
                "n": line.n,
                "p": chance,
                "holm": corrected,
                "verdict": "differ" if corrected < LEVEL and (low > 0 or high < 0) else "not distinguishable",
            }
        )
    return rows


def indistinct(compared: pd.DataFrame) -> dict[tuple, set[str]]:
    """Return, for every (benchmark, model, task, metric, shots), the settings not distinguishable from the best.

    The best is among them, if there is any other.
    """
    found: dict[tuple, set[str]] = {}
    for key, pairs in compared.groupby(["benchmark", "model", "task", "metric", "shots"], sort=False):
        best = next(name for name in pairs["setting"] if name not in set(pairs["other"]))
        close = pairs[(pairs["setting"] == best) & (pairs["verdict"] == "not distinguishable")]
        if len(close):
            found[tuple(key)] = {best, *close["other"]}
    return found

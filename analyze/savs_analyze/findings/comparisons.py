"""Which methods differ: paired tests on the same samples, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.measure.crossed import Influences, Noise, draws_per_samples, noise, on_clusters
from savs_analyze.measure.intervals import COVERAGE, chances, holm, interval_of_mean
from savs_analyze.measure.metrics import METRICS
from savs_analyze.runs.results import CellResult

LEVEL = 0.05
MOST_FOR_ALL_PAIRS = 12
# Verdicts. Too few draws: the pair would differ if it were known how much draws vary.
DIFFER, NOT_DISTINGUISHABLE = "differ", "not distinguishable"
TOO_FEW, ONE_DRAW, EQUAL = "too few draws", "one draw: not judged", "equal on all samples"
CLOSE = (NOT_DISTINGUISHABLE, TOO_FEW, EQUAL)


@dataclass(frozen=True)
class Paired:
    """What several settings score on the same units of one draw: `scores` are `[unit, setting]`."""

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: Float[np.ndarray, "unit setting"]


@dataclass(frozen=True)
class Line:
    """What several settings score on one task: in every draw, and what every cluster of samples adds to it.

    `values` are [draw, setting], `n` are tested units.
    """

    settings: list[str]
    learns: Bool[np.ndarray, " setting"]
    values: Float[np.ndarray, "draw setting"]
    influences: Influences
    n: int

    def of(self, settings: Sequence[str]) -> Line:
        """Return the line of some of its settings."""
        places = [self.settings.index(name) for name in settings]
        influences = replace(self.influences, draws=[of_draw[:, places] for of_draw in self.influences.draws])
        return Line(list(settings), self.learns[places], self.values[:, places], influences, self.n)


def compare(cells: Iterable[CellResult], choices: Sequence[Choice] = ()) -> pd.DataFrame:
    """Return tested differences between methods, under the first metric of each benchmark.

    Columns: benchmark, model, task, metric, shots, setting, other, difference with low, high and their level, n, p,
    holm, verdict. A benchmark of several tasks has further rows, of the unweighted mean over them. Of methods with
    hyperparameters the chosen setting is compared. Up to 12 settings are compared each with each, more of them with
    the best only. p speaks of other draws from the same pool and of other samples like these, holm of all pairs that
    are judged; the interval has the `level` at which its pair was tested, so it holds 0 unless the two differ. One
    draw is not judged: there low and high are of other samples on this very draw. What learns nothing is compared
    beside every number of shots, and alone where nothing learns.
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
            for shots in sorted({cell.facts.shots for _, cell, _ in of_line if cell.facts.shots}) or [0]:
                settings, draws = side_by_side([one for one in of_line if one[1].facts.shots in (0, shots)], metric)
                if len(settings) > 1 and draws:
                    fixed = {setting for setting, cell, _ in of_line if not cell.facts.shots}
                    line = line_of(settings, draws, fixed)
                    by_shots.setdefault(shots, []).append(line)
                    keys = {"benchmark": benchmark, "model": model, "task": task, "metric": metric, "shots": shots}
                    rows += [keys | row for row in tests([line])]
        for shots, of_shots in by_shots.items():
            if len(of_tasks) > 1 and len(of_shots) == len(of_tasks):
                keys = {"benchmark": benchmark, "model": model, "task": mean_name(len(of_tasks))}
                rows += [keys | {"metric": metric, "shots": shots} | row for row in tests(of_shots)]
    columns = "benchmark model task metric shots setting other difference low high level n p holm verdict".split()
    return pd.DataFrame(rows, columns=columns)


def mean_name(tasks: int) -> str:
    """Return what the unweighted mean over so many tasks is called where a task's name stands."""
    return f"mean of {tasks} tasks"


def side_by_side(of_line: Sequence[tuple[str, CellResult, int]], metric: str) -> tuple[list[str], list[Paired]]:
    """Return the settings and, for every draw, their scores on the units that all of them tested.

    What learns nothing has the same scores in every draw, and by itself one.
    """
    settings = list(dict.fromkeys(setting for setting, _, _ in of_line))
    numbers = sorted({cell.facts.draw for _, cell, _ in of_line if cell.facts.shots}) or [0]
    draws = []
    for number in numbers:
        units = {
            setting: cell.units(place)
            for setting, cell, place in of_line
            if not cell.facts.shots or cell.facts.draw == number
        }
        if len(units) < len(settings):
            continue
        common = units[settings[0]].unit
        for of_setting in units.values():
            if not np.array_equal(common, of_setting.unit):
                common = np.intersect1d(common, of_setting.unit)
        places = {setting: np.searchsorted(units[setting].unit, common) for setting in settings}
        scores = np.column_stack([units[setting].scores[metric][places[setting]] for setting in settings])
        draws.append(Paired(common, units[settings[0]].cluster[places[settings[0]]], scores))
    return settings, draws


def line_of(settings: list[str], draws: Sequence[Paired], fixed: Collection[str] = ()) -> Line:
    """Return the line of settings side by side; the `fixed` ones learn nothing."""
    values = np.stack([draw.scores.mean(axis=0) for draw in draws])
    moved = [(draw.scores - of_draw) / len(draw.unit) for draw, of_draw in zip(draws, values, strict=True)]
    influences = on_clusters([(draw.cluster, one) for draw, one in zip(draws, moved, strict=True)])
    learns = np.array([name not in fixed for name in settings])
    return Line(settings, learns, values, influences, round(float(np.mean([len(draw.unit) for draw in draws]))))


def tests(of_tasks: Sequence[Line], also: Collection[str] = (), among: int = 0) -> list[dict]:  # noqa: PT028  no test
    """Return a row for every pair, of many settings for those of the best, and `also` of these; the better comes first.

    Of several lines it is of their unweighted mean, and of the settings that all of them have. Holm is of the pairs
    `among` so many settings, where these are some of them.
    """
    settings = [name for name in of_tasks[0].settings if all(name in line.settings for line in of_tasks)]
    lines = [line.of(settings) for line in of_tasks]
    means = np.mean([line.values.mean(axis=0) for line in lines], axis=0)
    pairs = _pairs(means, [settings.index(name) for name in also if name in settings])
    if not pairs:
        return []
    one, other = np.array(pairs).T
    like = _alike(lines)
    found = Noise.over_tasks([_noise(line, one, other, np.unique(like)) for line in lines])
    # Equal methods count once: of pairs of equal ones, the first stands for all.
    same = np.sort(np.stack([like[one], like[other]], axis=1), axis=1)
    _, first, place = np.unique(same, axis=0, return_index=True, return_inverse=True)
    verdicts = _verdicts(
        means[one] - means[other], found, like[one] == like[other], first, max(_number(lines, like), comb(among, 2))
    )
    rows = [verdicts[row] for row in first[place.ravel()]]
    names = [{"setting": settings[a], "other": settings[b]} for a, b in pairs]
    units = {"n": sum(line.n for line in lines)}
    return [named | row | units for named, row in zip(names, rows, strict=True)]


def _pairs(means: Float[np.ndarray, " setting"], also: Collection[int]) -> list[tuple[int, int]]:
    kept = {int(means.argmax()), *also}
    pairs = list(combinations(range(len(means)), 2))
    if len(means) > MOST_FOR_ALL_PAIRS:
        pairs = [pair for pair in pairs if kept & {*pair}]
    return [(one, other) if means[one] >= means[other] else (other, one) for one, other in pairs]


def _alike(lines: Sequence[Line]) -> Int[np.ndarray, " setting"]:
    """Return, for every setting, the first that scores the same on every sample of every draw."""
    seen: dict[bytes, int] = {}
    columns = [np.concatenate([line.values, *line.influences.draws]) for line in lines]
    keys = [b"".join(of_line[:, place].tobytes() for of_line in columns) for place in range(columns[0].shape[1])]
    return np.array([seen.setdefault(key, place) for place, key in enumerate(keys)])


def _noise(
    line: Line, one: Int[np.ndarray, " pair"], other: Int[np.ndarray, " pair"], kept: Int[np.ndarray, " _"]
) -> Noise:
    """Return the noise of differences, the part of draws held against that of all settings that learn.

    A pair that learns is held against how differences among all that learn move over draws, what learns beside what
    does not against how all that learn move beside it. `kept` are the settings of which none is equal to another.
    """
    found = noise(line.values[:, one] - line.values[:, other], line.influences.of(one, other))
    fixed = ~line.learns[one] & ~line.learns[other]
    if len(line.values) > 1:
        mean = line.influences.deviations
        learning, still = kept[line.learns[kept]], np.flatnonzero(~line.learns)
        against = {-1: learning} | {place: np.array([place]) for place in still.tolist()}
        pools = {place: _spread(line.values, mean, learning, them) for place, them in against.items()}
        beside = np.where(line.learns[one], np.where(line.learns[other], -1, other), one)
        found = found.with_pool(*np.array([pools[place] for place in beside.tolist()]).T)
    return found.without_draws(fixed).with_two_samples_more(line.n)


def _spread(
    values: Float[np.ndarray, "draw setting"],
    mean: Float[np.ndarray, "cluster setting"],
    learning: Int[np.ndarray, " _"],
    against: Int[np.ndarray, " _"],
) -> tuple[float, float]:
    """Return how what learns moves over draws, for each that it moves over samples, beside the mean of others."""
    if len(learning) < 1 or len(against) < 1:
        return 0.0, float(len(values) - 1)
    return draws_per_samples(
        *(part[:, learning] - part[:, against].mean(axis=1, keepdims=True) for part in (values, mean))
    )


def _number(lines: Sequence[Line], like: Int[np.ndarray, " setting"]) -> int:
    """Return how many tests count: of different settings all pairs, as the best is found among all."""
    several = all(len(line.values) > 1 for line in lines)
    return comb(len(np.unique(like if several else like[~lines[0].learns])), 2)


def _verdicts(
    differences: Float[np.ndarray, " pair"],
    found: Noise,
    equal: Bool[np.ndarray, " pair"],
    counted: Int[np.ndarray, " _"],
    total: int,
) -> list[dict]:
    """Return numbers and verdict of each pair, corrected for the `counted` ones of a `total`."""
    judged = np.zeros(len(differences), dtype=bool)
    judged[counted] = (found.judged & ~equal)[counted]
    p, at_best = (np.where(judged, chances(differences, found, known), np.nan) for known in (False, True))
    corrected, at_best = (_corrected(of, judged, total) for of in (p, at_best))
    levels = _levels(p, corrected, judged, total)
    low, high = (np.where(equal, 0.0, np.clip(end, -1, 1)) for end in interval_of_mean(differences, found, levels))
    verdicts = np.select(
        [equal, ~judged, corrected < LEVEL, at_best < LEVEL], [EQUAL, ONE_DRAW, DIFFER, TOO_FEW], NOT_DISTINGUISHABLE
    )
    names = ["difference", "low", "high", "level", "p", "holm", "verdict"]
    columns = [column.tolist() for column in (differences, low, high, levels, p, corrected, verdicts)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _corrected(
    p: Float[np.ndarray, " pair"], judged: Bool[np.ndarray, " pair"], total: int
) -> Float[np.ndarray, " pair"]:
    corrected = np.full(len(p), np.nan)
    corrected[judged] = holm(p[judged], total)
    return corrected


def _levels(
    p: Float[np.ndarray, " pair"], corrected: Float[np.ndarray, " pair"], judged: Bool[np.ndarray, " pair"], total: int
) -> Float[np.ndarray, " pair"]:
    """Return the level at which Holm's procedure tested each pair; of what is not judged the plain one."""
    levels = np.where(judged, 1 - LEVEL / max(total, 1), COVERAGE)
    stepped = judged & (corrected < 1) & (p > 0)
    levels[stepped] = 1 - LEVEL * p[stepped] / corrected[stepped]
    return levels


def indistinct(compared: pd.DataFrame) -> dict[tuple, set[str]]:
    """Return, for every (benchmark, model, task, metric, shots), the settings not distinguishable from the best.

    The best is among them, if there is any other.
    """
    found: dict[tuple, set[str]] = {}
    for key, pairs in compared.groupby(["benchmark", "model", "task", "metric", "shots"], sort=False):
        best = next(name for name in pairs["setting"] if name not in set(pairs["other"]))
        close = pairs[(pairs["setting"] == best) & pairs["verdict"].isin(CLOSE)]
        if len(close):
            found[tuple(key)] = {best, *close["other"]}
    return found

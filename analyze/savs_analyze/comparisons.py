"""Which methods differ: paired tests on the same samples, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from savs_analyze.choice import Choice, kept_places
from savs_analyze.intervals import interval, replicates
from savs_analyze.methods import ZERO_SHOT
from savs_analyze.metrics import METRICS
from savs_analyze.results import CellResult

LEVEL = 0.05
MOST_FOR_ALL_PAIRS = 12
FLIPS = 20_000
LATTICE = 4  # scores of units are whole quarters


@dataclass(frozen=True)
class Draw:
    """What several settings score on the same units of one draw: `scores` are `[unit, setting]`."""

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: Float[np.ndarray, "unit setting"]


def sign_flip_test(differences: Float[np.ndarray, " cluster"]) -> float:
    """Return the two-sided p of a mean difference if the sign of each cluster's were a coin's toss.

    Exact: the distribution of the sum is the inverse Fourier transform of its characteristic function, a product of
    cosines. Where clusters are single samples of one draw this is McNemar's exact test. Differences are multiples of
    1 / LATTICE, otherwise tosses are drawn (p is then at least 1 / FLIPS).
    """
    steps = np.abs(differences) * LATTICE
    if not np.allclose(steps, np.round(steps), atol=1e-9):
        return _tossed(differences)
    sizes, counts = np.unique(np.round(steps).astype(np.int64), return_counts=True)
    reach = int(sizes @ counts)
    observed = abs(int(np.round(differences.sum() * LATTICE)))
    if not observed:
        return 1.0
    turns = 2 * np.pi * np.arange(reach + 1) / (2 * reach + 1)
    transform = np.ones(reach + 1)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * turns) ** count
    chances = np.fft.irfft(transform, 2 * reach + 1)[: reach + 1]  # of the sums 0, 1 ... reach
    return float(np.clip(2 * chances[observed:].sum(), 0, 1))


def _tossed(differences: Float[np.ndarray, " cluster"]) -> float:
    generator = np.random.default_rng(0)
    sizes, counts = np.unique(np.abs(differences), return_counts=True)
    sums = (2 * generator.binomial(counts, 0.5, size=(FLIPS, len(counts))) - counts) @ sizes
    return float((1 + (np.abs(sums) >= abs(differences.sum()) - 1e-9).sum()) / (1 + FLIPS))


def holm(chances: Sequence[float], total: int = 0) -> list[float]:
    """Return p values corrected for their number (Holm, 1979): the k-th smallest of m is multiplied by m - k + 1.

    Where these are some of a `total` of tests, m is the total: the others may have been smaller or larger.
    """
    order = np.argsort(chances, kind="stable")
    factors = max(total, len(chances)) - np.arange(len(chances))
    corrected = np.empty(len(chances))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.array(chances)[order] * factors))
    return corrected.tolist()


def compare(cells: Iterable[CellResult], choices: Sequence[Choice] = ()) -> pd.DataFrame:
    """Return tested differences between methods, under the first metric of each benchmark.

    Columns: benchmark, model, task, metric, shots, setting, other, difference with low and high (95 %), n, p, holm,
    verdict. Of methods with chosen hyperparameters the chosen setting is compared. Up to 12 settings are compared
    each with each, more of them with the best only. p takes the draws as they are and speaks of other samples, the
    interval of other samples and draws; two settings differ where both say so.
    """
    lines: dict[tuple, list[tuple[str, CellResult, int]]] = {}
    for cell in cells:
        facts = cell.facts
        key = facts["benchmark"], facts["model"], facts["task"], METRICS[facts["metric"]][0]
        for place in kept_places(facts, choices):
            lines.setdefault(key, []).append((facts["columns"][place], cell, place))
    rows = []
    for (benchmark, model, task, metric), of_line in lines.items():
        for shots in sorted({cell.facts["shots"] for _, cell, _ in of_line if cell.facts["method"] != ZERO_SHOT}):
            settings, draws = side_by_side([one for one in of_line if one[1].facts["shots"] in (0, shots)], metric)
            keys = {"benchmark": benchmark, "model": model, "task": task, "metric": metric, "shots": shots}
            rows += [keys | row for row in _tests(settings, draws)]
    columns = "benchmark model task metric shots setting other difference low high n p holm verdict".split()
    return pd.DataFrame(rows, columns=columns)


def side_by_side(of_line: Sequence[tuple[str, CellResult, int]], metric: str) -> tuple[list[str], list[Draw]]:
    """Return the settings and, for every draw, their scores on the units that all of them tested.

    What learns nothing has the same scores in every draw.
    """
    settings = list(dict.fromkeys(setting for setting, _, _ in of_line))
    numbers = sorted({cell.facts["draw"] for _, cell, _ in of_line if cell.facts["method"] != ZERO_SHOT})
    draws = []
    for number in numbers:
        units = {
            setting: cell.units(place)
            for setting, cell, place in of_line
            if cell.facts["method"] == ZERO_SHOT or cell.facts["draw"] == number
        }
        if len(units) < len(settings):
            continue
        common = units[settings[0]].unit
        for of_setting in units.values():
            common = np.intersect1d(common, of_setting.unit)
        places = {setting: np.searchsorted(units[setting].unit, common) for setting in settings}
        scores = np.column_stack([units[setting].scores[metric][places[setting]] for setting in settings])
        draws.append(Draw(common, units[settings[0]].cluster[places[settings[0]]], scores))
    return settings, draws


def _tests(settings: list[str], draws: list[Draw]) -> list[dict]:
    if len(settings) < 2 or not draws:
        return []
    of_draws = np.stack([draw.scores.mean(axis=0) for draw in draws])
    means = of_draws.mean(axis=0)
    best = int(means.argmax())
    pairs = list(combinations(range(len(settings)), 2))
    total = len(pairs)  # the best was found among all, whichever pairs are shown
    if len(settings) > MOST_FOR_ALL_PAIRS:
        pairs = [pair for pair in pairs if best in pair]
    pairs = [(one, other) if means[one] >= means[other] else (other, one) for one, other in pairs]
    chances = [sign_flip_test(_by_cluster(draws, *pair)) for pair in pairs]
    columns = _difference_replicates(draws, pairs)
    rows = []
    for (one, other), chance, corrected, column in zip(pairs, chances, holm(chances, total), columns.T, strict=True):
        low, high = interval(column, of_draws[:, one] - of_draws[:, other], least=-1.0)
        rows.append(
            {
                "setting": settings[one],
                "other": settings[other],
                "difference": float(means[one] - means[other]),
                "low": low,
                "high": high,
                "n": round(float(np.mean([len(draw.unit) for draw in draws]))),
                "p": chance,
                "holm": corrected,
                "verdict": "differ" if corrected < LEVEL and not low <= 0 <= high else "not distinguishable",
            }
        )
    return rows


def _by_cluster(draws: Sequence[Draw], one: int, other: int) -> Float[np.ndarray, " cluster"]:
    """Return the sum of the differences of each cluster over all draws."""
    clusters = np.concatenate([draw.cluster for draw in draws])
    differences = np.concatenate([draw.scores[:, one] - draw.scores[:, other] for draw in draws])
    names, place = np.unique(clusters, return_inverse=True)
    return np.bincount(place, differences, len(names)).astype(np.float64)


def _difference_replicates(
    draws: Sequence[Draw], pairs: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "replicate pair"]:
    names = np.unique(np.concatenate([draw.unit for draw in draws]))
    clusters = np.zeros(len(names), dtype=np.int64)
    one, other = (list(places) for places in zip(*pairs, strict=True))
    columns = []
    for draw in draws:
        place = np.searchsorted(names, draw.unit)
        clusters[place] = draw.cluster
        values = np.zeros((len(names), len(pairs) + 1))
        values[place, :-1] = draw.scores[:, one] - draw.scores[:, other]
        values[place, -1] = 1
        columns.append(csr_array(values))

    def means(sums: np.ndarray) -> np.ndarray:
        tested = sums[:, -1:]
        return np.divide(sums[:, :-1], tested, out=np.full((len(sums), len(pairs)), np.nan), where=tested > 0)

    return replicates(columns, clusters, means)


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

"""How alike the heads are that different draws select."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import betaln

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.runs.results import CellResult


def stability(cells: Iterable[CellResult], choices: Sequence[Choice] = ()) -> pd.DataFrame:
    """Return, for each setting with heads: heads kept, how many every draw keeps, the mean Jaccard index, by chance.

    Columns: benchmark, model, task, shots, setting, draws, heads, in all draws, jaccard, by chance.
    """
    kept: dict[tuple, list[set[tuple[int, int]]]] = {}
    total: dict[tuple, int] = {}
    for cell in cells:
        facts = cell.facts
        for place in kept_places(facts, choices) if facts.kept else ():
            line = *(getattr(facts, name) for name in ("benchmark", "model", "task", "shots")), facts.columns[place]
            kept.setdefault(line, []).append({(layer, head) for layer, head in facts.kept[place]})
            total[line] = len(facts.head_table[0])
    rows = []
    for line, draws in kept.items():
        sizes = [len(heads) for heads in draws]
        named = dict(zip(("benchmark", "model", "task", "shots", "setting"), line, strict=True))
        everywhere = len(set.intersection(*draws))
        measured = {"draws": len(draws), "heads": round(float(np.mean(sizes))), "in all draws": everywhere}
        by_chance = float(np.mean([chance_jaccard(a, b, total[line]) for a, b in combinations(sizes, 2)] or [np.nan]))
        rows.append(named | measured | {"jaccard": mean_jaccard(draws), "by chance": by_chance})
    columns = [
        "benchmark",
        "model",
        "task",
        "shots",
        "setting",
        "draws",
        "heads",
        "in all draws",
        "jaccard",
        "by chance",
    ]
    return pd.DataFrame(rows, columns=columns)


def mean_jaccard(draws: Sequence[Collection]) -> float:
    """Return the mean over pairs of |A and B| / |A or B|; 1 for two empty ones, NaN for a single draw."""
    pairs = [(set(one), set(other)) for one, other in combinations(draws, 2)]
    found = [len(one & other) / len(one | other) if one | other else 1.0 for one, other in pairs]
    return float(np.mean(found)) if found else float("nan")


@cache
def chance_jaccard(one: int, other: int, total: int) -> float:
    """Return the expected Jaccard index of random sets of these sizes out of so many heads."""
    if not one + other:
        return 1.0
    common = np.arange(max(0, one + other - total), min(one, other) + 1)
    # Hypergeometric: scipy.stats has it too, but takes a quarter of a second to import.
    ways = _log_choose(one, common) + _log_choose(total - one, other - common) - _log_choose(total, other)
    return float(np.exp(ways) @ (common / (one + other - common)))


def _log_choose(of: int, taken: Int[np.ndarray, " _"] | int) -> Float[np.ndarray, " _"] | float:
    return -betaln(1 + of - taken, 1 + taken) - np.log(of + 1)

"""Made-up tables of right and wrong answers: samples crossed with draws, of methods whose truth is known.

Samples are easy or hard and draws good or bad, both normal on the scale of log-odds; every method finds other samples
hard, and other draws good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs_analyze.findings.comparisons import DIFFER, Paired, line_of, tests
from savs_analyze.measure.crossed import Noise, noise
from savs_analyze.measure.intervals import interval_of_share

# Log-odds: how much samples differ, for all methods and for each.
EASE, SAMPLES, OF_METHODS = 1.0, 2.0, 1.0


@dataclass(frozen=True)
class World:
    """What tables are of: `draws` that differ by so many log-odds (`spread`), for some methods or for all.

    `alike`: "each" method has draws of its own, "half" of them have any, "one" has any, a "family" of half of them
    has the same, "copies" of one method stand beside another one. `layout`: "balanced", "either" (a draw tests other
    three fifths of the samples), "groups" (of four samples, equally hard). `better` is by how much the first one is.
    """

    methods: int = 6
    draws: int = 5
    spread: float = 0.0
    alike: str = "each"
    layout: str = "balanced"
    samples: int = 400
    better: float = 0.0
    ease: float = EASE

    def truth(self) -> float:
        """Return how often any method but the first is right, draws that vary included."""
        points, weights = np.polynomial.hermite_e.hermegauss(201)
        spread = np.sqrt(SAMPLES**2 + OF_METHODS**2 + self.spread**2)
        return float((weights / (1 + np.exp(-self.ease - spread * points))).sum() / weights.sum())

    def table(self, seed: int) -> list[Paired]:
        """Return the draws of one table: what every method scores on the samples that each draw tests."""
        generator = np.random.default_rng([seed, self.methods, self.draws, self.samples])
        size = 4 if self.layout == "groups" else 1
        hard = np.repeat(generator.normal(self.ease, SAMPLES, self.samples // size), size)[:, None]
        of_methods = generator.normal(0, OF_METHODS, (self.samples // size, self.methods)).repeat(size, axis=0)
        of_draws = self.spread * self._of_draws(generator.normal(size=(self.draws, self.methods)))
        luck = generator.random((self.draws, self.samples, self.methods))
        if self.alike == "copies":
            of_methods[:, 1:], luck[..., 1:] = of_methods[:, [1]], luck[..., [1]]
        of_methods[:, 0] += self.better
        right = luck < 1 / (1 + np.exp(-hard - of_methods - of_draws[:, None]))
        samples = np.arange(self.samples)
        tested = [
            np.sort(generator.choice(samples, 3 * self.samples // 5, replace=False))
            if self.layout == "either"
            else samples
            for _ in range(self.draws)
        ]
        return [
            Paired(one, one // size, of_draw[one].astype(float)) for one, of_draw in zip(tested, right, strict=True)
        ]

    def _of_draws(self, normal: np.ndarray) -> np.ndarray:
        moved = {"half": self.methods // 2, "one": 1, "family": self.methods // 2}.get(self.alike, self.methods)
        if self.alike == "family":
            normal[:, :moved] = normal[:, [0]]
        if self.alike == "copies":
            normal[:, 1:] = normal[:, [1]]
        return np.where(np.arange(self.methods) < moved, normal, 0)


def names(count: int) -> list[str]:
    return [f"method {place}" for place in range(count)]


def share(hits: Sequence[bool]) -> tuple[float, float]:
    """Return a share in percent and the upper end of its 95 % interval (Wilson)."""
    from statsmodels.stats.proportion import proportion_confint

    count = int(np.sum(hits))
    return 100 * count / len(hits), 100 * proportion_confint(count, len(hits), method="wilson")[1]


def verdicts(world: World, tables: int, first: int = 0) -> tuple[list[bool], list[bool]]:
    """Return of every table whether any two equal methods differ, and of every pair with the better one if they do."""
    false, found = [], []
    for seed in range(first, first + tables):
        rows = tests([line_of(names(world.methods), world.table(seed))])
        truths = [world.better > 0 and "method 0" in (row["setting"], row["other"]) for row in rows]
        said = [row["verdict"] == DIFFER for row in rows]
        false.append(any(differ and not truth for differ, truth in zip(said, truths, strict=True)))
        found += [differ for differ, truth in zip(said, truths, strict=True) if truth]
    return false, found


def held(world: World, tables: int, tasks: int = 1) -> list[bool]:
    """Return of every method, on means over so many tasks, whether the interval holds its truth."""
    found = []
    for seed in range(tables):
        lines = [line_of(names(world.methods), world.table(tasks * seed + task)) for task in range(tasks)]
        value = np.mean([line.values.mean(axis=0) for line in lines], axis=0)
        low, high = interval_of_share(value, Noise.over_tasks([noise(line.values, line.influences) for line in lines]))
        found += list((low <= world.truth()) & (world.truth() <= high))
    return found

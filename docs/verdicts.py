"""What verdicts and intervals promise, simulated: the tables of verdicts.md.

python docs/verdicts.py [TABLES]   4,000 tables a cell take some twenty minutes on two cores
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.simulated import World, held, share, verdicts

EFFECTS = {"0": (0.0, "each"), ".15": (0.15, "each"), ".3": (0.3, "each"), ".3 in half": (0.3, "half")}
LAYOUTS, DRAWS, SEVERAL = ("balanced", "either", "groups"), (2, 3, 5, 10), (2, 6)
HARDER = {"one": "one", "a family": "family", "copies of one": "copies"}


def error(world: World, tables: int) -> str:
    found, most = share(verdicts(world, tables)[0])
    return f"{found:.1f} (< {most:.1f})"


def power(world: World, tables: int) -> str:
    """Return how many of the true differences are found, of three points and of nine."""
    found = [100 * np.mean(verdicts(replace(world, better=better), tables // 10)[1]) for better in (0.2, 0.6)]
    return f"{found[0]:.0f}, {found[1]:.0f}"


def coverage(world: World, tables: int) -> str:
    return f"{100 * np.mean(held(world, tables // 4)):.1f}"


def coverage_of_means(world: World, tables: int) -> str:
    return f"{100 * np.mean(held(world, tables // 10, tasks=5)):.1f}"


def table(heads: Sequence[str], lines: dict[str, list[World]], measure: Callable, tables: int) -> Iterator[str]:
    """Yield the lines of a Markdown table, each world measured."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    worlds = [world for of_line in lines.values() for world in of_line]
    found = iter(Parallel(n_jobs=2)(delayed(measure)(world, tables) for world in worlds))
    for name, of_line in lines.items():
        yield f"| {name} | {' | '.join(next(found) for _ in of_line)} |"


def by_effect(methods: Sequence[int], draws: Sequence[int], layouts: Sequence[str]) -> dict[str, list[World]]:
    return {
        f"{layout}, {many} methods, {few} draws": [World(many, few, *effect, layout) for effect in EFFECTS.values()]
        for layout, many, few in product(layouts, methods, draws)
    }


def main(tables: int) -> None:
    print(f"{tables:,} tables a cell\n")
    print("Error: tables in which any two equal methods differ, percent (upper end of the 95 % interval)\n")
    print(*table(["", *EFFECTS], by_effect(SEVERAL, DRAWS, LAYOUTS), error, tables), sep="\n")
    print("\nFound: share of true differences of 3 points, and of 9, percent\n")
    print(*table(["", *EFFECTS], by_effect(SEVERAL, DRAWS, LAYOUTS), power, tables), sep="\n")
    print("\nError where draws move methods together (.3)\n")
    harder = {
        f"{samples:,} samples, {many} methods, {draws} draws": [
            World(many, draws, 0.3, alike, samples=samples) for alike in HARDER.values()
        ]
        for samples, many, draws in product((400, 2000), (6, 12), (2, 3, 5))
    }
    print(*table(["", *HARDER], harder, error, tables // 4), sep="\n")
    print("\nCoverage of the 95 % intervals of single means, percent\n")
    sizes = {
        "20": (20, "balanced"),
        "400": (400, "balanced"),
        "100 groups of 4": (400, "groups"),
        "1,000": (1000, "balanced"),
    }
    covered = {
        f"{name} samples, {draws} draws": [
            World(6, draws, spread, layout=layout, samples=samples, ease=ease)
            for ease, spread in product((1.0, 4.0), (0.0, 0.15, 0.3))
        ]
        for (name, (samples, layout)), draws in product(sizes.items(), DRAWS)
    }
    heads = [f"{right} % right, {spread}" for right, spread in product((64, 91), (0, 0.15, 0.3))]
    print(*table(["", *heads], covered, coverage, tables), sep="\n")
    print("\nThe same of means over 5 tasks\n")
    print(*table(["", *heads], covered, coverage_of_means, tables), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)

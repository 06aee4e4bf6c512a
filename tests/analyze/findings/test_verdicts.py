"""What verdicts and intervals promise, in tables whose truth is known: docs/verdicts.md has all of it."""

from dataclasses import replace
from itertools import product

import pytest

from kit.simulated import World, held, share, verdicts

EFFECTS = ((0.0, "each"), (0.15, "each"), (0.3, "each"), (0.3, "half"))
WORLDS = [
    World(methods, draws, spread, alike, layout)
    for layout, methods, draws, (spread, alike) in product(
        ("balanced", "either", "groups"), (2, 6), (2, 3, 5, 10), EFFECTS
    )
]


def named(world):
    return f"{world.layout} {world.methods} methods {world.draws} draws {world.spread} {world.alike}"


@pytest.mark.parametrize(
    "world", [world for world in WORLDS if (world.draws, world.methods, world.spread) == (3, 6, 0.3)], ids=named
)
def test_equal_methods_seldom_differ(world):
    """Of any two of 6 equal methods, one pair "differed" in up to 46 % of tables."""
    false, _ = verdicts(world, 100)
    assert sum(false) <= 13  # of 100 at 5 %, more than so many are a chance of 1 to 2,000


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=named)
def test_the_error_of_any_pair_is_held(world):
    _, most = share(verdicts(world, 4000)[0])
    assert most <= 6.5


@pytest.mark.parametrize(
    ("world", "least"),
    [
        (World(methods=2, draws=5), 0.95),
        (World(methods=6, draws=5), 0.85),
        (World(methods=6, draws=5, spread=0.15), 0.55),
        (World(methods=6, draws=10, spread=0.3), 0.5),
    ],
    ids=lambda value: named(value) if isinstance(value, World) else "",
)
def test_what_is_better_is_found(world, least):
    _, found = verdicts(replace(world, better=0.6), 40)
    assert sum(found) >= least * len(found)


COVERED = [
    World(methods=6, draws=draws, spread=spread, layout=layout, samples=samples)
    for (samples, layout), draws, spread in product(
        ((20, "balanced"), (400, "balanced"), (400, "groups"), (1000, "balanced")), (3, 5, 10), (0.0, 0.15, 0.3)
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("world", COVERED, ids=lambda world: f"{named(world)} {world.samples} samples")
def test_intervals_hold_the_truth_as_often_as_they_claim(world):
    found = held(world, 500)
    # Of 20 samples they are wider than they need be, by the half sample that the edges ask for.
    assert 0.925 <= sum(found) / len(found) <= (0.995 if world.samples == 20 else 0.985)

"""Intervals over samples and draws: as wide as formulas say where there is one, and right as often as they claim."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import norm, t, ttest_1samp, ttest_ind

from savs_analyze.measure.intervals import interval, replicates


def of_scores(scores, ids):
    """Return bootstrap means of `[draw, unit]` scores, NaN where a draw did not test the unit."""
    tested = np.isfinite(scores)
    draws = [csr_array(np.column_stack(pair)) for pair in zip(np.nan_to_num(scores), tested, strict=True)]

    def mean(sums):
        return np.divide(sums[:, :1], sums[:, 1:], out=np.full((len(sums), 1), np.nan), where=sums[:, 1:] > 0)

    return replicates(draws, ids, mean)[:, 0]


def width(scores, ids):
    return np.diff(interval(of_scores(scores, ids), [np.nanmean(scores, axis=1)]))[0]


def test_interval_of_one_draw_is_the_binomial_one():
    scores = (np.arange(400) < 300).astype(float)[None]
    low, high = interval(of_scores(scores, np.arange(400)), [np.array([0.75])])
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - half, abs=0.006)
    assert high == pytest.approx(0.75 + half, abs=0.006)


def test_whole_groups_make_wider_intervals():
    # Groups of four that are right or wrong together carry a quarter of the information.
    scores = np.repeat(np.arange(100) < 50, 4).astype(float)[None]
    alone, together = (width(scores, ids) for ids in (np.arange(400), np.arange(400) // 4))
    assert together == pytest.approx(2 * alone, rel=0.1)


def test_draws_that_disagree_make_wider_intervals():
    same = np.tile((np.arange(200) < 100).astype(float), (4, 1))
    differing = same.copy()
    differing[2:] = 1
    assert width(differing, np.arange(200)) > width(same, np.arange(200))


def test_every_draw_weighs_the_same_in_value_and_interval():
    # One draw tested 2 units, the other 200: the mean of their means is 0.5, whatever their sizes.
    scores = np.full((2, 200), np.nan)
    scores[0], scores[1, :2] = 1, 0
    means = of_scores(scores, np.arange(200))
    assert np.nanmean(means) == pytest.approx(0.5, abs=0.1)


def test_untested_samples_do_not_count():
    scores = np.array([[1.0, np.nan, 1.0, np.nan], [np.nan, 1.0, np.nan, 1.0]])
    means = of_scores(scores, np.arange(4))
    assert (means[np.isfinite(means)] == 1).all()


def test_same_seed_same_interval():
    scores = np.random.default_rng(0).random((3, 50))
    found = [interval(of_scores(scores, np.arange(50)), [scores.mean(axis=1)]) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_where_only_draws_vary_the_interval_is_students(count):
    of_draws = 0.5 + 0.01 * np.random.default_rng(count).normal(size=count)
    error = of_draws.std(ddof=1) / np.sqrt(count)
    means = of_draws.mean() + error * norm.ppf(np.linspace(0.0005, 0.9995, 1000))  # what a bootstrap of many would give
    expected = ttest_1samp(of_draws, 0).confidence_interval(0.95)
    np.testing.assert_allclose(interval(means, [of_draws]), expected, rtol=0.01)


def test_draws_that_agree_stretch_nothing():
    means = np.random.default_rng(0).normal(0.5, 0.01, size=1000)
    assert interval(means, [np.full(5, 0.5)]) == interval(means, [np.array([0.5])])
    assert interval(means, [np.array([0.5, 0.5001])]) == pytest.approx(interval(means, [np.array([0.50005])]), rel=1e-4)


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.0), (0.97, 0.0), (-0.97, -1.0)])
def test_a_stretched_interval_stays_among_what_can_be(shift, least):
    of_draws = np.array([0.0, 0.03]) + shift
    means = np.random.default_rng(0).choice(of_draws, size=1000)
    low, high = interval(means, [of_draws], least)
    assert (low, high) == pytest.approx((max(least, shift - 0.08), min(1, shift + 0.11)), abs=0.02)
    assert least <= low < high <= 1


def test_a_shifted_bootstrap_is_laid_about_the_mean():
    """Macro-F1 of few samples a class is lower in replicates than it is: its interval once missed the value."""
    of_draws = np.array([0.59, 0.60, 0.61])
    means = np.random.default_rng(0).normal(0.58, 0.004, size=1000)
    low, high = interval(means, [of_draws])
    assert (low + high) / 2 == pytest.approx(0.6, abs=0.002)


def test_tasks_with_draws_of_their_own_pool_what_is_known_of_their_spread():
    generator = np.random.default_rng(0)
    of_tasks = [generator.normal(0.5, 0.05, 5) for _ in range(8)]
    means = np.random.default_rng(1).normal(np.mean(of_tasks), 0.05 / np.sqrt(40), 4000)
    alone, together = (np.diff(interval(means, found))[0] for found in ([np.mean(of_tasks, axis=0)], of_tasks))
    plain = np.diff(interval(means, [np.array([0.5])]))[0]
    assert plain < together < 1.1 * plain  # some 32 degrees of freedom, not 4
    assert alone > together


@pytest.mark.parametrize("others", [1.0, 1.5])
def test_the_degrees_of_freedom_of_two_tasks_are_welchs(others):
    """`others` is how many times the variance is that of the draws: samples add to it, and their spread is known."""
    of_tasks = [np.array([0.49, 0.50, 0.52]), np.array([0.49, 0.51])]
    error = np.sqrt(others * sum(of.var(ddof=1) / len(of) for of in of_tasks)) / 2
    freedom = others**2 * ttest_ind(*of_tasks, equal_var=False).df
    middle = np.mean([of.mean() for of in of_tasks])
    means = middle + error * norm.ppf(np.linspace(0.0005, 0.9995, 1000))
    expected = middle + error * t.ppf([0.025, 0.975], freedom)
    np.testing.assert_allclose(interval(means, of_tasks), expected, atol=0.02 * error)


def test_tasks_of_unequal_draws_still_stretch():
    means = np.random.default_rng(1).normal(0.5, 0.02, 4000)
    found = interval(means, [np.array([0.4, 0.6]), np.array([0.5, 0.55, 0.45]), np.array([0.5])])
    assert np.diff(found)[0] > 1.5 * np.diff(interval(means, [np.array([0.5])]))[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "draws", "spread", "least"),
    [(600, 3, 0.5, 0.86), (150, 5, 0.5, 0.91), (600, 5, 0.5, 0.91), (600, 5, 0.0, 0.94), (600, 10, 0.2, 0.91)],
)
def test_intervals_hold_the_truth_about_as_often_as_they_claim(samples, draws, spread, least):
    """Samples are easy or hard and draws good or bad, both normal on the scale of log-odds."""
    many = np.random.default_rng(0).normal(size=(2, 400_000))
    truth = np.mean(1 / (1 + np.exp(-1 - 1.5 * many[0] - spread * many[1])))
    held = {"stretched": 0, "plain": 0}
    for seed in range(200):
        generator = np.random.default_rng([samples, draws, seed])
        odds = 1 + generator.normal(0, 1.5, samples) + generator.normal(0, spread, (draws, 1))
        scores = (generator.random((draws, samples)) < 1 / (1 + np.exp(-odds))).astype(float)
        means, of_draws = of_scores(scores, np.arange(samples)), scores.mean(axis=1)
        for name, (low, high) in {
            "stretched": interval(means, [of_draws]),
            "plain": interval(means, [of_draws.mean(keepdims=True)]),
        }.items():
            held[name] += low <= truth <= high
    assert held["stretched"] >= least * 200
    assert held["stretched"] >= held["plain"]

"""Noise of samples crossed with draws: against the analysis of variance, Student, Welch and Wilson."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formula
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t, ttest_1samp, ttest_ind
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from savs_analyze.measure.crossed import Noise, draws_per_samples, noise, on_clusters
from savs_analyze.measure.intervals import Scores, chances, holm, interval_of_mean, interval_of_share
from savs_analyze.measure.units import Units, class_metrics, class_slopes

seeds = st.integers(0, 2**32 - 1)


def of_scores(scores, clusters=None):
    """Return means over draws of `[draw, unit]` scores, NaN where a draw did not test the unit, and their noise."""
    clusters = np.arange(scores.shape[1]) if clusters is None else clusters
    values, draws = [], []
    for of_draw in scores:
        tested = np.isfinite(of_draw)
        values.append([of_draw[tested].mean()])
        draws.append((clusters[tested], (of_draw[tested] - values[-1])[:, None] / tested.sum()))
    return np.mean(values, axis=0), noise(np.array(values), on_clusters(draws))


def table(seed, draws=4, samples=30):
    generator = np.random.default_rng(seed)
    return generator.normal(size=samples) + generator.normal(size=(draws, 1)) + generator.normal(size=(draws, samples))


def width(scores, clusters=None):
    low, high = interval_of_share(*of_scores(scores, clusters))
    return (high - low).item()


@settings(max_examples=10)
@given(seed=seeds)
def test_the_parts_are_the_mean_squares_of_a_two_way_table(seed):
    scores = table(seed)
    draws, samples = scores.shape
    long = pd.DataFrame(
        {
            "y": scores.ravel(),
            "draw": np.repeat(np.arange(draws), samples),
            "sample": np.tile(np.arange(samples), draws),
        }
    )
    squares = anova_lm(formula.ols("y ~ C(draw) + C(sample)", long).fit())["mean_sq"] / scores.size
    _, found = of_scores(scores)
    assert found.samples.item() == pytest.approx(squares["C(sample)"])
    assert found.own.item() == pytest.approx(squares["C(draw)"])
    assert found.residual.item() == pytest.approx(squares["Residual"])
    assert found.variance().item() == pytest.approx(
        squares["C(sample)"] + max(squares["C(draw)"], squares["Residual"]) - squares["Residual"]
    )


@given(seed=seeds)
def test_names_and_orders_of_samples_and_draws_change_nothing(seed):
    generator, scores = np.random.default_rng(seed), table(seed)
    shuffled = scores[generator.permutation(len(scores))][:, generator.permutation(scores.shape[1])]
    (value, found), (other, same) = of_scores(scores), of_scores(shuffled, generator.permutation(1000)[:30])
    assert value == pytest.approx(other)
    assert found.variance() == pytest.approx(same.variance())


def test_what_a_draw_did_not_test_does_not_count():
    scores = np.array([[1.0, np.nan, 0.0, np.nan], [np.nan, 0.0, np.nan, 1.0]])
    value, found = of_scores(scores)
    assert value.item() == 0.5
    # No sample is in two draws: all that samples add is between draws too, and counts once.
    assert found.variance().item() == pytest.approx(found.residual.item())


def test_every_draw_weighs_the_same_whatever_its_size():
    scores = np.full((2, 200), np.nan)
    scores[0], scores[1, :2] = 1, 0
    assert of_scores(scores)[0].item() == 0.5


@pytest.mark.parametrize(("right", "count"), [(300, 400), (20, 20), (0, 8), (1, 1000)])
def test_the_interval_of_one_draw_is_wilsons(right, count):
    """20 of 20 right once had the interval from 100 to 100."""
    low, high = interval_of_share(*of_scores((np.arange(count) < right).astype(float)[None]))
    score = t.ppf(0.975, count - 1)  # Student's in the place of the normal one
    expected = proportion_confint(right, count, alpha=2 * norm.sf(score), method="wilson")
    assert (low.item(), high.item()) == pytest.approx(expected, abs=2e-3)
    assert 0 <= low.item() < high.item() <= 1


def test_whole_groups_make_wider_intervals():
    # Groups of four that are right or wrong together carry a quarter of the information.
    scores = np.repeat(np.arange(100) < 50, 4).astype(float)[None]
    assert width(scores, np.arange(400) // 4) == pytest.approx(2 * width(scores), rel=0.02)


def test_draws_that_disagree_make_wider_intervals():
    same = np.tile((np.arange(200) < 100).astype(float), (4, 1))
    differing = same.copy()
    differing[2:] = 1
    assert width(differing) > width(same)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_where_only_draws_vary_the_interval_is_students(count):
    of_draws = 0.5 + 0.01 * np.random.default_rng(count).normal(size=count)
    value, found = of_scores(np.tile(of_draws[:, None], 50))
    expected = ttest_1samp(of_draws, 0).confidence_interval(0.95)
    assert np.ravel(interval_of_mean(value, found)) == pytest.approx(list(expected))
    assert chances(value, found).item() == pytest.approx(ttest_1samp(of_draws, 0).pvalue, rel=1e-6)


@settings(max_examples=20)
@given(seed=seeds)
def test_where_only_draws_vary_two_tasks_are_welchs(seed):
    generator = np.random.default_rng(seed)
    one, other = generator.normal(0.5, 0.1, 3), generator.normal(0.5, 0.3, 5)
    noises = [of_scores(np.tile(of_draws[:, None], 9))[1] for of_draws in (one, other)]
    # The difference of two means is twice the mean of one and the negative other.
    found = chances(np.array([(one.mean() - other.mean()) / 2]), Noise.over_tasks(noises))
    assert found.item() == pytest.approx(ttest_ind(one, other, equal_var=False).pvalue, rel=1e-6)


def test_a_mean_over_tasks_has_the_variance_of_independent_ones():
    noises = [of_scores(table(seed, samples=20 + seed))[1] for seed in range(3)]
    total = sum(one.samples + np.maximum(one.own, one.residual) - one.residual for one in noises).item()
    assert Noise.over_tasks(noises).variance().item() == pytest.approx(total / 9)


@given(seed=seeds, level=st.floats(0.5, 0.999))
def test_p_is_the_level_at_which_the_interval_meets_zero(seed, level):
    value, found = of_scores(table(seed, samples=12))
    p = chances(value, found)
    low, high = interval_of_mean(value, found, 1 - p)
    assert min(abs(low.item()), abs(high.item())) < 1e-6 * max(1, abs(value.item()))
    scores = Scores.of(found).exceeded(1 - level).item()
    ends = sorted(t.isf((1 - level) / 2, [found.freedom_of_samples().item(), found.freedom_of_draws().item()]))
    assert ends[0] - 1e-9 <= scores <= ends[1] + 1e-9
    assert chances(value, found, draws_known=True) <= p + 1e-12


def test_few_draws_are_told_from_few_samples():
    _, found = of_scores(table(0, draws=2, samples=200))
    assert Scores.of(found, draws_known=True).exceeded(0.05).item() < Scores.of(found).exceeded(0.05).item()


@given(seed=seeds, classes=st.integers(2, 5))
def test_slopes_of_class_metrics_are_their_differences(seed, classes):
    counts = np.random.default_rng(seed).integers(0, 20, 3 * classes).astype(float)
    counts[2 * classes :] = np.minimum(counts[2 * classes :], counts[:classes])
    counts[:classes] += 1  # a class without labels is left out of the mean: no slope leads there
    for name, slopes in class_slopes(counts).items():
        assert slopes @ counts == pytest.approx(0, abs=1e-12)
        step = 1e-6
        there = (counts[:classes] + counts[classes : 2 * classes] > 0).repeat(3).reshape(-1, 3).T.ravel()
        for place in np.flatnonzero(there):
            moved = counts.copy()
            moved[place] += step
            difference = (class_metrics(moved)[name] - class_metrics(counts)[name]) / step
            assert slopes[place] == pytest.approx(float(difference), abs=1e-4)


def test_influences_are_what_leaving_a_unit_out_changes():
    generator = np.random.default_rng(0)
    label, predicted = generator.integers(0, 3, (2, 400))
    from savs_analyze.measure.metrics import unit_scores

    def units(kept):
        described = {"sample": np.arange(len(kept)), "group": np.full(len(kept), -1), "slot": np.full(len(kept), -1)}
        return unit_scores("accuracy", predicted[kept], label[kept], **described, classes=3)

    everything = units(np.arange(400))
    assert isinstance(everything, Units)
    for place in range(20):
        without = units(np.delete(np.arange(400), place))
        for metric, influence in everything.influences().items():
            assert influence.sum() == pytest.approx(0, abs=1e-12)
            change = everything.values()[metric] - without.values()[metric]
            assert influence[place] == pytest.approx(change, abs=2e-5)


@pytest.mark.parametrize("draws", [2, 3, 6])
def test_columns_that_move_together_count_once(draws):
    generator = np.random.default_rng(draws)
    moves, of_samples = generator.normal(size=(draws, 1)), generator.normal(size=(50, 1))
    once = draws_per_samples(moves, of_samples)
    assert once[1] == pytest.approx(draws - 1)
    assert draws_per_samples(np.tile(moves, 5), np.tile(of_samples, 5)) == pytest.approx(once)
    # Over draws alone they move together, or there are two draws only, which do not show it.
    for of_draws in (np.tile(moves, 5), *([generator.normal(size=(2, 5))] if draws == 2 else [])):
        assert draws_per_samples(of_draws, generator.normal(size=(500, 5)))[1] == pytest.approx(draws - 1)


def test_columns_that_move_apart_count_each():
    generator = np.random.default_rng(0)
    shares, freedoms = zip(
        *(draws_per_samples(generator.normal(size=(20, 5)), generator.normal(size=(500, 5))) for _ in range(200)),
        strict=True,
    )
    assert np.mean(shares) == pytest.approx(1 / 20 / 500, rel=0.05)  # variances of 1, of 20 draws and of 500 samples
    assert np.mean(freedoms) == pytest.approx(19 * 5, rel=0.05)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(chances):
    assert holm(chances) == pytest.approx(multipletests(chances, method="holm")[1])


def test_of_one_cluster_nothing_is_known():
    """All samples in one group once gave a variance of almost nothing, and equal methods "differed" in 71 %."""
    scores = np.random.default_rng(0).random((5, 40)) < 0.6
    value, found = of_scores(scores.astype(float), np.zeros(40, dtype=int))
    low, high = interval_of_share(value, found)
    assert (low.item(), high.item()) == pytest.approx((0, 1), abs=0.01)
    assert chances(np.array([0.5]), found.with_two_samples_more(40)).item() > 0.5


@pytest.mark.parametrize(
    "sizes", [[200, *[1] * 200], [200, *[5] * 40], [100, 100, *[1] * 200], [*(120 // k for k in range(1, 80))]], ids=str
)
def test_groups_of_unequal_size_count_for_as_many_as_vary_as_much(sizes):
    """A large group beside many samples once left intervals that held the truth in 66 to 90 %."""
    cluster, held = np.repeat(np.arange(len(sizes)), sizes), 0
    for seed in range(150):
        generator = np.random.default_rng(seed)
        odds = 0.5 * generator.normal(size=len(sizes))[cluster] + generator.normal(size=len(cluster))
        scores = generator.random((3, len(cluster))) < 1 / (1 + np.exp(-odds))
        (low,), (high,) = interval_of_share(*of_scores(scores.astype(float), cluster))
        held += low <= 0.5 <= high
    assert held >= 0.92 * 150


def test_chances_too_small_for_numbers_are_no_fault():
    _, found = of_scores(np.random.default_rng(0).random((1, 4000)) < 0.9999)
    with np.errstate(all="raise", under="ignore"):
        assert 0 <= chances(np.array([0.9]), found).item() < 1e-100

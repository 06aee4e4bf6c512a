"""Metrics of ranks, held to scikit-learn, their influences to weights that are moved, their intervals to the truth."""

import numpy as np
import pytest
from sklearn import metrics

from savs_analyze.measure.crossed import noise
from savs_analyze.measure.intervals import interval_of_share
from savs_analyze.measure.ranking import LEAST_NEGATIVES, auroc, average_precision, recall_at

WEIGHTED = {"auroc": metrics.roc_auc_score, "average precision": metrics.average_precision_score}
DIFFERENT = {"different": 0, "in twenty steps": 20, "in two steps": 2}


def world(seed, samples, distance=1.0, steps=0, positives=0.4):
    """Return scores of positives that are higher by a distance, in so many steps, and which are positive."""
    generator = np.random.default_rng(seed)
    positive = generator.random(samples) < positives
    score = generator.normal(size=samples) + distance * positive
    return (np.round(steps * np.clip((score + 3) / 7, 0, 1)) / steps if steps else score), positive


def on_the_curve(score, positive, rate):
    false, hits, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    return np.interp(rate, np.round(false, 14), hits)


OURS = {
    "auroc": (auroc, lambda score, positive: metrics.roc_auc_score(positive, score)),
    "average precision": (
        average_precision,
        lambda score, positive: metrics.average_precision_score(positive, score),
    ),
    "recall at 5 %": (
        lambda score, positive: recall_at(score, positive, 0.05),
        lambda score, positive: on_the_curve(score, positive, 0.05),
    ),
    "recall at 1 %": (
        lambda score, positive: recall_at(score, positive, 0.01),
        lambda score, positive: on_the_curve(score, positive, 0.01),
    ),
}


@pytest.mark.parametrize("steps", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("name", OURS)
def test_values_are_scikit_learns(name, steps):
    ours, theirs = OURS[name]
    for seed, samples in enumerate((3, 10, 100, 1000, 1000)):
        score, positive = world(seed, samples, steps=steps)
        positive[:2] = True, False
        assert ours(score, positive).value == pytest.approx(theirs(score, positive), abs=1e-12)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("case", ["perfect", "inverted", "all alike", "certain"])
def test_values_at_the_edges_are_scikit_learns(name, case):
    positive = np.arange(200) % 4 == 0
    score = {"perfect": positive * 1.0, "inverted": 1.0 - positive, "all alike": np.ones(200)}.get(case)
    ours, theirs = OURS[name]
    if score is None:  # a method that is certain has odds of infinity; its ranks are those of large numbers
        score, large = np.where(positive, np.inf, -np.inf), np.where(positive, 9.0, -9.0)
        assert ours(score, positive).value == theirs(large, positive)
    else:
        assert ours(score, positive).value == pytest.approx(theirs(score, positive), abs=1e-12)
    assert np.isfinite(ours(score, positive).influence).all()


@pytest.mark.parametrize("steps", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("name", OURS)
def test_influences_sum_to_nothing(name, steps):
    score, positive = world(1, 500, steps=steps)
    assert OURS[name][0](score, positive).influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("steps", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("name", ["auroc", "average precision"])
def test_an_influence_is_the_slope_by_a_samples_weight_and_near_what_leaving_it_out_changes(name, steps):
    score, positive = world(2, 600, steps=steps)
    found, left = OURS[name][0](score, positive).influence[::7], []
    for place, influence in zip(range(0, 600, 7), found, strict=True):
        more, less = np.ones(600), np.ones(600)
        more[place], less[place] = 1 + 1e-4, 1 - 1e-4
        weighted = [WEIGHTED[name](positive, score, sample_weight=weights) for weights in (more, less)]
        assert influence == pytest.approx((weighted[0] - weighted[1]) / 2e-4, abs=1e-8)
        kept = np.arange(600) != place
        left.append(WEIGHTED[name](positive, score) - WEIGHTED[name](positive[kept], score[kept]))
    assert np.corrcoef(left, found)[0, 1] > 0.995


@pytest.mark.parametrize("rate", LEAST_NEGATIVES)
def test_the_variance_of_recall_at_a_rate_is_near_that_of_other_samples(rate):
    """A quantile of few negatives decides: it is near, not equal."""
    found = [recall_at(*world(seed, 3000), rate) for seed in range(300)]
    said = np.mean([(one.influence**2).sum() for one in found])
    assert said == pytest.approx(np.var([one.value for one in found]), rel=0.2)


@pytest.mark.parametrize("rate", LEAST_NEGATIVES)
def test_of_scores_that_all_differ_it_is_the_best_recall_of_any_threshold(rate):
    score, positive = world(4, 1000)
    false, hits, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    assert recall_at(score, positive, rate).value == pytest.approx(hits[false <= rate + 1e-12].max())


def test_the_variance_of_auroc_is_delongs():
    """The sums over pairs, written out."""
    score, positive = world(3, 80, steps=20)
    pairs = (score[positive][:, None] > score[~positive]) + 0.5 * (score[positive][:, None] == score[~positive])
    of_positives, of_negatives = pairs.mean(axis=1), pairs.mean(axis=0)
    influence = auroc(score, positive).influence
    expected = of_positives.var() / len(of_positives) + of_negatives.var() / len(of_negatives)
    assert (influence**2).sum() == pytest.approx(expected)


def intervals(seed, samples, steps):
    """Return the intervals of one table, of one method that learns nothing."""
    score, positive = world(seed, samples, steps=steps, positives=0.3)
    found = {name: ours(score, positive) for name, (ours, _) in OURS.items()}
    values = np.array([[one.value for one in found.values()]])
    influences = [np.column_stack([one.influence for one in found.values()])]
    return dict(zip(found, np.transpose(interval_of_share(values[0], noise(values, influences))), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("samples", [800, 4000])
@pytest.mark.parametrize("steps", [0, 20], ids=["different", "in twenty steps"])
def test_intervals_hold_the_truth_as_often_as_they_say(samples, steps):
    """95 of 100 hold the value of two million samples; a few less where the cut is at six false positives."""
    score, positive = world(99, 2_000_000, steps=steps, positives=0.3)
    truth = {name: theirs(score, positive) for name, (_, theirs) in OURS.items()}
    hits = {name: [] for name in OURS}
    for seed in range(500):
        for name, (low, high) in intervals(seed, samples, steps).items():
            hits[name].append(low <= truth[name] <= high)
    covered = {name: float(np.mean(of)) for name, of in hits.items()}
    least = {"recall at 1 %": 0.88} if samples == 800 else {}
    assert all(least.get(name, 0.92) <= of <= 0.98 for name, of in covered.items()), covered

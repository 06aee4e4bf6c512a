import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_analyze.intervals import interval, replicates
from savs_analyze.metrics import METRICS, unit_scores

NONE = np.array([-1])


def square(*correct):
    """Return the scores of one group; slots are question 0 on both images, then question 1 on both."""
    units = unit_scores(
        "question-image-group", np.array(correct, dtype=bool), np.arange(4), np.zeros(4, int), np.arange(4)
    )
    return {name: float(values[0]) for name, values in units.scores.items()}


@pytest.mark.parametrize(
    ("correct", "group", "question", "image", "raw"),
    [
        ((1, 1, 1, 1), 1, 1.0, 1.0, 1.0),
        ((1, 1, 0, 0), 0, 0.5, 0.0, 0.5),  # the first question on both images
        ((1, 0, 1, 0), 0, 0.0, 0.5, 0.5),  # both questions on the first image
        ((1, 0, 0, 1), 0, 0.0, 0.0, 0.5),  # the answer "yes" to what is true only
        ((0, 1, 1, 1), 0, 0.5, 0.5, 0.75),
    ],
)
def test_naturalbench_scores_of_one_group(correct, group, question, image, raw):
    expected = {"group_accuracy": group, "question_accuracy": question, "image_accuracy": image, "accuracy": raw}
    assert square(*correct) == expected


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.permutations(range(12)))
def test_the_order_of_samples_does_not_matter(correct, order):
    group, slot = np.repeat([5, 2, 9], 4), np.tile(np.arange(4), 3)
    correct, order = np.array(correct), np.array(order)
    plain = unit_scores("question-image-group", correct, np.arange(12), group, slot)
    mixed = unit_scores("question-image-group", correct[order], order, group[order], slot[order])
    assert plain.unit.tolist() == mixed.unit.tolist()
    for name in METRICS["question-image-group"]:
        assert (plain.scores[name] == mixed.scores[name]).all()


def test_accuracy_keeps_groups_together_and_others_apart():
    units = unit_scores(
        "accuracy", np.array([True, False, True]), np.array([7, 8, 9]), np.array([3, 3, -1]), np.full(3, -1)
    )
    assert units.unit.tolist() == [7, 8, 9]
    assert units.cluster[0] == units.cluster[1] != units.cluster[2]
    assert units.scores["accuracy"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("slot", [[0, 1, 2], [0, 1, 2, 2]])
def test_an_incomplete_group_is_refused(slot):
    zeros = np.zeros(len(slot), dtype=int)
    with pytest.raises(ValueError, match="slots 0, 1, 2, 3"):
        unit_scores("question-image-group", zeros > 0, zeros, zeros, np.array(slot))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        unit_scores("f1", NONE > 0, NONE, NONE, NONE)


def test_interval_of_one_draw_is_the_binomial_one():
    scores = (np.arange(400) < 300).astype(float)[None]
    low, high = interval(replicates(scores, np.arange(400)))
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - half, abs=0.006)
    assert high == pytest.approx(0.75 + half, abs=0.006)


def test_whole_groups_make_wider_intervals():
    # Groups of four that are right or wrong together carry a quarter of the information.
    scores = np.repeat(np.arange(100) < 50, 4).astype(float)[None]
    alone, together = (np.diff(interval(replicates(scores, ids)))[0] for ids in (np.arange(400), np.arange(400) // 4))
    assert together == pytest.approx(2 * alone, rel=0.1)


def test_draws_that_disagree_make_wider_intervals():
    same = np.tile((np.arange(200) < 100).astype(float), (4, 1))
    differing = same.copy()
    differing[2:] = 1
    assert np.diff(interval(replicates(differing, np.arange(200)))) > np.diff(
        interval(replicates(same, np.arange(200)))
    )


def test_every_draw_weighs_the_same_in_value_and_interval():
    # One draw tested 2 units, the other 200: the mean of their means is 0.5, whatever their sizes.
    scores = np.full((2, 200), np.nan)
    scores[0], scores[1, :2] = 1, 0
    means = replicates(scores, np.arange(200))
    assert np.nanmean(means) == pytest.approx(0.5, abs=0.1)


def test_untested_samples_do_not_count():
    scores = np.array([[1.0, np.nan, 1.0, np.nan], [np.nan, 1.0, np.nan, 1.0]])
    means = replicates(scores, np.arange(4))
    assert (means[np.isfinite(means)] == 1).all()


def test_same_seed_same_interval():
    scores = np.random.default_rng(0).random((3, 50))
    assert interval(replicates(scores, np.arange(50))) == interval(replicates(scores, np.arange(50)))

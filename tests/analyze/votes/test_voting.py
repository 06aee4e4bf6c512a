"""Votes against one number at a time, and what holds of them whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax as scipy_softmax
from scipy.stats import zscore

from kit import transcription as slow
from savs_analyze.votes.voting import (
    allowed_classes,
    class_favoured_votes,
    class_similarities,
    count_votes,
    decided,
    first_best,
    majority_vote,
    restrict,
    shares,
    soft_votes,
    softmax,
    winner,
)

seeds = st.integers(0, 2**32 - 1)


def similarities(seed, samples=5, classes=4, heads=6):
    return np.random.default_rng(seed).normal(size=(samples, classes, heads))


@pytest.mark.parametrize(
    ("votes", "winner"),
    [
        ([[0, 1, 1]], 1),  # the majority
        ([[2, 1, 1, 2]], 2),  # a tie goes to the class of the best head among the tied ones
        ([[0, 1, 2, 2, 1]], 1),  # ... not to the class of the very best head
        ([[3]], 3),
    ],
)
def test_majority_vote(votes, winner):
    assert majority_vote(np.array(votes), 4).tolist() == [winner]


@settings(max_examples=50)
@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.integers(0, 3)))
def test_no_class_has_more_votes_than_the_winner(votes):
    winners = majority_vote(votes, 4)
    for row, won in zip(votes, winners, strict=True):
        assert (row == won).sum() == np.bincount(row).max()


def test_unanimous_heads_cannot_be_overruled():
    votes = np.full((3, 5), 2)
    assert majority_vote(votes, 4).tolist() == [2, 2, 2]


@settings(max_examples=100)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.sampled_from([0, 1e-300, 1, 1, 2])),
    seeds,
)
def test_the_class_that_wins_is_the_most_probable_one(votes, seed):
    """Of equal ones it is a hair more probable; nothing else changes by more than a hair."""
    found = shares(votes)
    largest = found == found.max(axis=1, keepdims=True)
    predicted = (largest * np.random.default_rng(seed).uniform(1, 2, found.shape)).argmax(axis=1)
    told = decided(found, predicted)
    others = told.copy()
    others[np.arange(len(told)), predicted] = -1
    assert (told[np.arange(len(told)), predicted] > others.max(axis=1)).all()
    assert told == pytest.approx(found, abs=2e-9)
    assert told.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (told >= 0).all()
    alone = largest.sum(axis=1) == 1
    assert (told[alone] == found[alone]).all()


def test_a_winner_with_less_than_the_largest_share_gets_a_hair_more_than_that():
    assert decided(np.array([[0.7, 0.3], [1.0, 0.0]]), np.array([1, 1])) == pytest.approx(
        np.array([[0.42, 0.58], [0.0, 1.0]]), abs=2e-9
    )


@pytest.mark.parametrize(
    ("votes", "weights", "scores", "won"),
    [
        ([0, 1, 1], [3, 1, 1], [3, 2, 0], 0),  # one heavy head against two
        ([0, 1, 1], [2, 1, 1], [2, 2, 0], 0),  # a tie goes to the first head among the tied voters
        ([2, 1, 1], [0.3, 0.1, 0.2], [0, 0.1 + 0.2, 0.3], 2),  # equal but for the last bit
        ([1, 0, 2], [0, 0, 0], [0, 0, 0], 1),  # heads that know nothing: the first
    ],
)
def test_weights_are_what_a_head_counts(votes, weights, scores, won):
    predictions = np.array([votes])
    found = count_votes(predictions, 3, np.array(weights, dtype=float))
    assert found.tolist() == [scores]
    assert winner(found, predictions).tolist() == [won]


@pytest.mark.parametrize(("lead", "won"), [(3e-10, 1), (2e-9, 0)])
def test_weights_are_compared_to_nine_digits(lead, won):
    predictions = np.array([[1, 0]])
    assert winner(np.array([[0.3 + lead, 0.3]]), predictions).tolist() == [won]


@given(seeds, st.floats(1e-6, 1e6), st.booleans())
def test_the_first_best_is_the_highest_whatever_the_scale(seed, scale, negative):
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(1.0, 6), (3, 1)), axis=1) - 6 * negative
    scores[:, 1] = np.where(scores[:, 1] == scores.max(axis=1), scores[:, 1], -np.inf)
    assert first_best(scores * scale).tolist() == [row.index(max(row)) for row in scores.tolist()]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("lead", "won"), [(3e-13, 0), (2e-12, 1)])
def test_scores_are_compared_to_twelve_digits_of_the_largest(scale, lead, won):
    scores = np.array([[0.3, 0.3 + lead, -1.0]]) * scale
    assert first_best(scores).tolist() == [won]


@pytest.mark.parametrize("scores", [[0.0, 0.0], [2.0, 2.0], [-np.inf, 0.0]])
def test_of_equal_scores_the_first_is_best(scores):
    assert first_best(np.array([scores])).tolist() == [scores.index(max(scores))]


@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.integers(0, 3)), seeds)
def test_equal_weights_are_the_majority(votes, seed):
    weight = np.random.default_rng(seed).uniform(0.01, 100)
    weighted = count_votes(votes, 4, np.full(votes.shape[1], weight))
    assert (winner(weighted, votes) == majority_vote(votes, 4)).all()


@given(seeds, st.floats(0.01, 100))
def test_soft_votes_are_the_mean_of_scipys_softmax(seed, temperature):
    found = similarities(seed)
    assert soft_votes(found, temperature) == pytest.approx(scipy_softmax(found / temperature, axis=1).mean(axis=2))


@pytest.mark.parametrize(("temperature", "limit"), [(1e-4, "the head's choice"), (1e9, "nothing")])
def test_temperature_goes_from_the_heads_choice_to_nothing(temperature, limit):
    found = similarities(0, heads=1)
    chosen = np.eye(4)[found[:, :, 0].argmax(axis=1)]
    expected = chosen if limit == "the head's choice" else np.full((5, 4), 0.25)
    assert soft_votes(found, temperature) == pytest.approx(expected, abs=1e-6)


def test_soft_votes_do_not_overflow():
    assert soft_votes(np.array([[[1e5], [0.0]], [[-1e5], [0.0]]]), 0.01).tolist() == [[1, 0], [0, 1]]


@given(seeds, st.integers(1, 6))
def test_class_favoured_votes_count_what_a_classs_own_heads_say(seed, k):
    found = similarities(seed)
    heads = np.random.default_rng(seed).integers(0, 6, size=(4, k))
    for sample, scores in zip(found, class_favoured_votes(found, heads), strict=True):
        expected = [sum(slow.first_best(sample[:, h].tolist()) == c for h in of) for c, of in enumerate(heads)]
        assert scores.tolist() == expected


@given(seeds, st.integers(1, 6))
def test_class_similarities_are_means_over_a_classs_own_heads(seed, k):
    found = similarities(seed)
    heads = np.random.default_rng(seed).integers(0, 6, size=(4, k))
    plain, normalised = (class_similarities(found, heads, normalise) for normalise in (False, True))
    scored = zscore(found, axis=1)
    for label, of_class in enumerate(heads):
        assert plain[:, label] == pytest.approx(found[:, label, of_class].mean(axis=1))
        assert normalised[:, label] == pytest.approx(scored[:, label, of_class].mean(axis=1))


@given(seeds)
def test_normalising_takes_a_heads_scale_and_level_away(seed):
    found, generator = similarities(seed), np.random.default_rng(seed)
    heads = generator.integers(0, 6, size=(4, 3))
    moved = found * generator.uniform(0.1, 10, size=6) + generator.normal(size=6) * 5
    assert class_similarities(moved, heads, True) == pytest.approx(class_similarities(found, heads, True))


def test_a_head_to_which_all_classes_are_alike_says_nothing():
    found = np.full((2, 3, 1), 0.7)
    assert (class_similarities(found, np.zeros((3, 1), dtype=int), True) == 0).all()


def test_whether_a_head_says_nothing_is_asked_sample_by_sample_of_each_alone():
    found = np.array([[[7.0, 0.0], [7.0, 1e-13], [7.0, 2e-13]]])  # the second head's scale is not the first one's
    heads = np.array([[0, 1]] * 3)
    edge = np.sqrt(1.5)
    assert class_similarities(found, heads, True) == pytest.approx(np.array([[-edge / 2, 0, edge / 2]]))


@given(seeds, st.sampled_from([1.0, 1e4]))
def test_softmax_is_scipys_and_does_not_overflow(seed, scale):
    scores = np.random.default_rng(seed).normal(size=(5, 4)) * scale
    assert softmax(scores) == pytest.approx(scipy_softmax(scores, axis=1))


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ([[0, 2]], [[True, False, True]]),
        ([[1, -1]], [[False, True, False]]),  # -1 pads
        ([[-1, -1]], [[True, True, True]]),  # nothing printed allows everything
        ([[2, 2]], [[False, False, True]]),
    ],
)
def test_printed_options_are_allowed(options, allowed):
    assert allowed_classes(np.array(options), 3).tolist() == allowed


@given(seeds)
def test_restricted_heads_choose_the_best_of_what_is_allowed(seed):
    found = similarities(seed)
    generator = np.random.default_rng(seed)
    allowed = generator.random((5, 4)) < 0.5
    allowed[np.arange(5), generator.integers(0, 4, 5)] = True
    chosen = restrict(found, allowed).argmax(axis=1)
    for sample, head in np.ndindex(5, 6):
        among = np.flatnonzero(allowed[sample])
        assert chosen[sample, head] == among[found[sample, among, head].argmax()]
    for scores in (
        soft_votes(restrict(found, allowed), 0.5),
        softmax(class_similarities(restrict(found, allowed), np.zeros((4, 1), dtype=int), True)),
        shares(np.where(allowed, 0.0, -np.inf)),
    ):
        assert scores.sum(axis=1) == pytest.approx(np.ones(5))
        assert (scores[~allowed] == 0).all()


def test_nothing_is_restricted_where_nothing_is_printed():
    found = similarities(0)
    assert restrict(found, None) is found
    assert (restrict(found, np.ones((5, 4), dtype=bool)) == found).all()


@pytest.mark.parametrize(
    ("votes", "expected"),
    [([3, 1, 0], [0.75, 0.25, 0]), ([0, 0, 0], [1 / 3] * 3), ([-np.inf, 1, 1], [0, 0.5, 0.5])],
)
def test_shares(votes, expected):
    assert shares(np.array([votes], dtype=float))[0] == pytest.approx(expected)

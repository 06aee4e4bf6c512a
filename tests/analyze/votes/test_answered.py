"""Answers that are there before anything is learnt, against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs_analyze.votes.answered import TOGETHER, DebiasedAnswer, SaidAnswer
from savs_analyze.votes.batch import Batch

NONE = np.empty(0, dtype=np.int64)


def test_what_was_said_and_what_names_no_class():
    vectors = np.zeros((3, 1, 4), dtype=np.float16)
    vectors[0, 0, 2] = vectors[2, 0, 0] = 1
    said = SaidAnswer(heads=np.zeros(1, dtype=np.int64), classes=3)
    found = said.votes(Batch(np.zeros(1, dtype=np.int64), vectors))
    assert found.predicted.tolist() == [2, -1, 0]
    assert not said.probabilities(found.scores).any()


def batch(logits, groups, allowed=None):
    """Return a batch of whole groups of four, in a shuffled order, and that order."""
    order = np.random.default_rng(1).permutation(4 * groups)
    places = np.array([(group, slot) for group in range(groups) for slot in range(4)])[order]
    allowed = np.ones(logits.shape, dtype=bool) if allowed is None else allowed
    return Batch(NONE, np.empty((4 * groups, 0, 1)), allowed[order], logits[order], places), order


@pytest.mark.parametrize("by", TOGETHER)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_debiased_answers_against_every_division(by, seed):
    """Of all ways to give half of what belongs together each answer, it is the one with the most odds in its favour."""
    logits = np.random.default_rng(seed).normal(size=(12, 2))
    asked, order = batch(logits, groups=3)
    found = np.empty(12, dtype=np.int64)
    found[order] = DebiasedAnswer(heads=NONE, by=by).votes(asked).predicted
    odds = logits[:, 0] - logits[:, 1]
    for group, slots in product(range(3), TOGETHER[by]):
        rows = 4 * group + np.array(slots)
        ways = [way for way in product((0, 1), repeat=len(rows)) if sum(way) == len(rows) // 2]
        best = max(ways, key=lambda way: sum(odds[row] for row, one in zip(rows, way, strict=True) if one == 0))
        assert found[rows].tolist() == list(best)


@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_a_bias_to_one_answer_changes_no_debiased_one(seed, shift):
    logits = np.random.default_rng(seed).normal(size=(8, 2))
    for by in TOGETHER:
        vote = DebiasedAnswer(heads=NONE, by=by)
        plain, biased = (vote.votes(batch(one, 2)[0]).predicted for one in (logits, logits + np.array([shift, 0])))
        np.testing.assert_array_equal(plain, biased)


def test_the_two_printed_classes_of_four():
    """Multiple choice and yes or no in one task: each sample has two of its four classes."""
    logits = np.log(np.array([[0.4, 0.3, 0.2, 0.1]] * 8))
    allowed = np.zeros((8, 4), dtype=bool)
    allowed[:4, :2] = allowed[4:, 2:] = True
    asked, order = batch(logits, 2, allowed)
    found = np.empty(8, dtype=np.int64)
    found[order] = DebiasedAnswer(heads=NONE, by="group").votes(asked).predicted
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # equal odds: by slot


def test_a_pair_is_what_belongs_together():
    """One picture, two captions: whatever the name, the better caption is the right one."""
    logits = np.array([[0.0, 3.0], [0.0, 4.0], [5.0, 0.0], [4.0, 0.0]])
    places = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    asked = Batch(NONE, np.empty((4, 0, 1)), np.ones((4, 2), dtype=bool), logits, places)
    for by in TOGETHER:
        assert DebiasedAnswer(heads=NONE, by=by).votes(asked).predicted.tolist() == [0, 1, 0, 1]

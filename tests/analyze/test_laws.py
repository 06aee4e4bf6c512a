"""What must hold of scores, selection and votes whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid

from savs_analyze.selection import rank_heads, score_heads, tied_at_cut, true_class_margins
from savs_analyze.similarity import class_means, cosine
from savs_analyze.voting import majority_vote

seeds = st.integers(0, 2**32 - 1)


def problem(seed, classes=3, per_class=4, heads=6, dim=5):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class))
    return generator.normal(size=(len(labels), heads, dim)) + labels[:, None, None] * 0.3, labels


@given(seeds)
def test_cosine_is_scikit_learns(seed):
    vectors, labels = problem(seed)
    centroids = class_means(vectors, labels, 3)
    found = cosine(vectors, centroids)
    for head in range(vectors.shape[1]):
        assert np.allclose(found[:, :, head], cosine_similarity(vectors[:, head], centroids[:, head]))


def test_class_means_are_scikit_learns():
    vectors, labels = problem(0)
    expected = NearestCentroid().fit(vectors[:, 2], labels).centroids_
    assert np.allclose(class_means(vectors, labels, 3)[:, 2], expected)


@given(seeds)
def test_scaling_a_head_changes_nothing(seed):
    vectors, labels = problem(seed)
    scale = np.random.default_rng(seed).uniform(0.01, 100, size=(1, vectors.shape[1], 1))
    plain, scaled = score_heads(vectors, labels, 3), score_heads(vectors * scale, labels, 3)
    assert (plain.count == scaled.count).all()
    assert np.allclose(plain.margin, scaled.margin)


@given(seeds)
def test_permuting_heads_permutes_the_scores(seed):
    vectors, labels = problem(seed)
    order = np.random.default_rng(seed).permutation(vectors.shape[1])
    plain, permuted = score_heads(vectors, labels, 3), score_heads(vectors[:, order], labels, 3)
    assert (permuted.count == plain.count[order]).all()


@given(seeds)
def test_permuting_samples_changes_nothing(seed):
    vectors, labels = problem(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    plain, permuted = score_heads(vectors, labels, 3), score_heads(vectors[order], labels[order], 3)
    assert (permuted.count == plain.count).all()


@given(seeds)
def test_permuting_classes_changes_no_count(seed):
    vectors, labels = problem(seed)
    order = np.random.default_rng(seed).permutation(3)
    assert (score_heads(vectors, order[labels], 3).count == score_heads(vectors, labels, 3).count).all()


@given(seeds)
def test_a_constant_head_is_never_preferred_to_an_informative_one(seed):
    vectors, labels = problem(seed)
    vectors[:, 0] = 7.0
    vectors[:, 1] = np.eye(5)[labels]  # tells every class
    scores = score_heads(vectors, labels, 3)
    order = rank_heads(scores.count, scores.margin).tolist()
    assert order.index(1) < order.index(0)


def test_blocks_of_heads_do_not_show(monkeypatch):
    vectors, labels = problem(1, heads=9)
    whole = score_heads(vectors, labels, 3)
    monkeypatch.setattr("savs_analyze.selection.HEAD_BLOCK", 2)
    parts = score_heads(vectors, labels, 3)
    assert (whole.count == parts.count).all()
    assert (whole.margin == parts.margin).all()


def test_a_zero_vector_is_like_nothing():
    similarities = cosine(np.zeros((1, 2, 3)), np.ones((2, 2, 3)))
    assert (similarities == 0).all()


def test_float16_overflows_nowhere():
    # The squares of these values are far beyond the largest float16.
    vectors = np.full((4, 1, 8), 60000, dtype=np.float16)
    labels = np.array([0, 0, 1, 1])
    vectors[labels == 1, 0, :4] *= -1
    assert score_heads(vectors, labels, 2).count.tolist() == [4]


@pytest.mark.parametrize(
    ("labels", "change", "words"),
    [
        ([0, 0, 1], None, "class 2 has no sample"),
        ([0, 1, 2], np.nan, "not finite"),
        ([0, 1, 2], np.inf, "not finite"),
    ],
)
def test_bad_supports_are_named(labels, change, words):
    vectors = np.ones((3, 2, 2))
    if change is not None:
        vectors[1, 0, 0] = change
    with pytest.raises(ValueError, match=words), np.errstate(invalid="ignore"):
        class_means(vectors, np.array(labels), 3)


def test_margin_is_own_class_less_best_other():
    similarities = np.array([[[0.9], [0.5], [0.7]]])  # [sample, class, head]
    assert true_class_margins(similarities, np.array([0])) == pytest.approx(0.2)
    assert true_class_margins(similarities, np.array([1])) == pytest.approx(-0.4)


def test_a_single_class_has_no_margin():
    assert (true_class_margins(np.ones((2, 1, 3)), np.array([0, 0])) == 0).all()


@pytest.mark.parametrize(
    ("counts", "margins", "order"),
    [
        ([1, 3, 2], [0, 0, 0], [1, 2, 0]),  # count alone
        ([2, 2, 2], [0.1, 0.3, 0.2], [1, 2, 0]),  # then margin
        ([2, 2, 2], [0.1, 0.1, 0.1], [0, 1, 2]),  # then layer and head
        ([2, 2, 3], [0.1, 0.1 + 1e-15, 0.0], [2, 0, 1]),  # the last bit of a sum decides nothing
    ],
)
def test_heads_are_ranked_by_a_total_order(counts, margins, order):
    assert rank_heads(np.array(counts), np.array(margins, dtype=float)).tolist() == order


@pytest.mark.parametrize(
    ("counts", "k", "tied"),
    [
        ([5, 4, 3], 2, 0),  # a clean cut
        ([5, 4, 4], 2, 2),  # the second and third tie
        ([5, 5, 5], 1, 3),  # all tie
        ([5, 5], 2, 0),  # nothing is cut off
        ([5, 5], 9, 0),
    ],
)
def test_ties_at_the_cut_are_counted(counts, k, tied):
    assert tied_at_cut(np.array(counts), k) == tied


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
    for row, winner in zip(votes, winners, strict=True):
        assert (row == winner).sum() == np.bincount(row).max()


def test_unanimous_heads_cannot_be_overruled():
    votes = np.full((3, 5), 2)
    assert majority_vote(votes, 4).tolist() == [2, 2, 2]

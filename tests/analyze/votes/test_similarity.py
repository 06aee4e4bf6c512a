"""Similarities, their leave-one-out forms and transforms: against one number at a time, scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sklearn.metrics import pairwise
from sklearn.neighbors import NearestCentroid

from kit import transcription as slow
from savs_analyze.parts.transform import Transform, transformed
from savs_analyze.votes.similarity import (
    KERNELS,
    Similarity,
    class_means,
    cosine,
    left_out_similarities,
    similarities,
)

KINDS = [
    *(Similarity(name) for name in KERNELS),
    Similarity("rbf", gamma=0.03),
    Similarity("laplacian", gamma=7),
    Similarity("sigmoid", gamma=0.2, beta=-1.5),
]
BASES = {name: kernel.of for name, kernel in KERNELS.items() if kernel.of}
SATURATING = [Similarity(name, saturating=True) for name in BASES] + [Similarity("sigmoid", 0.05, 0.3, True)]
SINGLE = np.finfo(np.float32).eps
TRANSFORMS = [Transform("penalty"), Transform("artanh"), Transform("artanh", 0.3, 1.5), Transform("artanh", 40, 0.01)]
seeds = st.integers(0, 2**32 - 1)
shapes = st.fixed_dictionaries(
    {"classes": st.integers(1, 5), "per_class": st.integers(2, 5), "heads": st.integers(1, 4), "dim": st.integers(1, 9)}
)


def slowly(kind, vectors, centroids):
    """Return `[sample, class, head]` one number at a time."""
    x, u = vectors.tolist(), centroids.tolist()
    heads = range(vectors.shape[1])
    return np.array([[[slow.similarity(kind, s[h], c[h]) for h in heads] for c in u] for s in x])


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=15)
@given(seed=seeds, shape=shapes, power=st.sampled_from([-3, 0, 2]))
def test_equals_the_formula(problem, kind, seed, shape, power):
    vectors, labels = problem(seed, **shape)
    vectors *= 10.0**power
    centroids = class_means(vectors, labels, shape["classes"])
    assert similarities(kind, vectors, centroids) == pytest.approx(slowly(kind, vectors, centroids), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", SATURATING, ids=str)
@settings(max_examples=15)
@given(seed=seeds, shape=shapes, power=st.sampled_from([-1, 0, 1]))
def test_saturating_forms_equal_float32_arithmetic(problem, kind, seed, shape, power):
    vectors, labels = problem(seed, **shape)
    vectors = (vectors * 10.0**power).astype(np.float32).astype(float)
    centroids = class_means(vectors, labels, shape["classes"]).astype(np.float32).astype(float)
    found, expected = similarities(kind, vectors, centroids), slowly(kind, vectors, centroids)
    # The error of exp and tanh is that of what they are taken of.
    of_terms = np.abs(vectors[:, None] * centroids).sum(axis=-1) + ((vectors[:, None] - centroids) ** 2).sum(axis=-1)
    assert (np.abs(found - expected) <= 20 * SINGLE * (1 + of_terms)).all()


@pytest.mark.parametrize(
    ("kind", "oracle"),
    [
        (Similarity("cosine"), pairwise.cosine_similarity),
        (Similarity("l2"), lambda x, u: -pairwise.euclidean_distances(x, u)),
        (Similarity("l1"), lambda x, u: -pairwise.manhattan_distances(x, u)),
        (Similarity("dot"), pairwise.linear_kernel),
        (Similarity("rbf", 0.02), lambda x, u: np.log(pairwise.rbf_kernel(x, u, gamma=0.02))),
        (Similarity("laplacian", 0.02), lambda x, u: np.log(pairwise.laplacian_kernel(x, u, gamma=0.02))),
    ],
    ids="cosine l2 l1 dot rbf laplacian".split(),
)
@settings(max_examples=20)
@given(seed=seeds)
def test_is_scikit_learns(problem, kind, oracle, seed):
    vectors, labels = problem(seed)
    centroids = class_means(vectors, labels, 3)
    found = similarities(kind, vectors, centroids)
    for head in range(vectors.shape[1]):
        assert found[:, :, head] == pytest.approx(oracle(vectors[:, head], centroids[:, head]))


@given(seeds)
def test_sigmoid_is_the_log_odds_of_scikit_learns_kernel(problem, seed):
    vectors, labels = problem(seed, heads=1)
    centroids = class_means(vectors, labels, 3)
    kernel = pairwise.sigmoid_kernel(vectors[:, 0], centroids[:, 0], gamma=0.3, coef0=-0.2)
    assert expit(similarities(Similarity("sigmoid", 0.3, -0.2), vectors, centroids)[:, :, 0]) == pytest.approx(
        (1 + kernel) / 2
    )


def test_class_means_are_scikit_learns(problem):
    vectors, labels = problem(0)
    expected = NearestCentroid().fit(vectors[:, 2], labels).centroids_
    assert np.allclose(class_means(vectors, labels, 3)[:, 2], expected)


@pytest.mark.parametrize("kind", [*KINDS, *SATURATING], ids=str)
@settings(max_examples=15)
@given(seed=seeds, shape=shapes)
def test_leave_one_out_is_the_brute_force_loop(problem, kind, seed, shape):
    vectors, labels = problem(seed, **shape)
    classes = shape["classes"]
    found = left_out_similarities(kind, vectors, labels, class_means(vectors, labels, classes))
    for i in range(len(labels)):
        rest = np.arange(len(labels)) != i
        expected = similarities(kind, vectors[[i]], class_means(vectors[rest], labels[rest], classes))[0]
        assert found[i] == pytest.approx(expected, rel=1e-6, abs=1e-5 if kind.saturating else 1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_leave_one_out_survives_a_sample_that_is_most_of_its_centroid(problem, kind):
    vectors, labels = problem(3, classes=2, per_class=6)
    vectors[4] *= 1e6
    found = left_out_similarities(kind, vectors, labels, class_means(vectors, labels, 2))[4]
    rest = np.arange(len(labels)) != 4
    assert found == pytest.approx(similarities(kind, vectors[[4]], class_means(vectors[rest], labels[rest], 2))[0])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_leave_one_out_needs_two_samples_of_every_class(kind):
    vectors, labels = np.ones((3, 2, 2)), np.array([0, 0, 1])
    with pytest.raises(ValueError, match="class 1 has one sample: leave-one-out needs two of every class"):
        left_out_similarities(kind, vectors, labels, class_means(vectors, labels, 2))


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=25)
@given(seed=seeds, gamma=st.floats(1e-6, 1e6), beta=st.floats(-5, 5))
def test_kernels_rank_as_their_bases(problem, name, seed, gamma, beta):
    vectors, labels = problem(seed)
    centroids = class_means(vectors, labels, 3)
    kernel = similarities(Similarity(name, gamma, beta), vectors, centroids)
    base = similarities(Similarity(BASES[name]), vectors, centroids)
    assert (kernel.argsort(axis=1) == base.argsort(axis=1)).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_exact_kernels_tell_classes_apart_at_any_norm_and_saturating_ones_do_not(problem, kind):
    vectors, labels = problem(0, classes=4, heads=8, dim=64)
    vectors *= 50
    centroids = class_means(vectors, labels, 4)
    exact = similarities(kind, vectors, centroids)
    assert (np.diff(np.sort(exact, axis=1), axis=1) > 0).all()
    if kind.name in BASES:
        tied = similarities(Similarity(kind.name, saturating=True), vectors, centroids)
        ordered = np.sort(tied, axis=1)
        assert (ordered[:, -1] == ordered[:, -2]).mean() > 0.3


def test_distances_keep_their_digits_far_from_the_origin(problem):
    vectors, labels = problem(0)
    centroids = class_means(vectors, labels, 3)
    near = similarities(Similarity("l2"), vectors, centroids)
    assert similarities(Similarity("l2"), vectors + 1e6, centroids + 1e6) == pytest.approx(near, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_zero_vector_is_near_zero_and_has_no_direction(kind):
    x, u = np.zeros((1, 2, 3)), np.stack([np.zeros((2, 3)), np.ones((2, 3))])
    found = similarities(kind, x, u)
    assert np.isfinite(found).all()
    if kind.name in ("cosine", "dot", "sigmoid"):
        assert (found[:, 0] == found[:, 1]).all()
    else:
        assert (found[:, 0] > found[:, 1]).all()
    left_out = left_out_similarities(kind, np.zeros((4, 2, 3)), np.array([0, 0, 1, 1]), np.zeros((2, 2, 3)))
    assert (left_out == left_out[0, 0, 0]).all()


@given(seeds)
def test_scaling_a_head_leaves_its_cosines(problem, seed):
    vectors, labels = problem(seed)
    scale = np.random.default_rng(seed).uniform(0.01, 100, size=(1, vectors.shape[1], 1))
    centroids = class_means(vectors, labels, 3)
    assert cosine(vectors * scale, centroids * scale) == pytest.approx(cosine(vectors, centroids))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_float16_overflows_nowhere(kind):
    # The squares of these values are far beyond the largest float16.
    half = np.full((2, 3, 8), 60000, dtype=np.float16)
    half[1, :, :4] *= -1
    found = similarities(kind, half, half.astype(float))
    assert (found == similarities(kind, half.astype(float), half.astype(float))).all()
    assert np.isfinite(found).all()


cosines = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3)),
    elements=st.floats(-0.999, 0.999),
)


@pytest.mark.parametrize("kind", TRANSFORMS, ids=str)
@given(scores=cosines)
def test_transforms_equal_their_formulas(kind, scores):
    found = transformed(kind, scores)
    for sample, head in np.ndindex(scores.shape[0], scores.shape[2]):
        assert found[sample, :, head] == pytest.approx(slow.transformed(kind, scores[sample, :, head].tolist()))


@pytest.mark.parametrize("kind", TRANSFORMS, ids=str)
@given(scores=cosines)
def test_transforms_keep_the_order_of_classes(kind, scores):
    scores = np.round(scores, 3)  # equal, or far apart for rounding
    order, found = np.sign(np.diff(scores, axis=1)), np.diff(transformed(kind, scores), axis=1)
    assert (np.sign(np.where(np.abs(found) < 1e-9, 0, found)) == order).all()


@pytest.mark.parametrize("kind", TRANSFORMS, ids=str)
def test_a_cosine_of_one_stays_finite(kind):
    scores = np.array([[[1.0], [-1.0]], [[1 + 1e-16], [1.0]]])
    assert np.isfinite(transformed(kind, scores)).all()


@pytest.mark.parametrize("kind", TRANSFORMS, ids=str)
def test_a_single_class_keeps_its_similarity(kind):
    scores = np.full((2, 1, 3), 0.5)
    assert (transformed(kind, scores) == scores).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Similarity("cosin"), "unknown similarity 'cosin'; there are cosine, l2"),
        (lambda: Similarity("rbf", gamma=0), "gamma must be above 0, got 0"),
        (lambda: Similarity("rbf", gamma=-1.0), "gamma must be above 0, got -1"),
        (lambda: Similarity("rbf", gamma=float("nan")), "gamma must be above 0"),
        (lambda: Transform("tanh"), "unknown transform 'tanh'; there are none, penalty, artanh"),
        (lambda: Transform("artanh", a=0), "a and b must be above 0, got 0 and 1"),
        (lambda: Transform("artanh", b=-0.5), "a and b must be above 0, got 1.0 and -0.5"),
    ],
)
def test_what_makes_no_sense_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

"""What must hold of the scores and the selection of heads whatever the numbers."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import transcription as slow
from savs_analyze.parts.criterion import CRITERIA as ALL_CRITERIA
from savs_analyze.parts.criterion import class_criterion, head_criterion, true_class_margins
from savs_analyze.parts.selection import (
    BY_COUNT,
    Scoring,
    layer_vectors,
    paper_ranking,
    rank_heads,
    score_heads,
    tied_at_cut,
)
from savs_analyze.parts.transform import NONE, Transform
from savs_analyze.votes.similarity import KERNELS, Similarity, class_means

PENALTY, ARTANH = Transform("penalty"), Transform("artanh", 0.7, 1.3)
BASES = {name: kernel.of for name, kernel in KERNELS.items() if kernel.of}
CRITERIA = [name for name, criterion in ALL_CRITERIA.items() if not criterion.per_class]
CLASS_CRITERIA = [name for name, criterion in ALL_CRITERIA.items() if criterion.per_class]
KINDS = [Similarity(name) for name in KERNELS] + [Similarity("sigmoid", 0.2, -1.5)]
seeds = st.integers(0, 2**32 - 1)
shapes = st.fixed_dictionaries(
    {"classes": st.integers(1, 4), "per_class": st.integers(2, 4), "heads": st.integers(1, 5), "dim": st.integers(2, 7)}
)
positive = st.floats(1e-4, 1e4)


def scorings_of(kind, leave_one_out=False):
    """Return every scoring that makes sense by a similarity."""
    transforms = [NONE, PENALTY, ARTANH] if kind.name == "cosine" else [NONE, PENALTY]
    by_criterion = [
        Scoring(kind, transform, name, leave_one_out)
        for transform in transforms
        for name in CRITERIA
        if (name, transform) != ("score", NONE)
    ]
    per_class = [Scoring(kind, t, leave_one_out=leave_one_out, per_class=c) for t in transforms for c in CLASS_CRITERIA]
    return by_criterion + per_class


FAMILIES = [scorings_of(kind, leave_one_out) for kind in KINDS for leave_one_out in (False, True)]
ALL = [scoring for family in FAMILIES for scoring in family]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda of: f"{of[0].similarity} {of[0].leave_one_out}")


def argmax_alone(scoring):
    return bool(scoring.per_class) or scoring.criterion in ("count", "balanced")


def scored(vectors, labels, scorings, classes=3):
    return score_heads(vectors, labels, class_means(vectors, labels, classes), scorings)


def equal(one, other, exactly=False):
    same = np.array_equal if exactly else (lambda a, b: np.allclose(a, b, rtol=1e-7, atol=1e-9))
    return same(one.value, other.value) and np.allclose(one.margin, other.margin, rtol=1e-7, atol=1e-9)


@every_family
@settings(max_examples=6)
@given(seed=seeds, shape=shapes)
def test_scores_equal_the_formulas(problem, family, seed, shape):
    vectors, labels = problem(seed, **shape)
    found = scored(vectors, labels, family, shape["classes"])
    for scoring in family:
        values, margins = slow.head_scores(scoring, vectors.tolist(), labels.tolist(), shape["classes"])
        assert found[scoring].value == pytest.approx(np.array(values), rel=1e-6, abs=1e-9), scoring
        assert found[scoring].margin == pytest.approx(np.array(margins), rel=1e-6, abs=1e-9), scoring


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("name", BASES)
@settings(max_examples=6)
@given(seed=seeds, classes=st.integers(1, 4), power=st.integers(-1, 3))
def test_saturating_scores_equal_float32_arithmetic_and_its_ties(name, leave_one_out, seed, classes, power):
    # All means of these numbers, and sums of their products, have few enough digits to be exact.
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 4)
    vectors = generator.integers(-3, 4, size=(4 * classes, 5, 4)) * 12 / 64 * 2.0**power
    scorings = scorings_of(Similarity(name, saturating=True), leave_one_out)
    found = scored(vectors, labels, scorings, classes)
    for scoring in scorings:
        values, margins = slow.head_scores(scoring, vectors.tolist(), labels.tolist(), classes)
        assert found[scoring].value == pytest.approx(np.array(values), rel=1e-5, abs=1e-6), scoring
        assert found[scoring].margin == pytest.approx(np.array(margins), rel=1e-5, abs=1e-6), scoring


@given(seeds, shapes, positive, positive)
def test_penalty_and_artanh_change_no_count(problem, seed, shape, a, b):
    vectors, labels = problem(seed, **shape)
    plain = [Scoring(criterion=name) for name in ("count", "balanced")] + [Scoring(per_class=c) for c in CLASS_CRITERIA]
    transforms = [PENALTY, Transform("artanh", a, b)]
    moved = {
        scoring: [Scoring(transform=t, criterion=scoring.criterion, per_class=scoring.per_class) for t in transforms]
        for scoring in plain
    }
    found = scored(vectors, labels, [*plain, *chain(*moved.values())], shape["classes"])
    for scoring, others in moved.items():
        assert all(equal(found[other], found[scoring], exactly=True) for other in others), scoring


def test_penalty_and_artanh_do_change_the_mean_score(problem):
    vectors, labels = problem(0, heads=40, pull=0.3)
    by = [
        Scoring(transform=t, criterion="score") for t in (PENALTY, Transform("artanh", 0.3, 1.5), Transform("artanh"))
    ]
    rankings = [rank_heads(s.value, s.margin).tolist() for s in scored(vectors, labels, by).values()]
    assert len(set(map(tuple, rankings))) == 3


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("name", BASES)
@settings(max_examples=30)
@given(seed=seeds, shape=shapes, gamma=positive, beta=st.floats(-5, 5))
def test_kernels_rank_heads_as_their_bases(problem, name, leave_one_out, seed, shape, gamma, beta):
    vectors, labels = problem(seed, **shape)
    pairs = [
        [
            Scoring(kind, criterion=criterion, leave_one_out=leave_one_out, per_class=per_class)
            for kind in (Similarity(name, gamma, beta), Similarity(BASES[name]))
        ]
        for criterion, per_class in [("count", ""), ("balanced", ""), ("count", "recall"), ("count", "one-vs-rest")]
    ]
    found = scored(vectors, labels, list(chain(*pairs)), shape["classes"])
    for kernel, base in pairs:
        assert equal(found[kernel], found[base], exactly=True)


@every_family
@settings(max_examples=5)
@given(seed=seeds)
def test_permuting_permutes(problem, family, seed):
    vectors, labels = problem(seed)
    samples, heads, classes = map(np.random.default_rng(seed).permutation, (len(labels), vectors.shape[1], 3))
    plain = scored(vectors, labels, family)
    by_sample = scored(vectors[samples], labels[samples], family)
    by_head = scored(vectors[:, heads], labels, family)
    by_class = scored(vectors, classes[labels], family)
    for scoring in family:
        assert equal(by_sample[scoring], plain[scoring])
        of_class = classes if scoring.per_class else slice(None)
        for name in ("value", "margin"):
            expected = getattr(plain[scoring], name)
            assert np.allclose(getattr(by_head[scoring], name), expected[..., heads])
            assert np.allclose(getattr(by_class[scoring], name)[of_class], expected)


@pytest.mark.parametrize("leave_one_out", [False, True])
@settings(max_examples=20)
@given(seed=seeds)
def test_scaling_a_head_changes_no_score_by_cosine(problem, leave_one_out, seed):
    vectors, labels = problem(seed)
    scale = np.random.default_rng(seed).uniform(0.01, 100, size=(1, vectors.shape[1], 1))
    family = scorings_of(Similarity(), leave_one_out)
    plain, scaled = scored(vectors, labels, family), scored(vectors * scale, labels, family)
    assert all(equal(scaled[scoring], plain[scoring]) for scoring in family)


@pytest.mark.parametrize("kind", ["l2", "l1", "dot"])
def test_scaling_a_head_does_change_its_margin_by_other_similarities(problem, kind):
    vectors, labels = problem(0)
    by = Scoring(Similarity(kind), criterion="margin")
    assert not equal(scored(vectors * 3, labels, [by])[by], scored(vectors, labels, [by])[by])


def with_constant_and_perfect_head(problem, seed, constant):
    """Return random vectors in which head 0 always says the same and head 1 tells every class."""
    vectors, labels = problem(seed, classes=3, heads=4, dim=3)
    vectors[:, 0] = constant
    vectors[:, 1] = np.eye(3)[labels] * 5 + vectors[:, 1] * 0.01
    return vectors, labels


@every_family
@given(seed=seeds, constant=st.sampled_from([7.0, 0.1, -1 / 3, 1e4, 0.0]))
@settings(max_examples=10)
def test_a_constant_head_is_never_preferred_to_one_that_tells_the_classes(problem, family, seed, constant):
    vectors, labels = with_constant_and_perfect_head(problem, seed, constant)
    for scoring, scores in scored(vectors, labels, family).items():
        for value, margin in zip(np.atleast_2d(scores.value), np.atleast_2d(scores.margin), strict=True):
            order = rank_heads(value, margin).tolist()
            assert order.index(1) < order.index(0), scoring


@pytest.mark.parametrize("kind", [*KERNELS])
@pytest.mark.parametrize("leave_one_out", [False, True])
@given(seed=seeds, classes=st.integers(2, 6), per_class=st.integers(2, 6), dim=st.sampled_from([3, 8, 17, 128]))
@settings(max_examples=10)
def test_a_constant_head_is_right_on_one_class_only(kind, leave_one_out, seed, classes, per_class, dim):
    # By rounding alone it could seem to know everything: its own mean, less the sample, has other last bits.
    labels = np.repeat(np.arange(classes), per_class)
    vectors = np.repeat(np.random.default_rng(seed).normal(size=(1, 5, dim)), len(labels), axis=0)
    by = Scoring(Similarity(kind), leave_one_out=leave_one_out)
    scores = scored(vectors, labels, [by], classes)[by]
    assert (scores.value <= per_class).all()
    assert (np.abs(scores.margin) < 1e-10).all()


@pytest.mark.parametrize(
    ("per_class", "preferred"),
    # The papers' recall takes a head that always says the class for the best there is.
    [("recall", "constant"), ("one-vs-rest", "informative")],
)
def test_recall_prefers_a_constant_head_to_a_good_one(per_class, preferred):
    labels = np.repeat([0, 1], 10)
    vectors = np.zeros((20, 2, 2))
    vectors[:, 0] = 1.0
    vectors[:, 1] = np.eye(2)[labels]
    vectors[0, 1] = [0.0, 1.0]  # one mistake
    by = Scoring(per_class=per_class)
    scores = scored(vectors, labels, [by], classes=2)[by]
    best = rank_heads(scores.value[0], scores.margin[0])[0]
    assert best == ["constant", "informative"].index(preferred)


def test_the_mean_artanh_score_prefers_a_constant_head_where_a_is_above_b(problem):
    # artanh of a cosine of 1 has no bound, and only with a <= b what is taken away has less.
    vectors, labels = with_constant_and_perfect_head(problem, 1, 7.0)
    vectors[:, 1] += vectors[:, 2]
    above, below = (Scoring(transform=Transform("artanh", a, 1.0), criterion="score") for a in (1.5, 1.0))
    found = scored(vectors, labels, [above, below])
    assert rank_heads(found[above].value, found[above].margin)[0] == 0
    assert rank_heads(found[below].value, found[below].margin)[0] == 1


@pytest.mark.parametrize(("name", "value"), [("HEAD_BLOCK", 2), ("BLOCK_BYTES", 1)])
def test_blocks_of_heads_do_not_show(problem, monkeypatch, name, value):
    vectors, labels = problem(1, heads=9)
    whole = scored(vectors, labels, ALL)
    monkeypatch.setattr(f"savs_analyze.parts.selection.{name}", value)
    parts = scored(vectors, labels, ALL)
    assert all(equal(parts[scoring], whole[scoring]) for scoring in ALL)


def test_scorings_do_not_disturb_each_other(problem):
    vectors, labels = problem(2)
    together = scored(vectors, labels, ALL)
    assert set(together) == set(ALL)
    for scoring in ALL:
        alone = scored(vectors, labels, [scoring])[scoring]
        assert (alone.value == together[scoring].value).all()
        assert (alone.margin == together[scoring].margin).all()


def test_each_base_is_computed_once_for_all_scorings(problem, monkeypatch):
    from savs_analyze.parts import selection

    calls = []
    for name in ("similarities", "left_out_similarities"):
        plain = getattr(selection, name)
        monkeypatch.setattr(
            selection, name, lambda kind, *a, of=name, plain=plain: calls.append((of, kind.name)) or plain(kind, *a)
        )
    scored(*problem(0), ALL)
    assert sorted(calls) == sorted({(name, kind) for name, kind in calls})
    assert {kind for _, kind in calls} == {"cosine", "l2", "l1", "dot"}


def test_float16_scores_as_the_same_numbers_in_float64(problem):
    vectors, labels = problem(0)
    half = vectors.astype(np.float16)
    found, expected = scored(half, labels, ALL), scored(half.astype(float), labels, ALL)
    assert all(equal(found[scoring], expected[scoring]) for scoring in ALL)


def test_of_a_single_class_all_heads_know_the_answer(problem):
    vectors, labels = problem(0, classes=1)
    known = {"count": 4, "balanced": 1, "margin": 0, "recall": 1, "one-vs-rest": 1}
    for scoring, scores in scored(vectors, labels, ALL, classes=1).items():
        assert (scores.margin == 0).all()
        if (name := scoring.per_class or scoring.criterion) in known:
            assert (scores.value == known[name]).all()


@every_family
def test_a_class_with_one_sample_is_its_own_mean_or_refused(problem, family):
    vectors, labels = problem(0)
    rest = np.sort(np.concatenate([np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[:1]]))
    vectors, labels = vectors[rest], labels[rest]
    for scoring in family:
        if scoring.leave_one_out:
            with pytest.raises(ValueError, match="class 2 has one sample: leave-one-out needs two of every class"):
                scored(vectors, labels, [scoring])
        else:
            values, _ = slow.head_scores(scoring, vectors.tolist(), labels.tolist(), 3)
            assert scored(vectors, labels, [scoring])[scoring].value == pytest.approx(np.array(values))


def test_to_zero_vectors_all_classes_are_alike_and_the_first_is_the_answer():
    labels = np.repeat([0, 1, 2], 3)
    found = scored(np.zeros((9, 4, 5)), labels, ALL)
    expected = {"count": 3, "balanced": 1 / 3, "recall": [1, 0, 0], "one-vs-rest": [0.5, 0.5, 0.5]}
    for scoring, scores in found.items():
        assert np.isfinite(scores.value).all()
        assert (scores.margin == 0).all()
        if argmax_alone(scoring):
            assert scores.value[..., 0] == pytest.approx(expected[scoring.per_class or scoring.criterion])


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
    ("make", "words"),
    [
        (lambda: head_criterion("counts", np.ones((1, 1, 1)), np.array([0])), "unknown criterion 'counts'; there are"),
        (lambda: class_criterion("f1", np.ones((1, 1, 1)), np.array([0])), "unknown criterion of a class 'f1'"),
        (lambda: Scoring(Similarity("l2"), Transform("artanh")), "artanh takes cosines, not l2"),
        (lambda: Scoring(criterion="score"), "use penalty or artanh"),
    ],
)
def test_what_makes_no_sense_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("counts", "margins", "order"),
    [
        ([1, 3, 2], [0, 0, 0], [1, 2, 0]),  # count alone
        ([2, 2, 2], [0.1, 0.3, 0.2], [1, 2, 0]),  # then margin
        ([2, 2, 2], [0.1, 0.1, 0.1], [0, 1, 2]),  # then layer and head
        ([2, 2, 3], [0.1, 0.1 + 1e-15, 0.0], [2, 0, 1]),  # the last bit of a sum decides nothing
        ([0.1 + 0.2, 0.3, 0.4], [0, 1, 0], [2, 1, 0]),  # ... nor that of a share
        ([0, 0], [-0.2, -0.1], [1, 0]),
    ],
)
def test_heads_are_ranked_by_a_total_order(counts, margins, order):
    assert rank_heads(np.array(counts, dtype=float), np.array(margins, dtype=float)).tolist() == order


@pytest.mark.parametrize(
    ("counts", "order"),
    [([1, 3, 2], [1, 2, 0]), ([2, 2, 2], [2, 1, 0]), ([2, 3, 2, 3], [3, 1, 2, 0]), ([0.3, 0.1 + 0.2], [1, 0])],
)
def test_the_papers_keep_the_later_of_equal_heads(counts, order):
    assert paper_ranking(np.array(counts, dtype=float), np.zeros(len(counts))).tolist() == order


@pytest.mark.parametrize(
    ("counts", "k", "tied"),
    [
        ([5, 4, 3], 2, 0),  # a clean cut
        ([5, 4, 4], 2, 2),  # the second and third tie
        ([5, 5, 5], 1, 3),  # all tie
        ([5, 5], 2, 0),  # nothing is cut off
        ([5, 5], 9, 0),
        ([0.5, 0.1 + 0.2, 0.3], 2, 2),  # equal but for the last bit
        ([0, 0, 0], 1, 3),
    ],
)
def test_ties_at_the_cut_are_counted(counts, k, tied):
    assert tied_at_cut(np.array(counts, dtype=float), k) == tied


def test_layers_are_their_heads_side_by_side(problem):
    vectors, _ = problem(0, heads=5, dim=2)
    found = layer_vectors(vectors, np.array([3, 1, 3, 1, 1]))
    assert [one.shape for one in found] == [(12, 1, 6), (12, 1, 4)]
    assert (found[0][:, 0] == np.concatenate([vectors[:, 1], vectors[:, 3], vectors[:, 4]], axis=1)).all()
    assert (found[1][:, 0] == np.concatenate([vectors[:, 0], vectors[:, 2]], axis=1)).all()


def test_the_default_is_the_papers():
    assert Scoring(Similarity("cosine"), NONE, "count", leave_one_out=False, per_class="") == BY_COUNT

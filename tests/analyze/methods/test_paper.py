"""SAVs as the first paper writes them, and as the code of both papers runs them, followed step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import transcription as slow
from savs_analyze.methods.context import Context
from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.selection import tied_at_cut
from savs_analyze.votes.batch import Batch

seeds = st.integers(0, 2**32 - 1)


def planted(seed, classes, per_class=12, heads=24, dim=8):
    """Return random activations in which heads differ in how much they know."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    strength = np.linspace(0, 3, heads)
    directions = generator.normal(size=(classes, heads, dim))
    vectors = generator.normal(size=(len(labels), heads, dim)) + strength[:, None] * directions[labels]
    tests = generator.normal(size=(40, heads, dim)) + strength[:, None] * directions[generator.integers(0, classes, 40)]
    return vectors, labels, tests


def clean_cut(counts):
    """Return a number of heads near the middle at which no two heads tie."""
    return min((k for k in range(1, len(counts)) if not tied_at_cut(counts, k)), key=lambda k: abs(k - 8))


def by_papers_order(name, k, vectors, labels, tests, classes):
    context = Context(vectors, labels, classes, np.zeros(vectors.shape[1], dtype=np.int64))
    learnt = learn([make_setting(name, papers_order=True, k=k).method], context)
    [votes] = predict(learnt, Batch(np.arange(vectors.shape[1]), tests))
    return learnt[0], votes.predicted.tolist()


@pytest.mark.parametrize("classes", [2, 4, 10])
@pytest.mark.parametrize("seed", range(2))
def test_counts_heads_and_predictions_equal_the_formulas(classes, seed):
    vectors, labels, tests = planted(seed, classes)
    features, unseen = vectors.reshape(len(vectors), -1), tests.reshape(len(tests), -1)
    counts = SAVClassifier(head_dim=8).fit(features, labels).counts_
    k = clean_cut(counts.astype(float))
    model = SAVClassifier(n_heads=k, head_dim=8).fit(features, labels)
    expected = slow.Savs(Savs(k), vectors.tolist(), labels.tolist(), classes, [0] * 24)
    assert model.counts_.tolist() == expected.values
    assert model.heads_.tolist() == expected.heads
    assert set(expected.heads) == set(sorted(range(24), key=lambda head: -counts[head])[:k])
    assert model.predict(unseen).tolist() == [expected.votes(sample)[0] for sample in tests.tolist()]


@settings(max_examples=30)
@given(seed=seeds, classes=st.integers(1, 4), k=st.integers(1, 9), heads=st.integers(1, 8))
def test_the_papers_order_follows_the_papers_code(problem, seed, classes, k, heads):
    # So few samples that many heads tie, at the cut and in the vote.
    vectors, labels = problem(seed, classes=classes, heads=heads, pull=1)
    tests, _ = problem(seed + 1, classes=classes, heads=heads)
    learnt, found = by_papers_order("savs", k, vectors, labels, tests, classes)
    kept, expected = slow.papers_savs(vectors.tolist(), labels.tolist(), classes, k, tests.tolist())
    assert learnt.heads.tolist() == kept
    assert found == expected


@settings(max_examples=30)
@given(seed=seeds, classes=st.integers(1, 4), k=st.integers(1, 9), heads=st.integers(1, 8))
def test_class_favoured_in_the_papers_order_follows_the_papers_code(problem, seed, classes, k, heads):
    vectors, labels = problem(seed, classes=classes, heads=heads, pull=1)
    tests, _ = problem(seed + 1, classes=classes, heads=heads)
    _, found = by_papers_order("class-favoured", k, vectors, labels, tests, classes)
    assert found == slow.papers_class_favoured(vectors.tolist(), labels.tolist(), classes, k, tests.tolist())


@pytest.mark.parametrize("name", ["savs-penalty", "savs-artanh", "savs-balanced"])
def test_in_the_papers_order_their_variants_keep_and_predict_the_same(name):
    for seed in range(5):
        vectors, labels, tests = planted(seed, 4, per_class=5)
        one, of_one = by_papers_order("savs", 7, vectors, labels, tests, 4)
        other, of_other = by_papers_order(name, 7, vectors, labels, tests, 4)
        assert one.heads.tolist() == other.heads.tolist()
        assert of_one == of_other


@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith(("savs-", "paper-"))])
def test_in_the_papers_order_every_ranking_votes_by_cosine_and_index(name):
    vectors, labels, tests = planted(0, 4)
    method = make_setting(name, papers_order=True, k=7).method
    assert method.voting.name == "cosine"
    learnt, _ = by_papers_order(name, 7, vectors, labels, tests, 4)
    assert learnt.heads.tolist() == sorted(learnt.heads.tolist())


def test_the_order_matters_only_where_heads_or_votes_tie(problem):
    differ = 0
    for seed in range(40):
        (vectors, labels), (tests, _) = problem(seed), problem(seed + 1000)
        context = Context(vectors, labels, 3, np.zeros(6, dtype=np.int64))
        ours, papers = learn([Savs(3), Savs(3, papers_order=True)], context)
        votes = predict([ours, papers], Batch(np.arange(6), tests))
        if not ours.tied:
            assert set(ours.heads) == set(papers.heads)
            most = np.sort(votes[0].scores, axis=1)
            clear = most[:, -1] > most[:, -2]
            assert (votes[0].predicted[clear] == votes[1].predicted[clear]).all()
        differ += (votes[0].predicted != votes[1].predicted).sum()
    assert differ > 0

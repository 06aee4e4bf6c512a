"""SAVs as the paper writes it, against the paper's formulas written out slowly."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from savs_analyze.classifier import SAVClassifier
from savs_analyze.selection import rank_heads, score_heads, tied_at_cut

spec = importlib.util.spec_from_file_location("transcription", Path(__file__).with_name("transcription.py"))
paper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(paper)


def planted(seed, classes, per_class=12, heads=24, dim=8):
    """Return random activations in which heads differ in how much they know, so that no counts tie at the cut."""
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


@pytest.mark.parametrize("classes", [2, 4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_counts_heads_and_predictions_equal_the_formulas(classes, seed):
    vectors, labels, tests = planted(seed, classes)
    counts, centroids = paper.head_counts(vectors.tolist(), labels.tolist(), classes)
    scores = score_heads(vectors, labels, classes)
    assert scores.count.tolist() == counts

    k = clean_cut(scores.count)
    best = rank_heads(scores.count, scores.margin)[:k].tolist()
    assert set(best) == set(sorted(range(len(counts)), key=lambda head: -counts[head])[:k])

    expected = [paper.predict(v, best, centroids) for v in tests.tolist()]
    features, unseen = vectors.reshape(len(vectors), -1), tests.reshape(len(tests), -1)
    found = SAVClassifier(n_heads=k, head_dim=8).fit(features, labels).predict(unseen)
    assert found.tolist() == expected


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_more_heads_than_there_are_all_vote(classes):
    vectors, labels, tests = planted(0, classes)
    shape = (-1, vectors.shape[1] * vectors.shape[2])
    every, more = (
        SAVClassifier(n_heads=k, head_dim=8).fit(vectors.reshape(shape), labels).predict(tests.reshape(shape))
        for k in (24, 1000)
    )
    assert (every == more).all()

"""Probabilities, sets and likeness, held to brute force and to what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_analyze.classifier.calibration import (
    Calibration,
    Likeness,
    distances,
    fit_temperature,
    least_compared,
    nonconformity,
    one_vote_each,
    proven_coverage,
    sets_of,
    share_as_far,
    tempered,
)
from savs_analyze.fitting.fit import fit
from savs_analyze.methods.context import Context
from savs_analyze.methods.settings import make_setting
from savs_analyze.votes.voting import softmax


def said(generator, samples, classes, sharpness=2.0):
    """Return calibrated probabilities, and truths drawn from them."""
    probabilities = softmax(sharpness * generator.normal(size=(samples, classes)))
    return probabilities, (probabilities.cumsum(axis=1) > generator.random((samples, 1))).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.001, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_a_temperature_that_was_put_in_is_found(temperature, classes):
    """The flat posteriors of HEC were not raised to more than their 50th power: 21 points off on digits."""
    probabilities, labels = said(np.random.default_rng(0), 20_000, classes)
    assert fit_temperature(tempered(probabilities, 1 / temperature), labels) == pytest.approx(temperature, rel=0.05)


def test_few_samples_that_are_all_right_make_nobody_certain():
    probabilities = np.tile([0.9, 0.1], (10, 1))
    found = tempered(probabilities, fit_temperature(probabilities, np.zeros(10, dtype=int)))
    assert found[0, 0] == pytest.approx(11 / 12, abs=0.01)


@given(st.integers(0, 1000), st.floats(0.05, 20))
def test_a_temperature_changes_no_answer(seed, temperature):
    probabilities, _ = said(np.random.default_rng(seed), 20, 5)
    found = tempered(probabilities, temperature)
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@given(st.integers(0, 1000), st.booleans(), st.booleans())
def test_sets_are_those_of_the_definition(seed, by_class, grouped):
    """Vovk 2015, eq. 5, by counting, every cluster by its mean; the new sample itself is met by all."""
    generator = np.random.default_rng(seed)
    cluster = generator.integers(0, 6, 12) if grouped else np.arange(12)
    labels, fold = generator.integers(0, 3, 12), generator.integers(0, 4, 12)[cluster]
    known = np.round(generator.exponential(size=12), 1)
    by_fold = softmax(generator.normal(size=(4, 5, 3)).reshape(20, 3)).reshape(4, 5, 3)
    calibration = Calibration(1.0, np.ones(4), fold, known, labels, cluster if grouped else None)
    found = calibration.set_probabilities(by_fold, by_class)
    for new in range(5):
        for label in range(3):
            strange = {}
            for i in range(12):
                if not by_class or labels[i] == label:
                    of_sample = known[i] >= -np.log(by_fold[fold[i], new, label]) - 1e-9
                    strange.setdefault(cluster[i], []).append(of_sample)
            votes = sum(sum(of_one) / len(of_one) for of_one in strange.values())
            assert found[new, label] == pytest.approx((1 + votes) / (1 + len(strange)))


@pytest.mark.parametrize("coverage", [0.7, 0.9])
@pytest.mark.parametrize("by_class", [False, True])
def test_sets_hold_the_truth_as_often_as_promised(coverage, by_class):
    """One classifier for all folds, so that the labelled and the new samples are exchangeable."""
    generator, held = np.random.default_rng(1), []
    for _ in range(400):
        probabilities, labels = said(generator, 80 + 50, 4, sharpness=1.0)
        strange = nonconformity(probabilities)[np.arange(130), labels]
        calibration = Calibration(1.0, np.ones(2), np.arange(80) % 2, strange[:80], labels[:80])
        new = np.stack([probabilities[80:]] * 2)
        sets = sets_of(calibration.set_probabilities(new, by_class), coverage)
        held.append(sets[np.arange(50), labels[80:]].mean())
    error = np.std(held) / 20
    assert coverage - 3 * error <= np.mean(held) <= coverage + (0.06 if by_class else 0.02) + 3 * error


@pytest.mark.parametrize(
    ("coverage", "folds", "samples", "proven"),
    [(0.9, 5, 200, 0.8 - 1.8 * 4 / 205), (0.9, 200, 200, 0.8 - 1.8 * 199 / 400), (0.5, 5, 10, 0.0)],
)
def test_the_proven_coverage_is_that_of_the_theorem(coverage, folds, samples, proven):
    assert proven_coverage(coverage, folds, samples) == pytest.approx(max(0.0, proven))


def test_alarms_are_as_rare_as_stated_and_strangers_are_marked():
    generator, false, true = np.random.default_rng(2), [], []
    means = generator.normal(size=(3, 6, 8))
    for _ in range(200):
        of_class = generator.integers(0, 3, 150)
        vectors = means[of_class] + 0.5 * generator.normal(size=(150, 6, 8))
        likeness = Likeness(np.arange(6), means, distances(vectors[:100], means))
        false.append((likeness.likeness(vectors[100:]) <= 0.05).mean())
        true.append((likeness.likeness(generator.normal(size=(20, 6, 8))) <= 0.05).mean())
    assert np.mean(false) <= 0.05 + 3 * np.std(false) / 200**0.5
    assert np.mean(true) > 0.95


def groups_of_near_duplicates(generator, groups, size):
    """Return vectors [group, member, head, dim]: groups differ, members of one hardly do."""
    centres = generator.normal(size=(groups, 1, 6, 8))
    return centres + 0.05 * generator.normal(size=(groups, size, 6, 8))


@pytest.mark.parametrize(("groups", "size"), [(4, 50), (19, 10), (60, 3)])
def test_new_groups_are_marked_no_more_often_than_stated(groups, size):
    """Each of 4 groups of 50 near-duplicates counted as 50: 30 % of the pictures of new groups were marked."""
    generator, marked, naive = np.random.default_rng(3), [], []
    means = generator.normal(size=(3, 6, 8))
    for _ in range(400):
        known = groups_of_near_duplicates(generator, groups, size).reshape(-1, 6, 8)
        new = groups_of_near_duplicates(generator, 1, 10)[0]
        cluster = np.repeat(np.arange(groups), size)
        for found, of_cluster in ((marked, cluster), (naive, None)):
            likeness = Likeness(np.arange(6), means, distances(known, means), of_cluster)
            found.append((likeness.likeness(new) <= 0.05).mean())
    assert np.mean(marked) <= 0.05 + 3 * np.std(marked) / 400**0.5
    assert groups >= least_compared(0.05) or not any(marked)
    assert np.mean(naive) > np.mean(marked)


@pytest.mark.parametrize(("groups", "size"), [(9, 20), (40, 5)])
def test_sets_hold_the_truth_of_new_groups_as_often_as_promised(groups, size):
    """One classifier for all folds, so that groups are exchangeable; all members of one are as strange."""
    generator, held = np.random.default_rng(4), []
    for _ in range(1000):
        probabilities, labels = said(generator, groups + 1, 4, sharpness=1.0)
        cluster = np.repeat(np.arange(groups), size)
        strange = nonconformity(probabilities)[np.arange(groups + 1), labels]
        calibration = Calibration(1.0, np.ones(2), cluster % 2, strange[cluster], labels[cluster], cluster)
        sets = sets_of(calibration.set_probabilities(np.stack([probabilities[-1:]] * 2)), 0.9)
        held.append(sets[0, labels[-1]])
    assert 0.9 - 3 * 0.3 / 1000**0.5 <= np.mean(held) <= 0.9 + 1 / (groups + 1) + 3 * 0.3 / 1000**0.5


@given(st.floats(0.01, 0.6))
def test_the_least_compared_are_those_among_whom_one_can_be_the_strangest(rate):
    least = least_compared(rate)
    assert 1 / (least + 1) <= rate + 1e-8
    assert least == 0 or 1 / least > rate - 1e-8


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_the_share_as_far_counts_the_new_one_too(known, new):
    expected = (1 + sum(one >= new - 1e-9 for one in known)) / (len(known) + 1)
    found = share_as_far(np.array(known), one_vote_each(len(known), None), np.array([new]))
    assert found[0] == pytest.approx(expected)


def test_heads_chosen_with_the_samples_make_no_stranger():
    """Where heads were chosen on the judged samples too, a fifth of new pictures were marked at 5 %."""
    marked = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        means = generator.normal(size=(2, 300, 8)) * 0.3 * (generator.random((1, 300, 1)) < 0.05)
        labels = np.repeat([0, 1], 20)
        vectors = generator.normal(size=(40, 300, 8)) + means[labels]
        found = fit([make_setting("savs-soft", k=20).method], Context(vectors, labels, 2, np.zeros(300, int), seed))
        new = generator.normal(size=(200, 300, 8)) + means[generator.integers(0, 2, 200)]
        marked.append((found.likeness.likeness(new) <= 0.05).mean())
    assert np.mean(marked) <= 0.08

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
    nonconformity,
    proven_coverage,
    sets_of,
    share_as_far,
    tempered,
)
from savs_analyze.votes.voting import softmax


def said(generator, samples, classes, sharpness=2.0):
    """Return calibrated probabilities, and truths drawn from them."""
    probabilities = softmax(sharpness * generator.normal(size=(samples, classes)))
    return probabilities, (probabilities.cumsum(axis=1) > generator.random((samples, 1))).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_a_temperature_that_was_put_in_is_found(temperature, classes):
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


@given(st.integers(0, 1000), st.booleans())
def test_sets_are_those_of_the_definition(seed, by_class):
    """Vovk 2015, eq. 5, by counting; every probability of it is met by at least the new sample itself."""
    generator = np.random.default_rng(seed)
    labels, fold = generator.integers(0, 3, 12), generator.integers(0, 4, 12)
    known = np.round(generator.exponential(size=12), 1)
    by_fold = softmax(generator.normal(size=(4, 5, 3)).reshape(20, 3)).reshape(4, 5, 3)
    calibration = Calibration(1.0, np.ones(4), fold, known, labels)
    found = calibration.set_probabilities(by_fold, by_class)
    for new in range(5):
        for label in range(3):
            of_interest = [i for i in range(12) if not by_class or labels[i] == label]
            strange = [known[i] >= -np.log(by_fold[fold[i], new, label]) - 1e-9 for i in of_interest]
            assert found[new, label] == pytest.approx((1 + sum(strange)) / (1 + len(of_interest)))


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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_the_share_as_far_counts_the_new_one_too(known, new):
    expected = (1 + sum(one >= new - 1e-9 for one in known)) / (len(known) + 1)
    assert share_as_far(np.array(known), np.array([new]))[0] == pytest.approx(expected)

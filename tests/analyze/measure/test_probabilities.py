"""Scores of probabilities, held to scikit-learn and statsmodels and to what they are to be zero for."""

import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from savs_analyze.measure.probabilities import brier_score, calibration_error, log_loss, wilson
from savs_analyze.votes.voting import softmax


@pytest.fixture(params=range(3))
def said(request):
    generator = np.random.default_rng(request.param)
    return softmax(generator.normal(size=(500, 4))), generator.integers(0, 4, 500)


def test_log_loss_and_brier_score_are_scikit_learns(said):
    probabilities, labels = said
    assert log_loss(probabilities, labels) == pytest.approx(metrics.log_loss(labels, probabilities, labels=range(4)))
    brier = metrics.brier_score_loss(labels, probabilities, labels=range(4), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(brier)


@pytest.mark.parametrize("right", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("samples", [10, 200])
def test_wilsons_interval_is_statsmodels(right, samples):
    found = proportion_confint(round(right * samples), samples, method="wilson")
    assert wilson(right, samples) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("samples", [40, 200, 2000])
def test_calibrated_answers_have_next_to_no_calibration_error(samples):
    """Its bias is taken off: of 40 samples in ten bins chance alone shows some 17 points."""
    generator, found = np.random.default_rng(0), []
    for _ in range(100):
        first = generator.uniform(0.5, 1, samples)
        labels = (generator.random(samples) > first).astype(int)
        found.append(calibration_error(np.stack([first, 1 - first], axis=1), labels))
    assert np.mean(found) < 0.02


def test_answers_that_are_too_sure_are_found_out():
    labels = np.repeat([0, 1], [700, 300])
    assert calibration_error(np.tile([0.9, 0.1], (1000, 1)), labels) == pytest.approx(0.2, abs=0.06)

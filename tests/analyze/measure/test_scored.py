"""Kept scores: probabilities as float16 logarithms, and all metrics that are made of them."""

import numpy as np
import pytest
from sklearn import metrics

from savs_analyze.measure.crossed import noise
from savs_analyze.measure.intervals import interval_of_mean
from savs_analyze.measure.metrics import METRICS, unit_scores
from savs_analyze.measure.probabilities import (
    LEAST,
    brier_losses,
    calibration_error,
    from_scores,
    log_losses,
    mean_of,
    reliability,
    to_scores,
)
from savs_analyze.measure.scored import LOWER_IS_BETTER, OF_RANKS, PLAIN, WITHOUT_INTERVAL
from savs_analyze.votes.voting import shares, softmax
from savs_metrics import OF_CLASSES, OF_SCORES, Metric

KINDS = {
    "plain": lambda normal: softmax(normal),
    "almost alike": lambda normal: softmax(normal / 1000),
    "almost certain": lambda normal: softmax(30 * normal),
    "certain": lambda normal: softmax(5000 * normal),
    "votes of heads": lambda normal: shares(np.maximum(np.round(5 * normal), 0.0)),
}


def said(kind, samples=500, classes=4, seed=0):
    return KINDS[kind](np.random.default_rng(seed).normal(size=(samples, classes)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 2, 4, 300])
def test_rounding_changes_no_likeliest_class_and_no_probability_by_much(kind, classes):
    probabilities = said(kind, classes=classes)
    kept = to_scores(probabilities)
    assert kept.dtype == np.float16
    likeliest = probabilities == probabilities.max(axis=1, keepdims=True)
    assert (kept[likeliest] == 0).all()
    again = from_scores(kept)
    assert (again[likeliest] == np.broadcast_to(again.max(axis=1, keepdims=True), again.shape)[likeliest]).all()
    assert np.abs(again - probabilities).max() < 0.003
    assert again.sum(axis=1) == pytest.approx(1)


def test_of_two_classes_order_is_kept_where_float16_probabilities_have_none():
    """Between 0.5 and 0.501 there are three of them, and above 0.9998 one."""
    odds = np.concatenate([np.linspace(-0.004, 0.004, 1001), np.linspace(8, 11, 300)])
    kept = to_scores(softmax(np.stack([-odds / 2, odds / 2], axis=1)))
    of_second = kept[:, 1].astype(float) - kept[:, 0]
    assert (np.diff(of_second) >= 0).all()
    assert len(np.unique(of_second)) > 1000
    assert len(np.unique(softmax(np.stack([-odds / 2, odds / 2], axis=1))[:, 1].astype(np.float16))) < 100


@pytest.mark.parametrize(
    "wrong", [[[0.5, np.nan]], [[1.5, -0.5]], [[0.5, 0.4]], [[np.inf, 0.0]]], ids=["NaN", "negative", "sum", "infinite"]
)
def test_what_is_no_probability_is_not_kept(wrong):
    assert to_scores(np.array(wrong)) is None


def units_of(probabilities, label, metric="accuracy", predicted=None):
    """Return the units of samples in groups as large as the metric asks for."""
    size, order = METRICS[metric].slots, np.arange(len(label))
    group, slot = (order // size, order % size) if size > 1 else (np.full(len(label), -1), np.full(len(label), -1))
    answers = probabilities.argmax(axis=1) if predicted is None else predicted
    classes = probabilities.shape[1]
    return unit_scores(metric, answers, label, order, group, slot, classes, to_scores(probabilities))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_scikit_learns(kind, classes):
    label = np.random.default_rng(1).integers(0, classes, 1500)
    probabilities = from_scores(to_scores(said(kind, 1500, classes)))
    found = units_of(probabilities, label).values()
    expected = {
        "log_loss": metrics.log_loss(label, np.maximum(probabilities, LEAST), labels=range(classes)),
        "brier_score": metrics.brier_score_loss(label, probabilities, labels=range(classes), scale_by_half=False),
        "calibration_error": calibration_error(probabilities, label),
    }
    if classes == 2:
        with np.errstate(divide="ignore"):
            odds = np.clip(np.log(probabilities[:, 1]) - np.log(probabilities[:, 0]), -1e6, 1e6)
        false, hits, _ = metrics.roc_curve(label, odds, drop_intermediate=False)
        expected |= {"auroc": metrics.roc_auc_score(label, odds)}
        expected |= {"average_precision": metrics.average_precision_score(label, odds)}
        for rate in (1, 5):
            expected[f"recall_at_{rate}_percent"] = np.interp(rate / 100, np.round(false, 14), hits)
    assert {name: found[name] for name in found if name in OF_SCORES} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("negatives", "missing"), [(99, {1, 5}), (100, {1}), (499, {1}), (500, set())])
def test_recall_is_left_out_where_the_negatives_are_too_few(negatives, missing):
    label = np.repeat([0, 1], [negatives, 50])
    found = units_of(said("plain", negatives + 50, 2), label).values()
    assert {rate for rate in (1, 5) if f"recall_at_{rate}_percent" not in found} == missing


@pytest.mark.parametrize(("classes", "label"), [(3, [0, 1, 2] * 10), (2, [1] * 30), (2, [0] * 30), (1, [0] * 30)])
def test_ranks_are_of_two_classes_that_both_occur(classes, label):
    found = units_of(said("plain", 30, classes), np.array(label)).values()
    assert set(found) & set(OF_SCORES) == {"log_loss", "brier_score", "calibration_error"}


def test_without_scores_there_are_no_metrics_of_them():
    none = np.full(4, -1)
    units = unit_scores("accuracy", np.zeros(4, int), np.zeros(4, int), np.arange(4), none, none, 2)
    assert not set(units.values()) & set(OF_SCORES)
    assert not set(units.influences()) & set(OF_SCORES)


@pytest.mark.parametrize("metric", METRICS)
def test_influences_are_of_units_and_sum_to_nothing(metric):
    label = np.random.default_rng(2).integers(0, 2, 1200)
    units = units_of(said("plain", 1200, 2), label, metric)
    assert set(units.influences()) == set(units.values())
    for name, influence in units.influences().items():
        assert influence.shape == units.unit.shape
        assert np.isnan(influence).all() if name in WITHOUT_INTERVAL else abs(influence.sum()) < 1e-10


def test_the_confidence_is_that_of_the_answer_whichever_of_equal_classes_it_is():
    probabilities = np.array([[0.4, 0.4, 0.2], [0.0, 1.0, 0.0]])
    units = units_of(probabilities, np.array([1, 1]), predicted=np.array([1, 2]))
    assert units.scored.confidence == pytest.approx([0.4, 0.0], abs=1e-4)


def test_clusters_of_ranks_are_those_of_positives_and_of_auroc_those_of_the_rarer_class():
    units = units_of(said("plain", 1000, 2), np.repeat([0, 1, 0, 1], [900, 96, 2, 2]), "question-image-group")
    found = {name: units.scored.clusters(name, units.cluster) for name in OF_RANKS}
    assert found == dict.fromkeys(OF_RANKS, 25)
    units = units_of(said("plain", 1000, 2), np.repeat([0, 1], [10, 990]))
    assert [units.scored.clusters(name, units.cluster) for name in OF_RANKS[:2]] == [10, 990]


def test_bins_of_a_diagram_hold_equal_probabilities_together():
    confidence, right = np.repeat([0.5, 0.75, 1.0], [20, 15, 65]), np.arange(100) % 2 == 0
    found = reliability(confidence, right)
    assert found.confidence == pytest.approx([0.5, 0.75, 1.0])
    assert found.count.tolist() == [20, 15, 65]
    assert found.right @ found.count == pytest.approx(right.sum())


def test_bins_of_a_diagram_have_equal_mass():
    confidence = np.random.default_rng(0).random(1000)
    found = reliability(confidence, confidence > 0.3)
    assert found.count.tolist() == [100] * 10
    assert (np.diff(found.confidence) > 0).all()


def test_every_metric_of_scores_is_known_once():
    assert {*OF_RANKS, *PLAIN, *LOWER_IS_BETTER} == set(OF_SCORES)
    assert not set(OF_SCORES) & set(OF_CLASSES)


@pytest.mark.parametrize("name", ["auroc", "macro_f1"])
def test_a_metric_of_others_takes_no_name_that_is_reported_beside_it(name):
    with pytest.raises(ValueError, match=f"{name} is reported beside every metric"):
        Metric("mine", lambda predicted, label: {name: np.ones(len(label))}).check()


def drawn(seed, samples):
    """Return probabilities that are too sure, and labels drawn from milder ones."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(2 * generator.normal(size=(samples, 3)))
    milder = softmax(0.7 * np.log(probabilities))
    return probabilities, (generator.random(samples)[:, None] > milder.cumsum(axis=1)[:, :2]).sum(axis=1)


@pytest.mark.slow
def test_intervals_of_losses_hold_the_truth_as_often_as_they_say():
    truth = [losses(*drawn(10**6, 10**6)).mean() for losses in (log_losses, brier_losses)]
    hits = []
    for seed in range(1000):
        log, brier = (mean_of(losses(*drawn(seed, 300))) for losses in (log_losses, brier_losses))
        values, influences = np.array([log.value, brier.value]), np.column_stack([log.influence, brier.influence])
        low, high = interval_of_mean(values, noise(values[None], [influences]))
        hits.append((low <= truth) & (truth <= high))
    assert all(0.93 <= covered <= 0.97 for covered in np.mean(hits, axis=0))

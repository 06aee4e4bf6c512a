"""How far probabilities are true: diagrams and lines of numbers, held to the answers they are made of."""

import numpy as np
import pandas as pd
import pytest

from kit.sweeps import sweep
from savs_analyze.findings.findings import Findings
from savs_analyze.findings.summary import measured, numbers
from savs_analyze.measure.intervals import interval_of_mean
from savs_analyze.measure.probabilities import Reliability, wilson
from savs_analyze.report.layout import Number, metric_words
from savs_analyze.report.notes import score_notes
from savs_analyze.report.reliability import Answers, diagrams
from savs_analyze.report.sections import _best, probabilities
from savs_metrics import OF_SCORES


@pytest.fixture
def found(make_store, tmp_path):
    """A sweep of two classes, on which zero-shot has an opinion that has nothing to do with them."""
    logits = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    sweep([make_store(logits=logits).path], tmp_path / "out", shots=5, draws=2, heads=(3,))
    return Findings.of_folder(tmp_path / "out")


def test_intervals_are_of_as_many_answers_as_one_draw_has():
    binned = Reliability(np.array([0.5, 0.9]), np.array([0.6, 1.0]), np.array([100, 40]))
    answers = Answers.of("a", 0, binned, draws=4)
    assert (answers.confidence, answers.right) == ([50, 90], [60, 100])
    expected = 100 * np.array([wilson(0.6, 25), wilson(1.0, 10)])
    assert np.transpose([answers.low, answers.high]) == pytest.approx(expected)


def test_a_diagram_has_the_best_method_and_zero_shot_and_all_their_answers(found):
    [diagram] = diagrams(found)
    assert [answers.name for answers in diagram.answers] == ["SAVs, 3 heads", "zero-shot"]
    table = found.answers()
    for answers, method in zip(diagram.answers, ("savs", "zero-shot"), strict=True):
        own = table[(table.method == method) & (table.split == "test")]
        assert min(answers.confidence) >= 100 * own.score.min() - 1e-9
        assert max(answers.confidence) <= 100 * own.score.max() + 1e-9
        assert min(answers.right) - 1e-9 <= 100 * own.correct.mean() <= max(answers.right) + 1e-9


def test_lines_of_numbers_are_those_of_the_table(found):
    section = probabilities(found)
    rows = found.chosen[found.chosen.metric.isin(OF_SCORES)]
    for row in rows.itertuples():
        number = Number(row.value, row.low, row.high, row.close, row.metric)
        assert any(f"{metric_words(row.metric)} {number}" in note for note in section.notes)
    assert section.notes[-2:] == score_notes(found.cells)


def test_losses_have_students_interval_and_no_percent(found):
    rows = {(keys["method"], keys["metric"]): one for keys, one in measured(found.cells)}
    for method in ("savs", "zero-shot"):
        one = rows[method, "log_loss"]
        ((low,), (high,)) = interval_of_mean(np.array([one.value]), one.noise)
        shown = numbers(one, "log_loss")
        assert (shown["low"], shown["high"]) == pytest.approx((max(0.0, low), high))
        assert str(Number(one.value, low, high, False, "log_loss")) == f"{one.value:.3f} [{low:.3f}, {high:.3f}]"
    error = numbers(rows["savs", "calibration_error"], "calibration_error")
    assert np.isnan([error["low"], error["high"]]).all()
    assert str(Number(0.031, np.nan, np.nan, False, "calibration_error")) == "3.1"


@pytest.mark.parametrize(
    ("metric", "best"),
    [("accuracy", 2), ("auroc", 2), ("log_loss", 0), ("brier_score", 0), ("calibration_error", 0)],
)
def test_of_losses_the_least_is_bold(metric, best):
    entries = _best([Number(value, 0.0, 1.0, False, metric) for value in (0.1, 0.2, 0.3)])
    assert [entry.best for entry in entries] == [place == best for place in range(3)]


def test_the_positive_class_is_named(found):
    [facts] = {tuple(cell.facts.class_names) for cell in found.cells}
    assert any(
        f"the second of two classes as positive: {facts[1]!r} of toy" in note for note in score_notes(found.cells)
    )


def test_scores_are_those_of_scikit_learn_from_the_answers(found):
    """From the table of answers alone, of which every score is kept to float16."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    rows = found.table().set_index(["method", "metric"]).value
    answers = found.answers()
    second = sorted(set(answers.label))[1]
    for method in ("savs", "zero-shot"):
        own = answers[(answers.method == method) & (answers.split == "test")]
        values = []
        for _, draw in own.groupby("draw"):
            chance = np.where(draw.answer == second, draw.score, 1 - draw.score)
            truth = draw.label == second
            values.append((roc_auc_score(truth, chance), 2 * brier_score_loss(truth, chance)))
        assert rows[method, "auroc"] == pytest.approx(np.mean(values, axis=0)[0], abs=2e-3)
        assert rows[method, "brier_score"] == pytest.approx(np.mean(values, axis=0)[1], abs=2e-3)


def test_a_summary_without_scores_has_no_section(found):
    for cell in found.cells:
        del cell.arrays["scores"]
    assert probabilities(found) is None
    assert isinstance(found.table(), pd.DataFrame)

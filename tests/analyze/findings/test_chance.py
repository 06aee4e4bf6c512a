"""Chance is what guessing has, counted out or played out."""

import numpy as np
import pytest

from kit.sweeps import sweep
from savs_analyze.findings.chance import MOST_GUESSES, chance_levels, guessed
from savs_analyze.findings.findings import Findings
from savs_analyze.measure.metrics import METRICS
from savs_metrics import Metric
from savs_stores import BenchmarkInfo, write_store

KNOWN = {
    ("accuracy", 2): {"accuracy": 1 / 2},
    ("accuracy", 1000): {"accuracy": 1 / 1000},
    ("pair", 2): {"pair_accuracy": 1 / 4, "accuracy": 1 / 2},
    ("pair", 3): {"pair_accuracy": 1 / 9, "accuracy": 1 / 3},
    ("question-image-group", 2): {
        "group_accuracy": 1 / 16,
        "question_accuracy": 1 / 4,
        "image_accuracy": 1 / 4,
        "accuracy": 1 / 2,
    },
}


@pytest.mark.parametrize(("metric", "classes"), KNOWN)
def test_levels_that_everybody_knows(metric, classes):
    labels = np.random.default_rng(0).integers(classes, size=(50, METRICS[metric].slots))
    assert guessed(METRICS[metric], labels, classes) == pytest.approx(KNOWN[metric, classes])


def _near(predicted, label):
    return {"within_one": (abs(predicted - label) <= 1)[:, 0]}


def test_a_metric_of_a_user_is_played_out():
    """The oracle guesses many times."""
    labels = np.random.default_rng(0).integers(5, size=(40, 1))
    metric = Metric("near", _near)
    guesses = np.random.default_rng(1).integers(5, size=(4000, 40, 1))
    played = np.mean([metric.score(of, labels)["within_one"].mean() for of in guesses])
    assert guessed(metric, labels, 5)["within_one"] == pytest.approx(played, abs=0.005)


def test_too_many_guesses_have_no_level():
    assert guessed(Metric("near", _near), np.zeros((3, 1), dtype=np.int64), MOST_GUESSES + 1) == {}


def test_levels_are_of_the_lines_of_a_summary(make_store, tmp_path):
    store = make_store(classes=4)
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(3,))
    found = Findings.of_folder(tmp_path / "out")
    levels = chance_levels(found.cells)
    assert levels["toy", "planted", "all", "accuracy"] == 1 / 4
    assert levels["toy", "planted", "all", "balanced_accuracy"] == 1 / 4
    lines = set(found.summary[["benchmark", "model", "task", "metric"]].itertuples(index=False, name=None))
    assert set(levels) <= lines


def test_the_mean_of_tasks_has_the_mean_of_their_levels(generator, tmp_path):
    labels = ["a", "b"] * 30 + ["x", "y", "z"] * 20
    store = write_store(
        tmp_path / "two.zarr",
        benchmark=BenchmarkInfo("two", {"one": ["a", "b"], "other": ["x", "y", "z"]}),
        samples={"label": labels, "task": ["one"] * 60 + ["other"] * 60, "split": (["pool"] * 6 + ["test"] * 6) * 10},
        model="planted",
        heads=generator.normal(size=(120, 2, 3, 4)),
    )
    sweep([store.path], tmp_path / "out", shots=3, draws=2, heads=(2,))
    levels = chance_levels(Findings.of_folder(tmp_path / "out").cells)
    assert levels["two", "planted", "mean of 2 tasks", "accuracy"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_line_with_a_setting_that_chooses_among_printed_options_has_no_level(make_store, tmp_path):
    """Of two printed options guessing has a half, whatever the classes; results do not keep how many are printed."""
    store = make_store(classes=4, options=[["ant", "bee", "cat", "dog"]] * 240)
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(3,), restricted=True)
    assert chance_levels(Findings.of_folder(tmp_path / "out").cells) == {}

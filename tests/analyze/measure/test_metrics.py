import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from savs_analyze.measure.metrics import METRICS, unit_scores
from savs_analyze.measure.units import class_metrics

NONE = np.array([-1])


def of_correct(metric, correct, sample, group, slot):
    """Return the units of predictions that are right or wrong on labels that are all of class 0."""
    label = np.zeros(len(correct), dtype=int)
    return unit_scores(metric, 1 - np.asarray(correct, dtype=int), label, sample, group, slot, 2)


def square(*correct):
    """Return the scores of one group; slots are question 0 on both images, then question 1 on both."""
    units = of_correct("question-image-group", correct, np.arange(4), np.zeros(4, int), np.arange(4))
    return {name: float(values[0]) for name, values in units.scores.items()}


@pytest.mark.parametrize(
    ("correct", "group", "question", "image", "raw"),
    [
        ((1, 1, 1, 1), 1, 1.0, 1.0, 1.0),
        ((1, 1, 0, 0), 0, 0.5, 0.0, 0.5),  # the first question on both images
        ((1, 0, 1, 0), 0, 0.0, 0.5, 0.5),  # both questions on the first image
        ((1, 0, 0, 1), 0, 0.0, 0.0, 0.5),  # the answer "yes" to what is true only
        ((0, 1, 1, 1), 0, 0.5, 0.5, 0.75),
    ],
)
def test_naturalbench_scores_of_one_group(correct, group, question, image, raw):
    expected = {"group_accuracy": group, "question_accuracy": question, "image_accuracy": image, "accuracy": raw}
    assert square(*correct) == expected


@pytest.mark.parametrize(("correct", "pair", "raw"), [((1, 1), 1, 1.0), ((1, 0), 0, 0.5), ((0, 0), 0, 0.0)])
def test_a_pair_counts_when_both_are_right(correct, pair, raw):
    units = of_correct("pair", correct, np.arange(2), np.zeros(2, int), np.arange(2))
    assert {name: values.tolist() for name, values in units.scores.items()} == {
        "pair_accuracy": [pair],
        "accuracy": [raw],
    }


@pytest.mark.parametrize("metric", METRICS)
@given(data=st.data())
def test_the_order_of_samples_does_not_matter(metric, data):
    predicted, label = (np.array(data.draw(st.lists(st.integers(0, 2), min_size=12, max_size=12))) for _ in range(2))
    order = np.array(data.draw(st.permutations(range(12))))
    size = {"question-image-group": 4, "pair": 2}.get(metric, 1)
    group, slot = np.repeat(np.arange(12 // size)[::-1] + 3, size), np.tile(np.arange(size), 12 // size)
    plain = unit_scores(metric, predicted, label, np.arange(12), group, slot, 3)
    mixed = unit_scores(metric, predicted[order], label[order], order, group[order], slot[order], 3)
    assert tuple(plain.values()) == METRICS[metric].reports
    assert plain.values() == pytest.approx(mixed.values())
    assert sorted(plain.unit.tolist()) == sorted(mixed.unit.tolist())


@pytest.mark.parametrize("metric", METRICS)
@given(st.data())
def test_class_metrics_are_those_of_scikit_learn(metric, data):
    size = {"question-image-group": 4, "pair": 2}.get(metric, 1)
    count = size * data.draw(st.integers(1, 6))
    predicted, label = (
        np.array(data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))) for _ in range(2)
    )
    units = unit_scores(
        metric, predicted, label, np.arange(count), np.arange(count) // size, np.arange(count) % size, 5
    )
    assert units.values()["macro_f1"] == pytest.approx(f1_score(label, predicted, average="macro"))
    recalls = [np.mean(predicted[label == name] == name) for name in set(label)]
    assert units.values()["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    if set(predicted) <= set(label) and len(set(label)) > 1:  # scikit-learn warns otherwise
        assert units.values()["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, predicted))


def test_metrics_of_nothing_are_nan():
    assert np.isnan([*class_metrics(np.zeros((3, 6))).values()]).all()


def test_many_classes_are_counted_apart():
    # 16 bits, in which labels are stored, end at 32,767.
    label = np.array([0, 19_999], dtype=np.int16)
    units = unit_scores("accuracy", label, label, np.arange(2), np.full(2, -1), np.full(2, -1), 20_000)
    assert units.values() == {"accuracy": 1, "balanced_accuracy": 1, "macro_f1": 1}


def test_accuracy_keeps_groups_together_and_others_apart():
    units = of_correct("accuracy", [True, False, True], np.array([7, 8, 9]), np.array([3, 3, -1]), np.full(3, -1))
    assert units.unit.tolist() == [7, 8, 9]
    assert units.cluster[0] == units.cluster[1] != units.cluster[2]
    assert units.scores["accuracy"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("metric", "slot"),
    [("question-image-group", [0, 1, 2]), ("question-image-group", [0, 1, 2, 2]), ("pair", [0]), ("pair", [1, 1])],
)
def test_an_incomplete_group_is_refused(metric, slot):
    zeros = np.zeros(len(slot), dtype=int)
    with pytest.raises(ValueError, match="slots 0, 1"):
        of_correct(metric, zeros, zeros, zeros, np.array(slot))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        unit_scores("f1", NONE, NONE, NONE, NONE, NONE, 2)

"""Who is taken for whom, against scikit-learn and plain loops."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from savs_analyze.measure.confusion import confused, confusion, recalls, worst_first

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=30)


@given(pairs)
def test_the_counts_and_recalls_are_scikit_learns(found):
    label, predicted = np.array(found).T
    counts = confusion(predicted, label, CLASSES)
    assert counts.tolist() == confusion_matrix(label, predicted, labels=range(CLASSES)).tolist()
    expected = recall_score(label, predicted, labels=range(CLASSES), average=None, zero_division=np.nan)
    np.testing.assert_allclose(recalls(counts), expected)


@given(pairs)
def test_classes_with_samples_come_worst_first(found):
    label, predicted = np.array(found).T
    counts = confusion(predicted, label, CLASSES)
    order = worst_first(counts)
    assert sorted(order) == sorted(set(label.tolist()))
    assert order == sorted(order, key=lambda one: (recalls(counts)[one], one))


@given(pairs)
def test_what_is_confused_comes_most_frequent_first(found):
    label, predicted = np.array(found).T
    wrong = Counter((one, other) for one, other in found if one != other)
    assert confused(confusion(predicted, label, CLASSES)) == sorted(wrong, key=lambda pair: (-wrong[pair], pair))

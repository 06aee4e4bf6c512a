import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from savs_analyze.classifier import SAVClassifier


@parametrize_with_checks([SAVClassifier(), SAVClassifier(n_heads=1)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_labels_of_any_kind_come_back():
    features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    labels = np.array(["yes", "yes", "no", "no"])
    assert SAVClassifier().fit(features, labels).predict(features).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"head_dim": 3}, "4 features are not a whole number of heads of 3"), ({"n_heads": 0}, "at least one head")],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        SAVClassifier(**settings).fit(np.eye(4), [0, 0, 1, 1])

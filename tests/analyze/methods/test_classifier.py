"""Every method as a scikit-learn classifier."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT

NAMES = [name for name in METHODS if name != ZERO_SHOT]
# One of every way to learn and to vote; the others are tried when asked for.
FAST = ["savs-l2", "savs-soft", "savs-loo", "class-favoured", "class-similarity-balanced", "layers", "random"]
FAST += ["knn", "gaussian", "ridge", "last-layer-probe"]


def classifier(name, **settings):
    return SAVClassifier(**{"method": name, "n_heads": 5, "head_dim": 6, "heads_per_layer": 4, **settings})


@pytest.fixture(scope="module")
def planted():
    """Samples of three classes in 12 heads, 4 of which tell them apart, and as many others."""
    generator = np.random.default_rng(0)
    labels = np.tile(["no", "perhaps", "yes"], 20)
    directions = generator.normal(size=(3, 4, 6)) * 2
    vectors = generator.normal(size=(60, 12, 6))
    vectors[:, 8:] += directions[np.unique(labels, return_inverse=True)[1]]
    flat = vectors.reshape(60, -1)
    return flat[:30], labels[:30], flat[30:], labels[30:]


@parametrize_with_checks([SAVClassifier(), SAVClassifier(n_heads=1)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_scikit_learn_accepts_it_by_every_method(name):
    check_estimator(SAVClassifier(method=name), on_skip=None)


@pytest.mark.parametrize("name", NAMES)
def test_planted_classes_are_found(planted, name):
    seen, labels, unseen, truth = planted
    chosen = {"layers": 1} if name == "layers" else None
    n_heads, least = (12, 0.6) if name == "random" else (4, 0.9)
    assert classifier(name, parameters=chosen, n_heads=n_heads).fit(seen, labels).score(unseen, truth) > least


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_one_and_the_largest_is_predicted(planted, name):
    seen, labels, unseen, _ = planted
    model = classifier(name).fit(seen, labels)
    found, predicted = model.predict_proba(unseen), model.predict(unseen)
    assert found.shape == (30, 3)
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(30))
    of_predicted = found[np.arange(30), np.searchsorted(model.classes_, predicted)]
    assert of_predicted == pytest.approx(found.max(axis=1))
    # Of equal votes, the class of the best head is predicted.
    alone = (np.abs(found - found.max(axis=1, keepdims=True)) < 1e-9).sum(axis=1) == 1
    assert (model.classes_[found.argmax(axis=1)] == predicted)[alone].all()
    assert alone.any()


@pytest.mark.parametrize(
    ("name", "ties"), [("savs", True), ("savs-soft", False), ("class-similarity", False), ("gaussian", False)]
)
def test_heads_that_count_tie_and_heads_that_weigh_do_not(planted, name, ties):
    seen, labels, unseen, _ = planted
    noise = np.random.default_rng(1).normal(size=unseen.shape)
    found = np.sort(classifier(name, n_heads=4).fit(seen, labels).predict_proba(noise), axis=1)
    assert (found[:, -1] == found[:, -2]).any() == ties


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_pickling_and_predicts_the_same_twice(planted, name):
    seen, labels, unseen, _ = planted
    model = classifier(name, random_state=3).fit(seen, labels)
    kept = pickle.loads(pickle.dumps(model))  # noqa: S301
    again = clone(model).fit(seen, labels)
    for other in (kept, again):
        assert (other.predict_proba(unseen) == model.predict_proba(unseen)).all()
        assert (other.predict(unseen) == model.predict(unseen)).all()


@pytest.mark.parametrize(
    "names", [["no", "yes"], [-1, 1], [10, 2], [False, True], np.array(["a", "b"], dtype=object), [0.0, 1.0]]
)
@pytest.mark.parametrize("name", ["savs", "class-favoured", "ridge", "knn"])
def test_labels_of_any_kind_come_back(planted, name, names):
    seen, _, unseen, _ = planted
    labels = np.asarray(names)[np.arange(30) % 2]
    model = classifier(name).fit(seen, labels)
    assert model.classes_.tolist() == sorted(names)
    predicted = model.predict(unseen)
    assert predicted.dtype == labels.dtype
    assert set(predicted.tolist()) <= set(labels.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_attributes_tell_the_heads(planted, name):
    seen, labels, _, _ = planted
    model = classifier(name, n_heads=2, parameters={"layers": 1} if name == "layers" else None).fit(seen, labels)
    assert model.n_features_in_ == 72
    assert model.counts_.shape == (12,)
    assert model.centroids_.shape == (3, len(model.heads_), 6)
    assert (model.counts_[8:] > model.counts_[:8].max()).all()
    if name not in ("random",):
        assert set(model.heads_.tolist()) <= set(range(8, 12))  # the planted ones, which are also the last layer
    means = seen.reshape(30, 12, 6)[labels == "perhaps"].mean(axis=0)
    assert model.centroids_[1] == pytest.approx(means[model.heads_])


def test_other_seeds_choose_other_random_heads(planted):
    seen, labels, _, _ = planted
    chosen = {tuple(classifier("random", n_heads=3, random_state=s).fit(seen, labels).heads_) for s in range(5)}
    assert len(chosen) > 1


@pytest.mark.parametrize(("heads_per_layer", "heads"), [(4, 4), (2, 2), (6, 6), (12, 12), (None, 12)])
@pytest.mark.parametrize("name", ["layers", "last-layer-probe"])
def test_layers_are_as_wide_as_one_says(planted, name, heads_per_layer, heads):
    seen, labels, _, _ = planted
    parameters = {"layers": 1} if name == "layers" else None
    model = classifier(name, heads_per_layer=heads_per_layer, parameters=parameters).fit(seen, labels)
    first = model.heads_.min()
    assert sorted(model.heads_) == list(range(first, first + heads))
    assert first % (heads_per_layer or 12) == 0


def test_hyperparameters_reach_the_method(planted):
    seen, labels, unseen, _ = planted
    sharp, flat = (
        classifier("savs-soft", parameters={"temperature": t}).fit(seen, labels).predict_proba(unseen)
        for t in (0.01, 9)
    )
    assert sharp.max() > 0.9
    assert flat.max() < 0.4


def test_it_works_where_scikit_learn_puts_classifiers(planted):
    seen, labels, unseen, truth = planted
    search = GridSearchCV(classifier("savs"), {"n_heads": [1, 4], "method": ["savs", "savs-l2"]}, cv=3)
    assert search.fit(seen, labels).score(unseen, truth) > 0.9
    assert cross_val_score(make_pipeline(StandardScaler(), classifier("savs")), seen, labels, cv=3).mean() > 0.8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head_dim": 3}, "4 features are not a whole number of heads of 3"),
        ({"n_heads": 0}, "at least one head"),
        ({"method": "svas"}, "there is no method 'svas'; did you mean 'savs'"),
        ({"method": ZERO_SHOT}, "zero-shot needs the logits of the model"),
        ({"parameters": {"gamma": 1}}, "savs has no gamma; it has k"),
        ({"parameters": {"k": 0}}, "k must be at least 1"),
        ({"method": "savs-rbf", "parameters": {"gamma": -1}}, "gamma must be above 0"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        SAVClassifier(**settings).fit(np.eye(4), [0, 0, 1, 1])


@pytest.mark.parametrize("name", ["savs-loo", "savs-loo-margin"])
def test_leave_one_out_needs_two_samples_of_a_class(name):
    with pytest.raises(ValueError, match="class 1 has one sample: leave-one-out needs two of every class"):
        SAVClassifier(method=name).fit(np.eye(3), [0, 0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    features = np.eye(4)
    features[1, 1] = value
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        SAVClassifier().fit(features, [0, 0, 1, 1])
    model = SAVClassifier().fit(np.eye(4), [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        model.predict(features)


@pytest.mark.parametrize("name", NAMES)
def test_float16_features_are_taken(planted, name):
    seen, labels, unseen, _ = planted
    half, unseen = seen.astype(np.float16), unseen.astype(np.float16)
    found = classifier(name).fit(half, labels).predict(unseen)
    assert (found == classifier(name).fit(half.astype(float), labels).predict(unseen.astype(float))).all()

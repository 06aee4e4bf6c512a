"""Every method as a scikit-learn classifier."""

import pickle
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from savs_analyze.lasso.estimator import LassoLogisticRegression, SparseGroupLogisticRegression
from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import make_setting

NAMES = [name for name in METHODS if not make_setting(name).method.needs]
# One of every way to learn and to vote; the others are tried when asked for.
FAST = ["savs-l2", "savs-soft", "savs-loo", "class-favoured", "class-similarity-balanced", "layers", "random"]
FAST += ["knn", "gaussian", "ridge", "last-layer-probe"]
# They leave samples out, count neighbours, or estimate covariances.
UNWEIGHTED = ["savs-loo", "savs-loo-margin", "knn", "paper-knn", "gaussian", "auto"]
OF_MORE_HEADS = ("lda", "ridge-gcv", "linear-probe-all", "kernel-ridge", "kernel-ridge-all", "kernel-ridge-weighted")
UNWEIGHTED += [n for n in NAMES if n.startswith(("hec", "whitened", "calm", "kernel-ridge", "lda", "ridge-gcv"))]
SEEING = [name for name in NAMES if make_setting(name).method.transductive]
SEES_ALL = {"check_methods_subset_invariance": "what is said of a sample depends on those beside it"}
REFUSED_WEIGHTS = {
    f"check_{check}": "the method refuses weights"
    for check in (
        "sample_weights_pandas_series",
        "sample_weights_not_an_array",
        "sample_weights_list",
        "sample_weights_shape",
        "sample_weights_not_overwritten",
        "sample_weight_equivalence_on_dense_data",
        "all_zero_sample_weights_error",
        "classifiers_one_label_sample_weights",
    )
}


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


@parametrize_with_checks([SAVClassifier(), SAVClassifier(n_heads=1), SAVClassifier(head_dim=1, heads_per_layer=1)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_scikit_learn_accepts_it_by_every_method(name):
    check_estimator(
        SAVClassifier(method=name),
        on_skip=None,
        expected_failed_checks=(REFUSED_WEIGHTS if name in UNWEIGHTED else {}) | (SEES_ALL if name in SEEING else {}),
    )


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
    assert model.classes_[found.argmax(axis=1)].tolist() == predicted.tolist()
    assert ((found == found.max(axis=1, keepdims=True)).sum(axis=1) == 1).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 4), n_heads=st.integers(1, 6))
def test_what_is_predicted_is_most_probable_whatever_ties(name, seed, classes, n_heads):
    """Equal votes were decided by the best head, equal probabilities by the first class."""
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-1, 2, size=(6 * classes, 6, 2)).astype(float)
    labels = np.arange(6 * classes) % classes
    model = SAVClassifier(n_heads, method=name, heads_per_layer=2).fit(vectors[: 3 * classes], labels[: 3 * classes])
    unseen = vectors[3 * classes :]
    assert (model.classes_[model.predict_proba(unseen).argmax(axis=1)] == model.predict(unseen)).all()


@pytest.mark.parametrize("name", NAMES)
def test_heads_as_a_store_gives_them_are_the_same_as_features(planted, name):
    seen, labels, unseen, _ = planted
    deep, wide = seen.reshape(30, 12, 6), unseen.reshape(30, 12, 6)
    expected = classifier(name).fit(seen, labels)
    for head_dim in (None, 6):
        model = classifier(name, head_dim=head_dim).fit(deep.astype(np.float64).tolist(), labels)
        assert model.n_features_in_ == 72
        for shown in (unseen, wide, list(wide)):
            assert (model.predict_proba(shown) == expected.predict_proba(unseen)).all()
    assert (expected.predict(wide) == expected.predict(unseen)).all()


@pytest.mark.parametrize(
    ("head_dim", "shape", "words"),
    [
        (3, (12, 6), r"head_dim=3, but X is \[sample, 12, 6\]: leave head_dim out"),
        (5, (72,), "head_dim=5: 72 features are not a whole number of heads of 5"),
        (72, (72,), r"head_dim=72 makes one single head of all features \(n_features=72\): leave head_dim out"),
    ],
)
@pytest.mark.parametrize(
    "estimator", [SAVClassifier(), SparseGroupLogisticRegression(), LassoLogisticRegression()], ids=repr
)
def test_heads_that_do_not_fit_are_refused_in_words(planted, estimator, head_dim, shape, words):
    seen, labels, _, _ = planted
    with pytest.raises(ValueError, match=words):
        clone(estimator).set_params(head_dim=head_dim).fit(seen.reshape(30, *shape), labels)


@pytest.mark.parametrize("estimator", [SAVClassifier(head_dim=6), LassoLogisticRegression(head_dim=6)], ids=repr)
def test_other_heads_than_those_fitted_on_are_refused_in_words(planted, estimator):
    seen, labels, unseen, _ = planted
    model = clone(estimator).fit(seen, labels)
    for other in (unseen.reshape(30, 6, 12), unseen.reshape(30, 24, 3), unseen[:, :60].reshape(30, 10, 6)):
        with pytest.raises(ValueError, match=r"X is \[sample, .*\]: fitted on 12 heads of 6"):
            model.predict(other)


def test_one_head_holds_all_features_where_none_are_told(planted):
    seen, labels, _, _ = planted
    assert SAVClassifier().fit(seen, labels).centroids_.shape == (3, 1, 72)
    assert SAVClassifier().fit(seen[:, None], labels).centroids_.shape == (3, 1, 72)


@pytest.mark.parametrize(
    ("name", "ties"), [("savs", True), ("savs-soft", False), ("class-similarity", False), ("gaussian", False)]
)
def test_heads_that_count_tie_and_heads_that_weigh_do_not(planted, name, ties):
    seen, labels, unseen, _ = planted
    noise = np.random.default_rng(1).normal(size=unseen.shape)
    found = np.sort(classifier(name, n_heads=4).fit(seen, labels).predict_proba(noise), axis=1)
    assert (found[:, -1] - found[:, -2] < 2e-9).any() == ties


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
    layer, place = model.heads_.T
    if name not in ("random", "auto", *OF_MORE_HEADS):  # auto may choose one of these
        assert set(layer) == {2}  # of the planted ones, which are also the last layer
    means = seen.reshape(30, 12, 6)[labels == "perhaps"].mean(axis=0)
    assert model.centroids_[1] == pytest.approx(means[4 * layer + place])
    plain = classifier("savs", heads_per_layer=None).fit(seen, labels)
    assert plain.heads_.tolist() == (classifier("savs").fit(seen, labels).heads_ @ [4, 1]).tolist()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNWEIGHTED])
@pytest.mark.parametrize("seed", range(3))
def test_whole_weights_are_samples_given_several_times(planted, name, seed):
    seen, labels, unseen, _ = planted
    generator = np.random.default_rng(seed)
    weights = generator.integers(0, 4, 30)
    noisy = seen + 2 * generator.normal(size=seen.shape)
    several = np.repeat(np.arange(30), weights)
    model = classifier(name).fit(noisy, labels, weights)
    expected = classifier(name).fit(noisy[several], labels[several])
    assert model.heads_.tolist() == expected.heads_.tolist()
    assert model.counts_ == pytest.approx(expected.counts_)
    assert model.centroids_ == pytest.approx(expected.centroids_)
    within = 1e-3 if name == "mlp-probe" else 1e-6  # whose steps are not as many
    assert model.predict_proba(unseen) == pytest.approx(expected.predict_proba(unseen), abs=within)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n.startswith(("savs", "paper", "class", "layers", "random")) and n not in UNWEIGHTED]
)
@pytest.mark.parametrize("factor", [1e-12, 0.3, 1e9])
def test_only_the_proportions_of_weights_count_where_heads_vote(planted, name, factor):
    seen, labels, unseen, _ = planted
    generator = np.random.default_rng(4)
    noisy, weights = seen + 2 * generator.normal(size=seen.shape), generator.uniform(0.1, 3, 30)
    one, other = (classifier(name).fit(noisy, labels, by * weights) for by in (1, factor))
    assert other.heads_.tolist() == one.heads_.tolist()
    assert other.counts_ == pytest.approx(factor * one.counts_)
    assert other.predict_proba(unseen) == pytest.approx(one.predict_proba(unseen), abs=1e-9)


def test_centroids_and_counts_of_weighted_samples_are_weighted(planted):
    seen, labels, _, _ = planted
    weights = np.random.default_rng(5).uniform(0, 3, 30)
    model = SAVClassifier(n_heads=12, head_dim=6).fit(seen, labels, weights)
    vectors = seen.reshape(30, 12, 6)
    for head, place in enumerate(model.heads_):
        means = [np.average(vectors[labels == c, place], axis=0, weights=weights[labels == c]) for c in model.classes_]
        assert model.centroids_[:, head] == pytest.approx(np.array(means))
        found = model.classes_[cosine_similarity(vectors[:, place], means).argmax(axis=1)]
        assert model.counts_[place] == pytest.approx(
            accuracy_score(labels, found, normalize=False, sample_weight=weights)
        )


@pytest.mark.parametrize("name", UNWEIGHTED)
def test_weights_are_refused_where_a_method_has_no_use_for_them(planted, name):
    seen, labels, _, _ = planted
    with pytest.raises(ValueError, match=f"{name} takes no sample_weight"):
        classifier(name).fit(seen, labels, np.arange(30))


def test_other_seeds_choose_other_random_heads(planted):
    seen, labels, _, _ = planted
    chosen = [drawn(seen, labels, seed) for seed in range(5)]
    assert len(set(chosen)) > 1
    assert chosen[0] == tuple(np.random.default_rng([0, 12]).permutation(12)[:3])
    assert chosen[2] == drawn(seen, labels, np.int64(2))


def test_random_state_is_as_in_scikit_learn(planted):
    """None draws anew in every fit, a RandomState goes on, the same state gives the same."""
    seen, labels, _, _ = planted
    assert len({drawn(seen, labels, None) for _ in range(5)}) > 1
    one, other = np.random.RandomState(7), np.random.RandomState(7)
    first = [drawn(seen, labels, one) for _ in range(5)]
    assert len(set(first)) > 1
    assert first == [drawn(seen, labels, other) for _ in range(5)]


def drawn(seen, labels, random_state):
    model = classifier("random", n_heads=3, heads_per_layer=None, random_state=random_state)
    return tuple(model.fit(seen, labels).heads_.tolist())


@pytest.mark.parametrize(("heads_per_layer", "heads"), [(4, 4), (2, 2), (6, 6), (12, 12), (None, 12)])
@pytest.mark.parametrize("name", ["layers", "last-layer-probe"])
def test_layers_are_as_wide_as_one_says(planted, name, heads_per_layer, heads):
    seen, labels, _, _ = planted
    parameters = {"layers": 1} if name == "layers" else None
    model = classifier(name, heads_per_layer=heads_per_layer, parameters=parameters).fit(seen, labels)
    if heads_per_layer is None:
        assert sorted(model.heads_) == list(range(12))
    else:
        assert len(set(model.heads_[:, 0])) == 1
        assert sorted(model.heads_[:, 1]) == list(range(heads))


def test_hyperparameters_reach_the_method(planted):
    seen, labels, unseen, _ = planted
    sharp, flat = (
        classifier("savs-soft", parameters={"temperature": t}).fit(seen, labels).predict_proba(unseen)
        for t in (0.01, 9)
    )
    assert sharp.max() > 0.9
    assert flat.max() < 0.4


def test_a_grid_reaches_the_hyperparameters_of_the_method(planted):
    seen, labels, _, _ = planted
    model = classifier("savs-soft")
    assert model.get_params()["parameters__temperature"] == 0.1
    assert "parameters__k" not in model.get_params()
    assert [name for name in model.get_params(deep=False) if "__" in name] == []
    values = np.array([0.01, 0.1, 9])
    search = GridSearchCV(model, {"parameters__temperature": values}, cv=3).fit(seen, labels)
    assert [*search.cv_results_["param_parameters__temperature"]] == values.tolist()
    best = search.best_estimator_
    assert best.parameters == {"temperature": search.best_params_["parameters__temperature"]}
    assert repr(clone(best)) == repr(best)
    assert model.parameters is None


def test_hyperparameters_are_set_beside_those_that_are_set():
    given = {"temperature": 2}
    model = SAVClassifier(method="savs-soft", parameters=given)
    assert clone(model).set_params(parameters__k=3).parameters == {"temperature": 2, "k": 3}
    assert model.set_params(parameters__temperature=4).get_params()["parameters__temperature"] == 4
    assert given == {"temperature": 2}
    assert SAVClassifier().set_params(parameters__gamma=1, method="savs-rbf").parameters == {"gamma": 1}
    assert clone(model).set_params(**model.get_params()).get_params() == model.get_params()
    with pytest.raises(ValueError, match="savs-soft has no gamma; it has k, temperature"):
        model.set_params(parameters__gamma=1)
    with pytest.raises(ValueError, match="Invalid parameter 'temperature'"):
        model.set_params(temperature=1)
    assert "SAVClassifier" in model._repr_html_()


def test_it_works_where_scikit_learn_puts_classifiers(planted):
    seen, labels, unseen, truth = planted
    search = GridSearchCV(classifier("savs"), {"n_heads": [1, 4], "method": ["savs", "savs-l2"]}, cv=3)
    assert search.fit(seen, labels).score(unseen, truth) > 0.9
    assert cross_val_score(classifier("savs"), seen.reshape(30, 12, 6), labels, cv=3).mean() > 0.8
    assert cross_val_score(make_pipeline(StandardScaler(), classifier("savs")), seen, labels, cv=3).mean() > 0.8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head_dim": 3}, "head_dim=3: 4 features are not a whole number of heads of 3"),
        ({"head_dim": 2.5}, "head_dim=2.5: must be a whole number from 1 on, or None"),
        ({"head_dim": 0}, "head_dim=0: must be a whole number from 1 on, or None"),
        ({"n_heads": 0}, "n_heads=0: must be a whole number from 1 on"),
        ({"n_heads": "20"}, "n_heads='20': must be a whole number from 1 on"),
        ({"n_heads": None}, "n_heads=None: must be a whole number from 1 on"),
        ({"n_heads": True}, "n_heads=True: must be a whole number from 1 on"),
        ({"heads_per_layer": "1"}, "heads_per_layer='1': must be a whole number from 1 on, or None: one layer"),
        ({"head_dim": 1, "heads_per_layer": 3}, "heads_per_layer=3: 4 heads are not a whole number of layers"),
        ({"random_state": "x"}, "random_state='x': must be a whole number from 0 to 4294967295, a numpy RandomState"),
        ({"random_state": -1}, "random_state=-1: must be a whole number from 0"),
        ({"random_state": np.random.default_rng(0)}, "random_state=Generator.*: must be a whole number from 0"),
        ({"method": None}, "method=None: must be the name of a method, such as 'savs'"),
        ({"method": ["savs"]}, r"method=\['savs'\]: must be the name of a method"),
        ({"parameters": [1]}, r"parameters=\[1\]: must be a dict of numbers by name"),
        ({"parameters": {1: 2}}, r"parameters=\{1: 2\}: must be a dict of numbers by name"),
        ({"parameters": {"k": "x"}}, r"parameters\['k'\]='x': must be a finite number"),
        ({"parameters": {"k": np.nan}}, r"parameters\['k'\]=nan: must be a finite number"),
        ({"parameters": {"k": 2.5}}, "k must be a whole number, got 2.5"),
        ({"method": "svas"}, "there is no method 'svas'; did you mean 'savs'"),
        ({"method": ZERO_SHOT}, "zero-shot needs the logits of the model"),
        ({"parameters": {"gamma": 1}}, "savs has no gamma; it has k"),
        ({"parameters": {"restricted": 1}}, "savs has no restricted; it has k"),
        ({"method": "auto", "parameters": {"k": 1}}, "auto has no k; it has nothing to set"),
        ({"parameters": {"k": 0}}, "k must be at least 1"),
        ({"method": "savs-rbf", "parameters": {"gamma": -1}}, "gamma must be above 0"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        SAVClassifier(**settings).fit(np.eye(4), [0, 0, 1, 1])


def scarce():
    """Return samples that teach little, by what they lack: vectors [sample, head, dim] and labels."""
    vectors = np.random.default_rng(0).normal(size=(6, 4, 5))
    zeros, constant = vectors.copy(), vectors.copy()
    zeros[0], zeros[4, 2], constant[:, :, 1] = 0, 0, 3
    pairs = [0, 0, 0, 1, 1, 1]
    return {
        "one sample": (vectors[:1], [0]),
        "one class": (vectors[:3], [0, 0, 0]),
        "two classes of one": (vectors[:2], [0, 1]),
        "three classes of one": (vectors[:3], [0, 1, 2]),
        "a class of one": (vectors[:3], [0, 0, 1]),
        "two classes of one, one of two": (vectors[:4], [0, 0, 1, 2]),
        "all constant": (np.full_like(vectors, 0.1), [0, 0, 1, 1, 2, 2]),
        "all zero": (np.zeros_like(vectors), pairs),
        "zero vectors": (zeros, pairs),
        "a constant feature": (constant, pairs),
        "each class the same vector": (np.repeat(vectors[:2], 3, axis=0), pairs),
        "heads of one number": (vectors[:, :, :1], pairs),
        "one head": (vectors[:, :1], pairs),
    }


REFUSED = (
    "class . has one sample: leave-one-out needs two of every class|class . has one sample, or only samples that belong"
    "|(gaussian|lda) needs two samples of a class|samples of one class teach it nothing|all samples are of one class"
)


def refused():
    """Return (method, lacking) that cannot be learnt from."""
    one_class = {"one sample", "one class"}
    of_one = {"two classes of one", "three classes of one"}
    for_all = {"one sample", *of_one, "a class of one", "two classes of one, one of two"}
    needs = {
        "savs-loo": for_all,
        "savs-loo-margin": for_all,
        "auto": one_class | for_all,
        "gaussian": one_class | of_one,
    }
    needs["lda"] = needs["gaussian"]
    needs |= {name: for_all for name in NAMES if name.startswith("calm")}
    needs |= {name: one_class for name in NAMES if any(part in name for part in ("probe", "lasso", "ridge"))}
    return {(name, lacking) for name, of_name in needs.items() for lacking in of_name}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lacking", scarce())
@pytest.mark.parametrize("name", NAMES)
def test_little_to_learn_from_is_refused_in_words_or_answered(name, lacking):
    """Gaussian raised scikit-learn's own words where every class has one sample."""
    vectors, labels = scarce()[lacking]
    model = SAVClassifier(method=name)
    # What has two samples of two classes is always answered.
    with pytest.raises(ValueError, match=REFUSED) if (name, lacking) in refused() else nullcontext():
        model.fit(vectors, labels)
    if (name, lacking) in refused():
        return
    found = model.predict_proba(vectors)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)
    assert (model.classes_[found.argmax(axis=1)] == model.predict(vectors)).all()


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


def test_equal_weights_are_none():
    """A bagging of a method without weights was refused, though it gave equal ones."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(20, 3, 4)), np.arange(20) % 2
    plain, weighed = (SAVClassifier(method="knn").fit(X, y, weights) for weights in (None, np.full(20, 2.0)))
    assert (plain.predict_proba(X) == weighed.predict_proba(X)).all()
    with pytest.raises(ValueError, match="knn takes no sample_weight: leave it out, or repeat samples"):
        SAVClassifier(method="knn").fit(X, y, np.arange(20))


def test_parameters_are_set_all_or_none():
    model = SAVClassifier(method="savs-soft")
    with pytest.raises(ValueError, match="knn has no temperature"):
        model.set_params(method="knn", parameters__temperature=1)
    assert model.method == "savs-soft"
    assert SAVClassifier(parameters=5).set_params(method="savs-soft", parameters__temperature=1).parameters == {
        "temperature": 1
    }

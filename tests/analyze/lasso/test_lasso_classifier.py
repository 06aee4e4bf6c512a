"""The estimators of the lasso: what they say of themselves, what they refuse, what they tell apart."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from kit.fits import DIM, GROUPS, HEADS, fitted, flat, planted
from kit.gap import best_intercept, one_hot
from savs_analyze.lasso.estimator import (
    PAPER_GRID,
    RELATIVE_GRID,
    LassoLogisticRegression,
    SparseGroupLogisticRegression,
)
from savs_stores import BenchmarkInfo, write_store

SINGLE = {
    "check_sample_weight_equivalence_on_dense_data": "sums of other samples round otherwise in single precision, and "
    "fits stop at their tolerance"
}


@pytest.mark.filterwarnings("ignore:not certified")  # the checks allow five steps
@parametrize_with_checks(
    [
        SparseGroupLogisticRegression(),
        LassoLogisticRegression(),
        SparseGroupLogisticRegression(head_dim=1),
        LassoLogisticRegression(head_dim=1),
        LassoLogisticRegression(loss="one-vs-rest", intercept="penalised", scaling="feature_std", precision="single"),
    ],
    expected_failed_checks=lambda estimator: SINGLE if estimator.precision == "single" else {},
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_the_grids():
    features, labels = planted(3)
    lasso = LassoLogisticRegression(head_dim=DIM)
    assert [model.C for model in lasso.path(features, labels)] == pytest.approx(PAPER_GRID)
    relative = lasso.path(features, labels, RELATIVE_GRID, relative=True)
    assert relative[0].alpha_ == pytest.approx(lasso.largest_alpha(features, labels))
    assert [len(relative), relative[-1].alpha_ / relative[0].alpha_] == pytest.approx([9, 1e-4])
    assert [relative[0].degenerate_, relative[1].degenerate_] == [True, False]


def test_all_zero_models_are_flagged_and_tie():
    features, labels = planted(3)
    model = fitted(features, np.array(["c", "b", "a"])[labels], alpha=1e3)
    assert [model.degenerate_, model.separated_, model.saturated_] == [True, False, False]
    assert [model.heads_.size, model.features_.size] == [0, 0]
    assert set(model.predict(features)) == {"a"}
    np.testing.assert_allclose(model.predict_proba(features), 1 / 3)


@pytest.mark.parametrize("loss", ["multinomial", "one-vs-rest"])
def test_separable_data(loss):
    features, labels = planted(4, strength=5.0)
    weak, strong = SparseGroupLogisticRegression(head_dim=DIM, loss=loss).path(features, labels, [1e-5, 0.5])
    assert [weak.converged_, weak.separated_, weak.saturated_] == [True, True, True]
    assert not strong.saturated_
    assert weak.score(features, labels) == 1
    assert np.isfinite(weak.coef_).all()


def test_only_features_with_coefficients_are_read():
    features, labels = planted(3)
    model = fitted(features, labels, tol=1e-4)
    assert 0 < len(model.features_) < HEADS * DIM
    assert set(model.heads_) == set(GROUPS[model.features_])
    changed = np.full_like(features, 7.0)
    changed[:, model.features_] = features[:, model.features_]
    np.testing.assert_array_equal(model.decision_function(changed), model.decision_function(features))
    np.testing.assert_allclose(features @ model.coef_.T + model.intercept_, model.decision_function(features))
    best = best_intercept(features @ model.coef_.T, one_hot(labels), model.intercept_)
    np.testing.assert_allclose(model.intercept_, best, atol=1e-9)


@pytest.mark.parametrize("loss", ["multinomial", "one-vs-rest"])
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities(loss, classes):
    features, labels = planted(classes)
    model = fitted(features, labels, loss=loss, tol=1e-4)
    chances = model.predict_proba(features)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[chances.argmax(axis=1)], model.predict(features))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head_dim": 7}, "96 features are not a whole number of heads of 7"),
        ({"groups": [0, 1]}, "for 96 features"),
        ({"alpha": 0}, "alpha=0: must be positive"),
        ({"alpha": "x"}, "alpha='x': must be positive and finite"),
        ({"alpha": None}, "alpha=None: must be positive and finite"),
        ({"alpha": np.nan}, "alpha=nan: must be positive and finite"),
        ({"alpha": True}, "alpha=True: must be positive and finite"),
        ({"tol": None}, "tol=None: must be positive and finite"),
        ({"tol": "1e-4"}, "tol='1e-4': must be positive and finite"),
        ({"max_iter": 2.5}, "max_iter=2.5: must be a whole number from 1 on"),
        ({"max_iter": 0}, "max_iter=0: must be a whole number from 1 on"),
        ({"l1_ratio": "a"}, "l1_ratio='a': must be a finite number"),
        ({"loss": None}, "loss=None: choose one of multinomial"),
        ({"precision": ["double"]}, r"precision=\['double'\]: choose one of double, single"),
        ({"head_dim": "8"}, "head_dim='8': must be a whole number from 1 on, or None"),
        ({"groups": "heads"}, r"groups of shape \(\) for 96 features"),
        ({"alpha": np.inf}, "must be positive and finite"),
        ({"l1_ratio": 2}, "from 0 to 1"),
        ({"loss": "hinge"}, "choose one of multinomial, one-vs-rest"),
        ({"solver": "saga"}, "choose one of working-set"),
        ({"solver": "liblinear"}, "knows the lasso only"),
        ({"solver": "group-lasso", "intercept": "penalised"}, "no penalised intercept"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        SparseGroupLogisticRegression(**settings).fit(*planted(3))


@pytest.mark.parametrize(("C", "words"), [("1", "C='1': must be positive and finite"), (0, "C=0: must be positive")])
def test_the_knob_of_the_lasso_is_named(C, words):
    with pytest.raises(ValueError, match=words):
        LassoLogisticRegression(C).fit(*planted(3))


@pytest.mark.parametrize("loss", ["multinomial", "one-vs-rest"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("factor", [0, 1, 100])
def test_what_is_predicted_is_most_probable_whatever_saturates(loss, classes, factor):
    """Far from the data, chances of one-vs-rest models are all 1 and tied."""
    features, labels = planted(classes)
    model = fitted(features, labels, loss=loss, alpha=1e-4, tol=1e-4)
    chances = model.predict_proba(factor * features)
    np.testing.assert_array_equal(model.classes_[chances.argmax(axis=1)], model.predict(factor * features))


def test_heads_as_a_store_gives_them_are_the_same_as_features():
    features, labels = planted(3)
    vectors = features.reshape(60, HEADS, DIM)
    plain, deep = fitted(features, labels), fitted(vectors, labels, head_dim=None)
    assert deep.heads_.tolist() == plain.heads_.tolist()
    assert (deep.coef_ == plain.coef_).all()
    assert (deep.predict_proba(vectors) == plain.predict_proba(features)).all()
    assert deep.largest_alpha(vectors, labels) == plain.largest_alpha(features, labels)


def test_bad_data_is_refused():
    features, labels = planted(3)
    with pytest.raises(ValueError, match="of one class"):
        LassoLogisticRegression().fit(features, np.zeros(60))
    features[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LassoLogisticRegression().fit(features, labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_features_that_tell_nothing_are_used_at_no_share(classes):
    features, labels = np.ones((12 * classes, 8)), np.arange(12 * classes) % classes
    features[:, 4:] = np.repeat(np.random.default_rng(0).normal(size=(12, 4)), classes, axis=0)
    for model in SparseGroupLogisticRegression(head_dim=4).path(features, labels, RELATIVE_GRID, relative=True):
        assert model.degenerate_
        assert model.converged_
        assert model.predict(features).tolist() == [0] * len(labels)


def test_a_tolerance_that_cannot_be_met_ends(problem):
    features, labels = flat(problem, 2)
    with pytest.warns(ConvergenceWarning):
        assert SparseGroupLogisticRegression(tol=1e-300, max_iter=200).fit(features, labels).gap_ >= 0
    with pytest.raises(ValueError, match="tol=0: must be positive and finite"):
        SparseGroupLogisticRegression(tol=0).fit(features, labels)


@pytest.mark.parametrize("solver", ["working-set", "liblinear"])
def test_one_vs_rest_without_features_ties_and_the_first_class_wins(problem, solver):
    features, labels = flat(problem, 10)
    model = LassoLogisticRegression(C=3, loss="one-vs-rest", solver=solver).fit(features * 1e-3, labels)
    assert model.degenerate_
    assert np.ptp(model.intercept_) == 0
    assert model.predict(features).tolist() == [0] * len(labels)


def test_separated_means_that_all_training_samples_are_classified_right(problem):
    features, labels = flat(problem, 5, per_class=5)
    for C in (0.1, 0.3, 1, 100):
        for loss in ("multinomial", "one-vs-rest"):
            model = LassoLogisticRegression(C, loss=loss).fit(features, labels)
            assert model.separated_ == (model.score(features, labels) == 1)


def test_heads_are_named_as_the_groups_are(problem):
    features, labels = flat(problem, 3)
    plain = SparseGroupLogisticRegression(0.05, head_dim=5).fit(features, labels)
    named = SparseGroupLogisticRegression(0.05, groups=np.repeat(np.arange(6) * 10, 5)).fit(features, labels)
    assert named.heads_.tolist() == (10 * plain.heads_).tolist()
    assert named.head_norms_ == pytest.approx(plain.head_norms_)


def test_norms_of_heads_do_not_depend_on_units_where_features_are_scaled(problem):
    features, labels = flat(problem, 4)
    units = np.repeat(10.0 ** np.arange(-3, 3), 5)
    model = SparseGroupLogisticRegression(head_dim=5, scaling="head_rms")
    [one], [other] = (model.path(x, labels, [0.1], relative=True) for x in (features, features * units))
    assert other.head_norms_ == pytest.approx(one.head_norms_, rel=1e-6)


def test_probabilities_far_from_the_data_are_numbers(problem):
    features, labels = flat(problem, 3)
    far = LassoLogisticRegression(100.0, loss="one-vs-rest").fit(features, labels).predict_proba(-1e3 * features)
    assert np.isfinite(far).all()
    assert far.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    "model", [LassoLogisticRegression(intercept="penalised"), LassoLogisticRegression(solver="liblinear")]
)
def test_a_penalised_intercept_has_no_shares(problem, model):
    features, labels = flat(problem, 3)
    with pytest.raises(ValueError, match="need a free intercept"):
        model.path(features, labels, [0.1], relative=True)


# The correction of the paper's conclusion


@pytest.mark.parametrize(("classes", "shots"), [(10, 10), (37, 10)])
def test_many_classes_need_a_multinomial_model(tmp_path, classes, shots):
    """A binary solver that takes the first class against all others can name two classes only."""
    layers, heads, dim, informative = 4, 8, 16, [3, 11, 18, 30]
    generator = np.random.default_rng(classes)
    labels = np.tile(np.arange(classes), 2 * shots)
    vectors = generator.normal(size=(len(labels), layers * heads, dim)) + generator.normal(size=(layers * heads, dim))
    vectors[:, informative] += 1.5 * generator.normal(size=(classes, len(informative), dim))[labels]
    names = [f"class {i:02d}" for i in range(classes)]
    support = classes * shots
    store = write_store(
        tmp_path / "planted.zarr",
        benchmark=BenchmarkInfo("planted", {"all": names}),
        samples={
            "label": [names[i] for i in labels],
            "split": ["pool"] * support + ["test"] * support,
        },
        model="planted",
        heads=vectors.reshape(len(labels), layers, heads, dim),
    )
    features = store["planted"].read(np.arange(2 * support)).reshape(2 * support, -1)
    train, test = features[:support], features[support:]
    models = SparseGroupLogisticRegression(head_dim=dim).path(train, labels[:support], [0.003, 0.01, 0.03])
    binary = SparseGroupLogisticRegression(alpha=0.01, head_dim=dim).fit(train, labels[:support] != 0)
    ceiling = 2 / classes
    assert (binary.predict(test).astype(int) == labels[support:]).mean() <= ceiling
    for model in models:
        assert model.converged_
        assert model.score(test, labels[support:]) > 0.9
        assert set(informative) <= set(model.heads_)
    assert set(models[-1].heads_) == set(informative)

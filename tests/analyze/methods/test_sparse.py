"""The lasso and its relatives in the sweep: against the estimators fitted alone, and scikit-learn's liblinear."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from kit.sweeps import sweep
from savs_analyze.lasso.estimator import LassoLogisticRegression, SparseGroupLogisticRegression
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.sparse import Sparse
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.report.notes import footnotes
from savs_analyze.runs.results import Results
from savs_analyze.votes.batch import Batch
from savs_stores import ModelVectors

NAMES = [name for name in METHODS if isinstance(make_setting(name).method, Sparse)]
LAYER = np.repeat([0, 1, 2], 4)
COLUMNS = ["gap", "n_iter", "converged", "degenerate", "separated", "saturated", "heads_alive", "features_alive"]


@pytest.fixture(scope="module")
def example():
    """Return support [sample, head, dim], labels and unseen vectors: of three layers of four heads, two know much."""

    def make(classes, shots=10, unseen=40):
        generator, labels = np.random.default_rng(classes), np.tile(np.arange(classes), shots)
        asked = np.tile(np.arange(classes), unseen)
        means = np.zeros((classes, 12, 6))
        means[:, [5, 9]] = generator.normal(size=(classes, 2, 6))
        draw = lambda of: means[of] + generator.normal(size=(len(of), 12, 6))  # noqa: E731
        return draw(labels), labels, draw(asked), asked

    return make


def run(settings, vectors, labels, unseen, allowed=None):
    methods = [setting.method for setting in settings]
    learnt = learn(methods, Context(vectors, labels, int(labels.max()) + 1, LAYER))
    heads = np.unique(np.concatenate([one.heads for one in learnt]))
    return learnt, predict(learnt, Batch(heads, unseen[:, heads], allowed))


ESTIMATORS = {
    "lasso": (LassoLogisticRegression(head_dim=6), "C", {}),
    "lasso-one-vs-rest": (LassoLogisticRegression(head_dim=6, loss="one-vs-rest"), "C", {}),
    "lasso-share": (SparseGroupLogisticRegression(l1_ratio=1, head_dim=6), "share", {}),
    "sparse-group-lasso": (SparseGroupLogisticRegression(l1_ratio=0.2, head_dim=6), "alpha", {"l1_ratio": 0.2}),
    "sparse-group-lasso-share": (SparseGroupLogisticRegression(l1_ratio=0, head_dim=6), "share", {"l1_ratio": 0}),
}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_methods_are_the_estimators_on_the_last_layers(example, classes, layers):
    vectors, labels, unseen, _ = example(classes)
    values, first = [0.9, 0.03, 0.3], 12 - 4 * layers
    settings = {
        name: [make_setting(name, layers=layers, **{knob: value}, **others) for value in values]
        for name, (_, knob, others) in ESTIMATORS.items()
    }
    flat, asked = (x[:, first:].reshape(len(x), -1) for x in (vectors, unseen))
    # Another method's path stands between, and values come in any order.
    learnt, votes = run(
        [setting for place in range(3) for of in settings.values() for setting in of[place : place + 1]],
        vectors,
        labels,
        unseen,
    )
    for place, (model, knob, _) in enumerate(ESTIMATORS.values()):
        models = model.path(flat, labels, values, relative=knob == "share")
        for one, vote, expected in zip(learnt[place::5], votes[place::5], models, strict=True):
            assert vote.predicted.tolist() == expected.predict(asked).tolist()
            assert one.probabilities(vote.scores) == pytest.approx(expected.predict_proba(asked), abs=1e-9)
            assert sorted(one.ranked) == (first + expected.heads_).tolist()
            report = [getattr(expected, name + "_") for name in ("alpha", "gap", "n_iter", "converged", "saturated")]
            assert [one.report[name] for name in ("alpha", "gap", "n_iter", "converged", "saturated")] == report
            assert one.report["features_alive"] == len(expected.features_)


@pytest.mark.parametrize("classes", [2, 4])
def test_liblinear_is_the_papers_lasso(example, classes):
    vectors, labels, unseen, _ = example(classes)
    flat, asked = vectors.reshape(len(vectors), -1), unseen.reshape(len(unseen), -1)
    settings = [make_setting("lasso", protocol="extension", layers=3, C=C) for C in (1e-5, 0.1, 1, 100)]
    learnt, votes = run(settings, vectors, labels, unseen)
    for C, one, vote in zip((1e-5, 0.1, 1, 100), learnt, votes, strict=True):
        plain = LogisticRegression(solver="liblinear", l1_ratio=1, C=C, random_state=0, max_iter=1000)
        model = (plain if classes == 2 else OneVsRestClassifier(plain)).fit(flat, labels)
        assert vote.predicted.tolist() == model.predict(asked).tolist()
        assert one.probabilities(vote.scores) == pytest.approx(model.predict_proba(asked), abs=1e-6)
        coef = model.coef_ if classes == 2 else np.vstack([part.coef_ for part in model.estimators_])
        assert one.report["features_alive"] == coef.any(axis=0).sum()


def test_the_package_group_lasso_finds_the_same_heads(example):
    vectors, labels, unseen, _ = example(3)
    pair = [make_setting("sparse-group-lasso", layers=3, alpha=0.05, solver=s) for s in ("working-set", "group-lasso")]
    (ours, theirs), votes = run(pair, vectors, labels, unseen)
    assert ours.heads.tolist() == theirs.heads.tolist()
    assert ours.report["objective"] == pytest.approx(theirs.report["objective"], rel=1e-3)
    assert (votes[0].predicted == votes[1].predicted).mean() > 0.97


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("share")])
@pytest.mark.parametrize("factor", [1e-3, 1, 1e3])
def test_a_share_means_the_same_at_any_scale(example, name, factor):
    vectors, labels, unseen, _ = example(4)
    settings = [make_setting(name, layers=3, share=share) for share in (1.01, 0.99, 0.3)]
    learnt, _ = run(settings, vectors * factor, labels, unseen * factor)
    assert [one.report["degenerate"] for one in learnt] == [True, False, False]
    assert learnt[1].report["heads_alive"] == 1
    assert learnt[2].heads.tolist() == run(settings[2:], vectors, labels, unseen)[0][0].heads.tolist()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", [*NAMES, "liblinear"])
def test_a_model_without_features_answers_the_first_class_and_says_so(example, name, classes):
    vectors, labels, unseen, _ = example(classes)
    if name == "liblinear":
        setting = make_setting("lasso", C=1e-6, layers=3, protocol="extension")
    else:
        knob = next(key for key in ("C", "alpha", "share") if key in METHODS[name].defaults)
        setting = make_setting(name, layers=3, **{knob: 1e-6 if knob == "C" else 1e3})
    [learnt], [votes] = run([setting], vectors, labels, unseen)
    assert learnt.report["degenerate"]
    assert learnt.report["heads_alive"] == learnt.report["features_alive"] == 0
    assert votes.predicted.tolist() == [0] * len(unseen)
    assert np.ptp(votes.scores, axis=1) == pytest.approx(0)
    assert len(learnt.heads) == 1  # the sweep reads something
    assert not len(learnt.ranked)


def test_the_planted_heads_come_first(example):
    vectors, labels, unseen, asked = example(5)
    settings = [make_setting("sparse-group-lasso-share", layers=2, share=share) for share in (0.6, 0.3, 0.1)]
    learnt, votes = run(settings, vectors, labels, unseen)
    for one in learnt[1:]:
        assert set(one.ranked[:2]) == {5, 9}
    assert (votes[2].predicted == asked).mean() > 0.8


@pytest.fixture(scope="module")
def rows(toys, tmp_path_factory):
    out = tmp_path_factory.mktemp("sparse")
    grid = {"C": [1e-4, 1, 1e9], "share": [0.5, 0.05], "layers": [1, 3]}
    methods = ["savs", "lasso", "sparse-group-lasso-share"]
    return out, pd.read_csv(sweep([toys(4).path], out, shots=5, draws=2, heads=(3,), methods=methods, grid=grid))


def test_rows_say_how_good_each_fit_is(rows):
    _, table = rows
    fits = table[table.method != "savs"]
    assert fits[COLUMNS].notna().all().all()
    assert table.loc[table.method == "savs", COLUMNS].isna().all().all()
    assert (fits.gap[fits.converged == True] <= 1e-4 * np.log(4)).all()  # noqa: E712
    tight = fits[fits.setting.str.contains("C=0.0001")]
    assert tight.degenerate.all()
    assert tight.heads_alive.eq(0).all()
    assert tight.value[tight.metric == "accuracy"].tolist() == [0.25] * 4
    loose = fits[fits.setting.str.contains("C=1000000000")]
    assert loose.separated.all()
    assert loose.saturated.all()


def test_notes_speak_of_fits_that_are_empty_or_saturated(rows):
    notes = footnotes(Results(rows[0]).loaded())
    assert any(note.startswith("4 of 20 fits use no feature") for note in notes)
    assert any(note.startswith("4 of 20 fits saturate") for note in notes)
    assert not any("certified" in note for note in notes)


def test_notes_speak_of_fits_that_are_not_certified(toys, tmp_path):
    sweep([toys(4).path], tmp_path, shots=5, draws=2, methods=["lasso"], grid={"C": [100.0]}, solver="liblinear")
    assert any(note.startswith("2 of 2 fits are not certified") for note in footnotes(Results(tmp_path).loaded()))


def test_only_heads_that_are_used_are_read(toys, tmp_path, monkeypatch):
    read, blocks = [], ModelVectors.blocks

    def noted(self, samples, heads, *rest):
        read.append(heads)
        return blocks(self, samples, heads, *rest)

    monkeypatch.setattr(ModelVectors, "blocks", noted)
    grid = {"share": [0.5, 0.9], "layers": [3]}
    sweep([toys(4).path], tmp_path, shots=5, draws=1, methods=["sparse-group-lasso-share"], grid=grid)
    [cell] = Results(tmp_path).loaded()
    kept = {tuple(place) for of_setting in cell.facts.kept for place in of_setting}
    assert len(read) == 1
    assert len(read[0]) == len(kept) < 4


@pytest.mark.parametrize("name", NAMES)
def test_restricted_models_choose_among_what_is_allowed(example, name):
    vectors, labels, unseen, _ = example(4)
    allowed = np.zeros((len(unseen), 4), dtype=bool)
    allowed[:, [1, 3]] = True
    [learnt], [votes] = run([make_setting(name, True, layers=3)], vectors, labels, unseen, allowed)
    assert set(votes.predicted.tolist()) <= {1, 3}
    assert learnt.probabilities(votes.scores)[:, [0, 2]] == pytest.approx(0)

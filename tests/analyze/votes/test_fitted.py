"""What a method has learnt: arrays that vote by themselves, and records that anybody may add."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kit.registered import added
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.criterion import CRITERIA, Criterion
from savs_analyze.parts.selection import Scoring
from savs_analyze.registry import HERE, Origin, Registry
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.linear import LinearVotes, Standard
from savs_analyze.votes.vote import VOTES, Vote
from savs_analyze.votes.voting import Votes, first_best

NAMES = [name for name in METHODS if not make_setting(name).method.needs]
LAYER = np.repeat([0, 1], 3)


def fit(name, vectors, labels, classes=3):
    [fitted] = learn([make_setting(name).method], Context(vectors, labels, classes, LAYER))
    return fitted


def leaves(value):
    """Yield everything that a record holds, records and lists within it opened."""
    if is_dataclass(value):
        for part in fields(value):
            if not part.name.startswith("_"):
                yield from leaves(getattr(value, part.name))
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


@pytest.mark.parametrize("name", NAMES)
def test_what_is_learnt_is_arrays_and_plain_values(problem, name):
    fitted = fit(name, *problem(0))
    for leaf in leaves(fitted):
        assert leaf is None or isinstance(leaf, np.ndarray | np.generic | int | float | str | bool), type(leaf)
        assert not isinstance(leaf, np.ndarray) or leaf.dtype.kind in "fiub"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_sum_to_one(problem, name, classes):
    (vectors, labels), (unseen, _) = problem(0, classes=classes), problem(1, classes=classes)
    fitted = fit(name, vectors, labels, classes)
    found = fitted.probabilities(fitted.votes(Batch(np.arange(6), unseen)).scores)
    assert found.shape == (len(unseen), classes)
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(len(unseen)))


ORACLES = {
    "linear-probe": lambda: LogisticRegression(C=1.0, max_iter=1000),
    "last-layer-probe": lambda: LogisticRegression(C=1.0, max_iter=1000),
    "ridge": lambda: RidgeClassifier(alpha=1.0),
    "mlp-probe": lambda: MLPClassifier((64,), solver="lbfgs", alpha=1e-3, max_iter=300, random_state=0),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("classes", [2, 3])
def test_arrays_vote_as_scikit_learn_does(problem, name, classes):
    (vectors, labels), (unseen, _) = problem(0, classes=classes), problem(1, classes=classes)
    fitted = fit(name, vectors, labels, classes)
    flat, new = (each[:, fitted.heads].reshape(len(each), -1) for each in (vectors, unseen))
    model = make_pipeline(StandardScaler(), ORACLES[name]()).fit(flat, labels)
    votes = fitted.votes(Batch(np.arange(6), unseen))
    assert votes.predicted.tolist() == model.predict(new).tolist()
    if name == "ridge":
        decision = model.decision_function(new)
        expected = decision if classes > 2 else np.column_stack([-decision, decision])
        np.testing.assert_allclose(votes.scores, expected, rtol=1e-9)
    else:
        scores = votes.scores if name == "mlp-probe" else np.exp(votes.scores)
        np.testing.assert_allclose(scores, model.predict_proba(new), rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(fitted.probabilities(votes.scores), model.predict_proba(new), rtol=1e-9, atol=1e-15)


def test_of_two_allowed_classes_that_are_both_all_but_impossible_the_nearer_one_is_said():
    """The first was, where both posteriors among all classes were 0."""
    weights = 1e4 * np.eye(3)
    fitted = LinearVotes(
        heads=np.arange(1),
        restricted=True,
        standard=Standard(np.zeros(3), np.ones(3)),
        weights=weights,
        intercept=np.zeros(3),
        logistic=True,
    )
    allowed = np.array([[True, True, False]])
    votes = fitted.votes(Batch(np.arange(1), np.array([[[0.1, 0.2, 5.0]]]), allowed))
    assert votes.predicted.tolist() == [1]
    assert fitted.probabilities(votes.scores).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("classes", [2, 3])
def test_gaussian_arrays_vote_as_scikit_learn_does(problem, classes):
    (vectors, labels), (unseen, _) = problem(0, classes=classes), problem(1, classes=classes)
    fitted = fit("gaussian", vectors, labels, classes)
    models = [
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(vectors[:, h], labels) for h in fitted.heads
    ]
    each = [model.predict_proba(unseen[:, h]) for h, model in zip(fitted.heads, models, strict=True)]
    np.testing.assert_allclose(fitted.votes(Batch(np.arange(6), unseen)).scores, np.mean(each, axis=0), rtol=1e-9)


def test_a_vote_is_added_in_one_place(problem):
    (vectors, labels), (unseen, _) = problem(0), problem(1)

    def mean_similarity(ballot):
        scores = ballot.similarities.mean(axis=2)
        return Votes(first_best(scores), scores)

    with added(VOTES, Vote("mean", mean_similarity, of_any=True, of_similarities=True)):
        [fitted] = learn([Savs(6, vote="mean")], Context(vectors, labels, 3, LAYER))
        found = fitted.votes(Batch(np.arange(6), unseen))
    means = np.stack([vectors[labels == label].mean(axis=0) for label in range(3)])
    unit = [each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (unseen, means)]
    np.testing.assert_allclose(found.scores, np.einsum("shd,chd->sc", *unit) / 6)


def test_a_criterion_is_added_in_one_place(problem):
    (vectors, labels), _ = problem(0), problem(1)
    # The last head first, whatever it sees.
    with added(CRITERIA, Criterion("place", lambda scores, labels: np.arange(scores.shape[2]) * 1.0)):
        [fitted] = learn([Savs(6, Scoring(criterion="place"))], Context(vectors, labels, 3, LAYER))
    assert fitted.heads.tolist() == [5, 4, 3, 2, 1, 0]


def test_a_name_is_taken_once():
    mine, majority = Origin("mine.py", "ab"), Vote("majority", len)
    kinds = Registry("vote", [majority])
    loudest = Vote("loudest", len)
    kinds.register(loudest, mine)
    kinds.register(loudest, mine)  # the same record again
    assert kinds.origin("majority") == HERE
    assert kinds.origin("loudest") == mine
    with pytest.raises(ValueError, match=r"the vote 'majority' of mine.py is taken: savs has one"):
        kinds.register(Vote("majority", len), mine)
    with pytest.raises(ValueError, match=r"the vote 'loudest' of yours.py is taken: mine.py has one"):
        kinds.register(Vote("loudest", len), Origin("yours.py"))
    with pytest.raises(ValueError, match=r"the vote 'loudest' of mine.py is taken: mine.py has one"):
        kinds.register(Vote("loudest", max), mine)  # two of one name in a file
    assert list(kinds) == ["majority", "loudest"]

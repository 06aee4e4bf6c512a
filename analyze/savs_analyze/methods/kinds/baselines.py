"""How baselines, classifiers on the best heads, learn from a support, and what they say of samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.methods.learnt import Learnt, Support
from savs_analyze.methods.recipes import Baseline
from savs_analyze.parts.selection import BY_COUNT, HeadScores, Scoring, rank_heads, tied_at_cut
from savs_analyze.votes.similarity import COSINE, similarities
from savs_analyze.votes.voting import Allowed, Votes, count_votes, first_best, restrict, winner


def learn_baseline(method: Baseline, support: Support, scores: dict[Scoring, HeadScores]) -> Learnt:
    """Return a classifier fitted on the best heads by count, or on the last layer."""
    found = scores[BY_COUNT]
    heads, tied = rank_heads(found.value, found.margin)[: method.k], tied_at_cut(found.value, method.k)
    if method.name == "last-layer-probe":
        heads, tied = np.flatnonzero(support.layer == support.layer.max()), 0
    features = support.vectors[:, heads].astype(np.float64)
    if method.name != "knn":
        support.check_classes(method.name)
    with warnings.catch_warnings():
        # A probe that stops at its last iteration, or a discriminant of collinear features, is still an answer.
        warnings.simplefilter("ignore")
        model = _fit(method, features, support.labels, support.seed)
    return Learnt(method, heads, tied, found, model=model)


def _fit(method: Baseline, features: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    by_head = features.transpose(1, 0, 2)
    if method.name == "knn":
        count = min(method.neighbours, len(labels))
        return by_head, labels, count
    if method.name == "gaussian":
        return [LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(of_head, labels) for of_head in by_head]
    model = {
        "linear-probe": LogisticRegression(C=method.strength, max_iter=1000),
        "last-layer-probe": LogisticRegression(C=method.strength, max_iter=1000),
        "mlp-probe": MLPClassifier(
            (64,), solver="lbfgs", alpha=1e-3 / method.strength, max_iter=300, random_state=seed
        ),
        "ridge": RidgeClassifier(alpha=1 / method.strength),
    }[method.name]
    return make_pipeline(StandardScaler(), model).fit(features.reshape(len(labels), -1), labels)


def baseline_votes(learnt: Learnt, features: np.ndarray, allowed: Allowed) -> Votes:
    """Return what a classifier says of samples; `features` `[sample, head, dim]` are of its heads."""
    name = learnt.method.name if isinstance(learnt.method, Baseline) else ""
    by_head = features.transpose(1, 0, 2).astype(np.float64)
    if name == "knn":
        support, labels, count = learnt.model
        predictions = nearest_neighbours(support, labels, count, by_head, allowed)
        scores = count_votes(predictions, int(labels.max()) + 1)
        return Votes(winner(scores, predictions), scores)
    if name == "gaussian":
        posterior = np.stack([model.predict_proba(x) for model, x in zip(learnt.model, by_head, strict=True)], axis=2)
        scores = restrict(posterior, allowed).mean(axis=2)
        return Votes(first_best(scores), scores)
    flat = features.reshape(len(features), -1).astype(np.float64)
    scores = (
        learnt.model.predict_proba(flat) if hasattr(learnt.model, "predict_proba") else _decision(learnt.model, flat)
    )
    scores = restrict(scores, allowed)
    return Votes(first_best(scores), scores)


def nearest_neighbours(
    support: Float[np.ndarray, "head neighbour dim"],
    labels: Int[np.ndarray, " neighbour"],
    count: int,
    vectors: Float[np.ndarray, "head sample dim"],
    allowed: Allowed = None,
) -> Int[np.ndarray, "sample head"]:
    """Return the class of most of the `count` nearest support vectors by cosine, of equal ones the nearer.

    Only support of the allowed classes is looked at.
    """
    classes = int(labels.max()) + 1
    predictions = np.empty((vectors.shape[1], len(support)), dtype=np.int64)
    for head, (known, asked) in enumerate(zip(support, vectors, strict=True)):
        found = similarities(COSINE, asked[:, None], known[:, None])[:, :, 0]
        found = found if allowed is None else np.where(allowed[:, labels], found, -np.inf)
        nearest = np.argsort(-found, axis=1, kind="stable")[:, :count]
        near = np.take_along_axis(found, nearest, axis=1)
        votes, nearness = np.zeros((2, len(asked), classes))
        rows = np.arange(len(asked))
        for place in range(count):
            counted = np.isfinite(near[:, place])
            votes[rows, labels[nearest[:, place]]] += counted
            nearness[rows, labels[nearest[:, place]]] += np.where(counted, near[:, place] + 1, 0)
        most = votes == votes.max(axis=1, keepdims=True)
        predictions[:, head] = np.where(most, nearness, -1).argmax(axis=1)
    return predictions


def _decision(model: Any, flat: np.ndarray) -> np.ndarray:
    """Return a score for every class; of two classes, scikit-learn gives only one."""
    found = model.decision_function(flat)
    return found if found.ndim == 2 else np.column_stack([-found, found])

"""From methods and a support to what predicts: heads are scored once for all methods, similarities computed once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import log_expit
from sklearn.exceptions import ConvergenceWarning

from savs_analyze.lasso_classifier import SparseGroupLogisticRegression
from savs_analyze.methods import Baseline, Method, Savs, Sparse
from savs_analyze.selection import (
    BY_COUNT,
    HeadScores,
    Scoring,
    layer_vectors,
    paper_ranking,
    rank_heads,
    score_heads,
    tied_at_cut,
)
from savs_analyze.similarity import COSINE, class_means, similarities
from savs_analyze.voting import (
    class_favoured_votes,
    class_similarities,
    count_votes,
    restrict,
    shares,
    soft_votes,
    softmax,
    winner,
)

# group-lasso takes minutes for more on many classes; liblinear and ours stop by themselves.
SOLVER_STEPS = {"working-set": 10_000, "liblinear": 1000, "group-lasso": 1000}
Allowed = Bool[np.ndarray, "sample class"] | None


@dataclass(frozen=True)
class Support:
    """The labelled samples of one draw: vectors of all heads, labels 0, 1 ..., each head's layer, the draw's seed."""

    vectors: Shaped[np.ndarray, "sample head dim"]
    labels: Int[np.ndarray, " sample"]
    classes: int
    layer: Int[np.ndarray, " head"]
    seed: int = 0

    @cached_property
    def centroids(self) -> Float[np.ndarray, "class head dim"]:
        return class_means(self.vectors, self.labels, self.classes)

    @cached_property
    def layers(self) -> list[Support]:
        """Each layer as one head."""
        return [
            Support(vectors, self.labels, self.classes, np.zeros(1, dtype=np.int64), self.seed)
            for vectors in layer_vectors(self.vectors, self.layer)
        ]


@dataclass(frozen=True)
class Votes:
    """What a method says of samples: the class, and a score for every class."""

    predicted: Int[np.ndarray, " sample"]
    scores: Float[np.ndarray, "sample class"]


@dataclass
class Learnt:
    """A method that has seen its support. `heads` are what it needs of a sample, in the order in which they vote.

    `ranked` are those that it uses, best first, where that can differ. `report` are further columns of its rows.
    """

    method: Method
    heads: Int[np.ndarray, " head"]
    tied: int = 0
    scores: HeadScores | None = None
    # Heads of each class's own [class, k], or weights of the heads, or layers.
    of_class: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    weights: np.ndarray | None = None
    layers: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    model: Any = None
    ranked: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)


def learn(methods: Iterable[Method], support: Support) -> list[Learnt]:
    """Return every method after it has seen the support; all scorings go over it together."""
    methods = list(methods)
    savs = [method for method in methods if isinstance(method, Savs)]
    wanted = {method.scoring for method in savs if method.selection == "top"} | {BY_COUNT}
    scores = score_heads(support.vectors, support.labels, support.centroids, wanted)
    sparse = _learn_sparse([method for method in methods if isinstance(method, Sparse)], support)
    learnt = []
    for method in methods:
        if isinstance(method, Savs):
            learnt.append(_learn_savs(method, support, scores))
        else:
            learnt.append(sparse[method] if isinstance(method, Sparse) else _learn_baseline(method, support, scores))
    return learnt


def _learn_sparse(methods: Sequence[Sparse], support: Support) -> dict[Method, Learnt]:
    """Return what each learns; those that differ in the penalty's weight alone are one path."""
    paths: dict[Sparse, list[Sparse]] = {}
    for method in methods:
        paths.setdefault(replace(method, value=1, restricted=False), []).append(method)
    if paths:
        _tell_apart("the lasso", support.labels)
    learnt: dict[Method, Learnt] = {}
    for one, of_path in paths.items():
        last = np.unique(support.layer)[-one.layers :]
        heads = np.flatnonzero(np.isin(support.layer, last))
        features = support.vectors[:, heads].reshape(len(support.labels), -1).astype(np.float64)
        values = np.array([method.value for method in of_path], dtype=np.float64)
        grid = 1 / (values * len(features)) if one.knob == "C" else values
        estimator = SparseGroupLogisticRegression(
            l1_ratio=one.l1_ratio,
            head_dim=support.vectors.shape[2],
            loss=one.loss,
            scaling=one.scaling,
            solver=one.solver,
            max_iter=SOLVER_STEPS[one.solver],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the report says so
            models = estimator.path(features, support.labels, grid, relative=one.knob == "share")
        learnt |= {m: _sparse_learnt(m, model, heads) for m, model in zip(of_path, models, strict=True)}
    return learnt


def _sparse_learnt(
    method: Sparse, model: SparseGroupLogisticRegression, heads: Int[np.ndarray, " candidate"]
) -> Learnt:
    dim, coef = model.head_dim, model.coef_[:, model.features_]
    # A model that uses no feature reads one head all the same.
    needed = heads[model.heads_] if len(model.heads_) else heads[:1]
    places = np.searchsorted(needed, heads[model.features_ // dim]), model.features_ % dim
    report = {
        "alpha": model.alpha_,
        "objective": model.objective_,
        "gap": model.gap_,
        "n_iter": model.n_iter_,
        "converged": model.converged_,
        "degenerate": model.degenerate_,
        "separated": model.separated_,
        "saturated": model.saturated_,
        "heads_alive": len(model.heads_),
        "features_alive": len(model.features_),
    }
    ranked = heads[model.heads_][np.argsort(-model.head_norms_, kind="stable")]
    return Learnt(method, needed, model=(*places, coef, model.intercept_), ranked=ranked, report=report)


def _learn_savs(method: Savs, support: Support, scores: dict[Scoring, HeadScores]) -> Learnt:
    if method.selection == "layers":
        return _learn_layers(method, support)
    heads = support.vectors.shape[1]
    if method.selection == "random":
        chosen = np.random.default_rng([support.seed, heads]).permutation(heads)[: method.k]
        return Learnt(method, chosen)
    found = scores[method.scoring]
    rank = paper_ranking if method.papers_order else rank_heads
    if method.scoring.per_class:
        of_class = np.stack([rank(v, m)[: method.k] for v, m in zip(found.value, found.margin, strict=True)])
        tied = max(tied_at_cut(value, method.k) for value in found.value)
        return Learnt(method, np.unique(of_class), tied, found, of_class)
    ranked = rank(found.value, found.margin)[: method.k]
    # The papers' code lists the kept heads by layer and head, not by score: that decides between equal camps.
    chosen = np.sort(ranked) if method.papers_order else ranked
    weights = found.value[chosen] if method.vote == "weighted" else None
    return Learnt(method, chosen, tied_at_cut(found.value, method.k), found, weights=weights, ranked=ranked)


def _learn_layers(method: Savs, support: Support) -> Learnt:
    found = [
        score_heads(one.vectors, one.labels, one.centroids, [method.scoring])[method.scoring] for one in support.layers
    ]
    value = np.concatenate([scores.value for scores in found])
    ranking = rank_heads(value, np.concatenate([scores.margin for scores in found]))[: method.k]
    numbers = np.unique(support.layer)
    layers = [(np.flatnonzero(support.layer == numbers[place]), support.layers[place].centroids) for place in ranking]
    heads = np.concatenate([of_layer for of_layer, _ in layers])
    return Learnt(method, heads, tied_at_cut(value, method.k), layers=layers)


def _learn_baseline(method: Baseline, support: Support, scores: dict[Scoring, HeadScores]) -> Learnt:
    found = scores[BY_COUNT]
    heads, tied = rank_heads(found.value, found.margin)[: method.k], tied_at_cut(found.value, method.k)
    if method.name == "last-layer-probe":
        heads, tied = np.flatnonzero(support.layer == support.layer.max()), 0
    features = support.vectors[:, heads].astype(np.float64)
    with warnings.catch_warnings():
        # A probe that stops at its last iteration, or a discriminant of collinear features, is still an answer.
        warnings.simplefilter("ignore")
        model = _fit(method, features, support.labels, support.seed)
    return Learnt(method, heads, tied, found, model=model)


def _tell_apart(name: str, labels: Int[np.ndarray, " sample"]) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} tells classes apart: samples of one class teach it nothing")


def _fit(method: Baseline, features: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    by_head = features.transpose(1, 0, 2)
    if method.name != "knn":
        _tell_apart(method.name, labels)
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


def predict(
    learnt: Sequence[Learnt],
    heads: Int[np.ndarray, " head"],
    features: Shaped[np.ndarray, "sample head dim"],
    centroids: Float[np.ndarray, "class head dim"],
    allowed: Allowed = None,
) -> list[Votes]:
    """Return what every method says of samples; similarities that several methods vote by are computed once.

    `heads` are the sorted heads that `features` and `centroids` hold, all that any of the methods needs;
    `allowed` tells the classes that restricted methods choose among.
    """
    shared: dict[Any, np.ndarray] = {}
    votes = []
    for one in learnt:
        method, places = one.method, np.searchsorted(heads, one.heads)
        among = allowed if method.restricted else None
        if isinstance(method, Baseline):
            votes.append(_baseline_votes(one, features[:, places], among))
        elif isinstance(method, Sparse):
            votes.append(_sparse_votes(one, features, places, among))
        elif method.selection == "layers":
            votes.append(_layer_votes(one, heads, features, among))
        else:
            key = (method.voting, method.restricted)
            if key not in shared:
                used = np.unique(np.concatenate([np.searchsorted(heads, o.heads) for o in learnt if _votes_by(o, key)]))
                found = restrict(similarities(method.voting, features[:, used], centroids[:, used]), among)
                shared[key] = np.full((len(features), len(centroids), len(heads)), np.nan)
                shared[key][:, :, used] = found
            votes.append(_savs_votes(one, shared[key], heads, among))
    return votes


def _votes_by(learnt: Learnt, key: tuple) -> bool:
    method = learnt.method
    return isinstance(method, Savs) and method.selection != "layers" and (method.voting, method.restricted) == key


def _savs_votes(
    learnt: Learnt, found: Float[np.ndarray, "sample class head"], heads: np.ndarray, among: Allowed
) -> Votes:
    method, classes = learnt.method, found.shape[1]
    assert isinstance(method, Savs)
    if method.scoring.per_class:
        found = found[:, :, np.searchsorted(heads, learnt.heads)]
        places = np.searchsorted(learnt.heads, learnt.of_class)
        if method.vote == "class-favoured":
            scores = class_favoured_votes(found, places)
            # Between equal counts, the class decides whose own heads are most similar to it.
            best = (scores == scores.max(axis=1, keepdims=True)) & (True if among is None else among)
            near = np.where(best, class_similarities(found, places, normalise=False), -np.inf)
            scores = scores if among is None else np.where(among, scores, -np.inf)
            return Votes(_first_best(scores if method.papers_order else near), scores)
        else:
            scores = class_similarities(found, places, method.vote == "max-similarity-normalised")
        scores = scores if among is None else np.where(among, scores, -np.inf)
        return Votes(_first_best(scores), scores)
    own = found[:, :, np.searchsorted(heads, learnt.heads)]
    if method.vote == "soft":
        scores = soft_votes(own, method.temperature)
        return Votes(_first_best(scores), scores)
    predictions = own.argmax(axis=1)
    scores = count_votes(predictions, classes, learnt.weights)
    return Votes(winner(scores, predictions), scores)


def _layer_votes(learnt: Learnt, heads: np.ndarray, features: np.ndarray, allowed: Allowed) -> Votes:
    method = learnt.method
    assert isinstance(method, Savs)
    predictions = []
    for of_layer, centroids in learnt.layers:
        vectors = features[:, np.searchsorted(heads, of_layer)].reshape(len(features), 1, -1)
        found = restrict(similarities(method.voting, vectors, centroids), allowed)
        predictions.append(found[:, :, 0].argmax(axis=1))
    stacked = np.stack(predictions, axis=1)
    scores = count_votes(stacked, learnt.layers[0][1].shape[0])
    return Votes(winner(scores, stacked), scores)


def _sparse_votes(
    learnt: Learnt, features: Shaped[np.ndarray, "sample head dim"], places: Int[np.ndarray, " needed"], among: Allowed
) -> Votes:
    """Return the linear scores; of two classes, half of those of the second and their negatives."""
    head, dim, coef, intercept = learnt.model
    scores = features[:, places[head], dim].astype(np.float64) @ coef.T + intercept
    scores = np.hstack([-scores, scores]) / 2 if scores.shape[1] == 1 else scores
    scores = scores if among is None else np.where(among, scores, -np.inf)
    return Votes(_first_best(scores), scores)


def _baseline_votes(learnt: Learnt, features: np.ndarray, allowed: Allowed) -> Votes:
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
        return Votes(_first_best(scores), scores)
    flat = features.reshape(len(features), -1).astype(np.float64)
    scores = (
        learnt.model.predict_proba(flat) if hasattr(learnt.model, "predict_proba") else _decision(learnt.model, flat)
    )
    scores = scores if allowed is None else np.where(allowed, scores, -np.inf)
    return Votes(_first_best(scores), scores)


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


def probabilities(method: Method, scores: Float[np.ndarray, "sample class"]) -> np.ndarray:
    """Return scores as probabilities over classes: shares of votes and posteriors, or a softmax of similarities."""
    if isinstance(method, Savs):
        return softmax(scores) if method.vote.startswith("max-similarity") else shares(scores)
    if isinstance(method, Sparse):
        apart = method.loss == "one-vs-rest" or method.solver == "liblinear"
        return softmax(log_expit(scores) if apart and scores.shape[1] > 2 else scores)
    return softmax(scores) if method.name == "ridge" else shares(scores)


def _first_best(scores: np.ndarray) -> np.ndarray:
    """Return the class of the highest score, of equal ones the first; compared to twelve digits."""
    finite = np.where(np.isfinite(scores), scores, np.nan)
    largest = np.nanmax(np.abs(finite), axis=1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    return np.round(scores / scale, 12).argmax(axis=1)

"""How SAVs learn from a support which heads vote, and how those vote."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.methods.learnt import Learnt, Support
from savs_analyze.methods.recipes import Savs
from savs_analyze.parts.selection import HeadScores, Scoring, paper_ranking, rank_heads, score_heads, tied_at_cut
from savs_analyze.votes.similarity import similarities
from savs_analyze.votes.voting import (
    Allowed,
    Votes,
    class_favoured_votes,
    class_similarities,
    count_votes,
    first_best,
    restrict,
    soft_votes,
    winner,
)


def learn_savs(method: Savs, support: Support, scores: dict[Scoring, HeadScores]) -> Learnt:
    """Return the heads that a recipe keeps, by the scores of all."""
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


def savs_votes(
    learnt: Learnt, found: Float[np.ndarray, "sample class head"], heads: np.ndarray, among: Allowed
) -> Votes:
    """Return how the kept heads vote, by the similarities `found` of all `heads`."""
    method, own = learnt.method, found[:, :, np.searchsorted(heads, learnt.heads)]
    assert isinstance(method, Savs)
    if method.scoring.per_class:
        return _class_votes(method, own, np.searchsorted(learnt.heads, learnt.of_class), among)
    if method.vote == "soft":
        scores = soft_votes(own, method.temperature)
        return Votes(first_best(scores), scores)
    predictions = own.argmax(axis=1)
    scores = count_votes(predictions, own.shape[1], learnt.weights)
    return Votes(winner(scores, predictions), scores)


def _class_votes(
    method: Savs, own: Float[np.ndarray, "sample class head"], places: Int[np.ndarray, "class k"], among: Allowed
) -> Votes:
    if method.vote != "class-favoured":
        scores = restrict(class_similarities(own, places, method.vote == "max-similarity-normalised"), among)
        return Votes(first_best(scores), scores)
    scores = class_favoured_votes(own, places)
    # Between equal counts, the class decides whose own heads are most similar to it.
    best = (scores == scores.max(axis=1, keepdims=True)) & (True if among is None else among)
    near = np.where(best, class_similarities(own, places, normalise=False), -np.inf)
    scores = restrict(scores, among)
    return Votes(first_best(scores if method.papers_order else near), scores)


def layer_votes(learnt: Learnt, heads: np.ndarray, features: np.ndarray, allowed: Allowed) -> Votes:
    """Return how whole layers vote, each by the nearest centroid of its concatenated heads."""
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

"""From methods and a support to what predicts: heads are scored once for all methods, similarities computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import log_expit

from savs_analyze.methods.kinds.baselines import baseline_votes, learn_baseline
from savs_analyze.methods.kinds.savs import layer_votes, learn_savs, savs_votes
from savs_analyze.methods.kinds.sparse import learn_sparse, sparse_votes
from savs_analyze.methods.learnt import Learnt, Support
from savs_analyze.methods.recipes import Baseline, Method, Savs, Sparse
from savs_analyze.parts.selection import BY_COUNT, score_heads
from savs_analyze.votes.similarity import similarities
from savs_analyze.votes.voting import Allowed, Votes, restrict, shares, softmax


def learn(methods: Iterable[Method], support: Support) -> list[Learnt]:
    """Return every method after it has seen the support; all scorings go over it together."""
    methods = list(methods)
    savs = [method for method in methods if isinstance(method, Savs)]
    wanted = {method.scoring for method in savs if method.selection == "top"} | {BY_COUNT}
    scores = score_heads(support.vectors, support.labels, support.centroids, wanted)
    sparse = learn_sparse([method for method in methods if isinstance(method, Sparse)], support)
    learnt = []
    for method in methods:
        if isinstance(method, Savs):
            learnt.append(learn_savs(method, support, scores))
        else:
            learnt.append(sparse[method] if isinstance(method, Sparse) else learn_baseline(method, support, scores))
    return learnt


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
            votes.append(baseline_votes(one, features[:, places], among))
        elif isinstance(method, Sparse):
            votes.append(sparse_votes(one, features, places, among))
        elif method.selection == "layers":
            votes.append(layer_votes(one, heads, features, among))
        else:
            key = (method.voting, method.restricted)
            if key not in shared:
                used = np.unique(np.concatenate([np.searchsorted(heads, o.heads) for o in learnt if _votes_by(o, key)]))
                found = restrict(similarities(method.voting, features[:, used], centroids[:, used]), among)
                shared[key] = np.full((len(features), len(centroids), len(heads)), np.nan)
                shared[key][:, :, used] = found
            votes.append(savs_votes(one, shared[key], heads, among))
    return votes


def _votes_by(learnt: Learnt, key: tuple) -> bool:
    method = learnt.method
    return isinstance(method, Savs) and method.selection != "layers" and (method.voting, method.restricted) == key


def probabilities(method: Method, scores: Float[np.ndarray, "sample class"]) -> np.ndarray:
    """Return scores as probabilities over classes: shares of votes and posteriors, or a softmax of similarities."""
    if isinstance(method, Savs):
        return softmax(scores) if method.vote.startswith("max-similarity") else shares(scores)
    if isinstance(method, Sparse):
        apart = method.loss == "one-vs-rest" or method.solver == "liblinear"
        return softmax(log_expit(scores) if apart and scores.shape[1] > 2 else scores)
    return softmax(scores) if method.name == "ridge" else shares(scores)

"""Sparse Attention Vectors as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from savs_analyze.selection import rank_heads, score_heads
from savs_analyze.similarity import cosine
from savs_analyze.voting import majority_vote


class SAVClassifier(ClassifierMixin, BaseEstimator):
    """Few-shot classification by the vote of the best attention heads (SAVs, ICCV 2025).

    Every head classifies by the nearest class centroid in cosine; the `n_heads` that do best on the
    training samples vote. All heads vote where there are fewer.

    Parameters
    ----------
    n_heads : int, default 20
        Heads that vote.
    head_dim : int or None, default None
        Width of a head: features are `[head * dim]`, head after head. None: one head holds all features.

    Attributes
    ----------
    heads_ : array [n_heads], heads that vote, best first.
    counts_ : array [head], training samples that each head alone classifies right.
    centroids_ : array [class, n_heads, dim], of the heads that vote.
    classes_, n_features_in_ : as everywhere in scikit-learn.

    """

    # No types here: scikit-learn wants parameters stored as they come and judged in `fit`.
    def __init__(self, n_heads=20, head_dim=None):
        self.n_heads = n_heads
        self.head_dim = head_dim

    def fit(self, X: Any, y: Any) -> SAVClassifier:
        """Fit on X `[sample, head * dim]` and labels y `[sample]`.

        Raises ValueError where the features are not a whole number of heads.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if self.n_heads < 1:
            raise ValueError(f"n_heads={self.n_heads}: at least one head must vote")
        self.classes_, labels = np.unique(y, return_inverse=True)
        scores = score_heads(self._heads(X), labels, len(self.classes_))
        self.counts_ = scores.count
        self.heads_ = rank_heads(scores.count, scores.margin)[: self.n_heads]
        self.centroids_ = scores.centroids[:, self.heads_]
        return self

    def predict(self, X: Any) -> Shaped[np.ndarray, " sample"]:
        """Return the class of each sample of X `[sample, head * dim]`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predictions = cosine(self._heads(X)[:, self.heads_], self.centroids_).argmax(axis=1)
        return self.classes_[majority_vote(predictions, len(self.classes_))]

    def _heads(self, X: np.ndarray) -> np.ndarray:
        dim = self.head_dim or X.shape[1]
        if X.shape[1] % dim:
            raise ValueError(f"{X.shape[1]} features are not a whole number of heads of {dim}")
        return X.reshape(len(X), -1, dim)

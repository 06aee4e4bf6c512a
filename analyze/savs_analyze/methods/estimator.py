"""Every method as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.selection import BY_COUNT
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.voting import Votes


class SAVClassifier(ClassifierMixin, BaseEstimator):
    """Few-shot classification by the vote of the best attention heads (SAVs, ICCV 2025).

    Every head classifies by the nearest class centroid; the `n_heads` that do best on the training samples
    vote. All heads vote where there are fewer.

    Parameters
    ----------
    n_heads : int, default 20
        Heads that vote (or heads a class, or features of a probe come from).
    head_dim : int or None, default None
        Width of a head: features are `[head * dim]`, head after head. None: one head holds all features.
    method : str, default "savs"
        A name of `savs_analyze.methods.recipes.METHODS`, but for zero-shot, which needs the model's logits.
    parameters : dict or None, default None
        Further hyperparameters of the method.
    heads_per_layer : int or None, default None
        For the methods that look at layers. None: one layer holds all heads.
    random_state : int, default 0
        Of the random heads and the perceptron.

    Attributes
    ----------
    heads_ : array, heads that the method needs, best first where they are ranked.
    counts_ : array [head], training samples that each head alone classifies right.
    centroids_ : array [class, n_heads, dim], of the heads that the method needs.
    classes_, n_features_in_ : as everywhere in scikit-learn.

    """

    # No types here: scikit-learn wants parameters stored as they come and judged in `fit`.
    def __init__(self, n_heads=20, head_dim=None, method="savs", parameters=None, heads_per_layer=None, random_state=0):
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.method = method
        self.parameters = parameters
        self.heads_per_layer = heads_per_layer
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> SAVClassifier:
        """Fit on X `[sample, head * dim]` and labels y `[sample]`.

        Raises ValueError where the features are not a whole number of heads, and for an unknown method.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if self.n_heads < 1:
            raise ValueError(f"n_heads={self.n_heads}: at least one head must vote")
        if self.method == ZERO_SHOT:
            raise ValueError("zero-shot needs the logits of the model, not its heads")
        self.classes_, labels = np.unique(y, return_inverse=True)
        vectors = self._heads(X)
        takes_heads = "k" in METHODS[self.method].defaults if self.method in METHODS else False
        chosen = {**({"k": self.n_heads} if takes_heads else {}), **(self.parameters or {})}
        method = make_setting(self.method, **chosen).method
        layer = np.arange(vectors.shape[1]) // (self.heads_per_layer or vectors.shape[1])
        context = Context(vectors, labels, len(self.classes_), layer, self.random_state)
        [self._fitted] = learn([method], context)
        self.counts_ = context.scores(BY_COUNT).value.astype(int)
        self.heads_ = self._fitted.heads
        self.centroids_ = context.centroids[:, self.heads_]
        return self

    def predict(self, X: Any) -> Shaped[np.ndarray, " sample"]:
        """Return the class of each sample of X `[sample, head * dim]`."""
        votes = self._votes(X)
        return self.classes_[votes.predicted]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "sample class"]:
        """Return how sure the method is of each class: shares of votes, or a softmax of what it compares.

        Where votes are equal, the class that is predicted is the one of the best head among the voters.
        """
        votes = self._votes(X)
        return self._fitted.probabilities(votes.scores)

    def _votes(self, X: Any) -> Votes:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        needed = np.unique(self.heads_)
        return self._fitted.votes(Batch(needed, self._heads(X)[:, needed]))

    def _heads(self, X: np.ndarray) -> np.ndarray:
        dim = self.head_dim or X.shape[1]
        if X.shape[1] % dim:
            raise ValueError(f"{X.shape[1]} features are not a whole number of heads of {dim}")
        return X.reshape(len(X), -1, dim)

"""What a user gives an estimator, judged in words: numbers, names, and features of heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

LARGEST_SEED = 2**32 - 1


def whole_number(name: str, value: Any, none: str = "") -> int:
    """Return a parameter as an int above 0; `none` says what None would mean.

    Raises ValueError naming the parameter and its value.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number from 1 on{none and f', or None: {none}'}")
    return int(value)


def finite_number(name: str, value: Any) -> float:
    """Return a parameter as a float. Raises ValueError naming the parameter and its value."""
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: must be a finite number")
    return float(value)


def positive_number(name: str, value: Any) -> float:
    """Return a parameter as a float. Raises ValueError naming the parameter and its value."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name}={value!r}: must be positive and finite")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def seed_of(random_state: Any) -> int:
    """Return a seed: an int as it is; of None, or of a RandomState, another one each time.

    Raises ValueError for anything else.
    """
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    known = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if not known or not 0 <= random_state <= LARGEST_SEED:
        words = f"must be a whole number from 0 to {LARGEST_SEED}, a numpy RandomState, or None: fresh in each fit"
        raise ValueError(f"random_state={random_state!r}: {words}")
    return int(random_state)


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of X `[sample, head, dim]`, or of `[sample, head * dim]` with `head_dim`."""

    head_dim: Any
    _shape: tuple[int, int]  # heads and their width

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _seen(
        self, X: Any, y: Any, sample_weight: Any, dtype: Any
    ) -> tuple[Shaped[np.ndarray, "sample feature"], np.ndarray, Float[np.ndarray, " sample"] | None]:
        """Return features, labels and weights to fit on, and note how features are heads.

        A sample of weight 0 is left out, as if it were not there.
        """
        X, shape = _flat(X)
        X, y = validate_data(self, X, y, dtype=dtype)
        check_classification_targets(y)
        dim = _width(self.head_dim, X.shape[1], shape)
        self._shape = X.shape[1] // dim, dim
        if sample_weight is None:
            return X, y, None
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = weights > 0
        return X[kept], y[kept], weights[kept]

    def _unseen(self, X: Any, dtype: Any) -> Shaped[np.ndarray, "sample feature"]:
        """Return features of the same heads."""
        check_is_fitted(self)
        X, shape = _flat(X)
        if shape not in (None, self._shape):
            raise ValueError(
                f"X is [sample, {shape[0]}, {shape[1]}]: fitted on {self._shape[0]} heads of {self._shape[1]}"
            )
        return validate_data(self, X, dtype=dtype, reset=False)


def _flat(X: Any) -> tuple[Any, tuple[int, int] | None]:
    """Return X `[sample, head, dim]` as `[sample, head * dim]`, with its heads and dim; any other X as it is."""
    known = np.asarray(X) if isinstance(X, list | tuple) else X
    if getattr(known, "ndim", 0) != 3:
        return X, None
    samples, heads, dim = map(int, known.shape)
    return known.reshape(samples, heads * dim), (heads, dim)


def _width(head_dim: Any, features: int, shape: tuple[int, int] | None) -> int:
    """Return the width of a head.

    Raises ValueError where `head_dim` is not that of X, does not divide the features, or leaves one head of them.
    """
    none = "X is [sample, head, dim], or one head holds all features"
    dim = None if head_dim is None else whole_number("head_dim", head_dim, none)
    if shape is not None:
        if dim not in (None, shape[1]):
            raise ValueError(f"head_dim={dim}, but X is [sample, {shape[0]}, {shape[1]}]: leave head_dim out")
        return shape[1]
    if dim is None:
        return features
    if features % dim:
        raise ValueError(f"head_dim={dim}: {features} features are not a whole number of heads of {dim}")
    if features == dim:
        words = "leave head_dim out if that is meant, or give the width of a head"
        raise ValueError(f"head_dim={dim} makes one single head of all features (n_features={features}): {words}")
    return dim

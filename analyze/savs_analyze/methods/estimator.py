"""Every method as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.utils import Tags, check_array

from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn
from savs_analyze.methods.method import Method
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.given import HeadClassifier, finite_number, seed_of, whole_number
from savs_analyze.parts.selection import BY_COUNT
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.voting import Votes, decided

NESTED = "parameters__"


class SAVClassifier(HeadClassifier):
    """Few-shot classification by the vote of the best attention heads (SAVs, ICCV 2025).

    Every head classifies by the nearest class centroid; the `n_heads` that do best on the training samples
    vote. All heads vote where there are fewer.

    Parameters
    ----------
    n_heads : int, default 20
        Heads that vote (or heads a class, or features of a probe come from).
    head_dim : int or None, default None
        Width of a head, where X is `[sample, head * dim]`, head after head. None: X is `[sample, head, dim]` as a
        store's `read()` gives it, or one head holds all features.
    method : str, default "savs"
        A name of `savs_analyze.methods.recipes.METHODS`, but for zero-shot, which needs the model's logits.
    parameters : dict or None, default None
        Further hyperparameters of the method; a k among them wins over n_heads.
        A grid reaches each as `parameters__temperature` and so on.
    heads_per_layer : int or None, default None
        For the methods that look at layers. None: one layer holds all heads.
    random_state : int, RandomState or None, default 0
        Of the random heads, the perceptron and the folds of `auto`. None: other ones in each fit.

    Attributes
    ----------
    heads_ : array, heads that the method needs, best first where they are ranked: `[n, 2]` of layer and place in it
    where `heads_per_layer` is given, else `[n]`, places on the axis of heads.
    counts_ : array [head], training samples that each head alone classifies right, or the sum of their weights.
    centroids_ : array [class, n, dim], of the heads that the method needs.
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = self.head_dim == 1  # the cosine of a single number is its sign
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; `deep` adds the method's own as `parameters__...`, but for k, which is `n_heads`."""
        found = super().get_params(deep=deep)
        if deep:
            known = {name: value for name, value in _defaults(self.method).items() if name != "k"}
            given = self.parameters if isinstance(self.parameters, dict) else {}
            found.update({f"{NESTED}{name}": value for name, value in {**known, **given}.items()})
        return found

    def set_params(self, **params: Any) -> SAVClassifier:
        """Set parameters, and the method's own as `parameters__...`. Raises ValueError for names that it does not have.

        The method is set first, whatever the order.
        """
        nested = {name.removeprefix(NESTED): params.pop(name) for name in list(params) if name.startswith(NESTED)}
        _check_names(nested, params.get("method", self.method))
        super().set_params(**params)
        if nested:
            given = self.parameters if isinstance(self.parameters, Mapping) else {}
            self.parameters = {**given, **nested}
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None, class_vectors: Any = None) -> SAVClassifier:
        """Fit on X `[sample, head, dim]`, or `[sample, head * dim]` with `head_dim`, and labels y `[sample]`.

        A sample of weight 2 counts as two, one of weight 0 is as if it were not there. Methods that leave samples out,
        look at neighbours or estimate covariances take no weights. `class_vectors` `[class, head, dim]`, or
        `[class, head * dim]`, are those of texts that name the classes in sorted order, for the methods that compare
        with them.

        Raises ValueError where the features are not a whole number of heads, for an unknown method, for weights that
        a method does not take, and for parameters that are none, naming them.
        """
        method, seed = self._chosen(), seed_of(self.random_state)
        if sample_weight is not None and not method.weighs:
            if len(np.unique(np.asarray(sample_weight))) > 1:
                raise ValueError(f"{self.method} takes no sample_weight: leave it out, or repeat samples")
            sample_weight = None  # equal weights are none
        X, y, weights = self._seen(X, y, sample_weight, np.float64)
        self.classes_, labels = np.unique(y, return_inverse=True)
        layer, place = self._places()
        vectors, named = X.reshape(len(X), *self._shape), self._named(class_vectors)
        context = Context(vectors, labels, len(self.classes_), layer, seed, weights=weights, class_vectors=named)
        [self._fitted] = learn([method], context)
        counts = context.scores(BY_COUNT).value
        self.counts_ = counts.astype(int) if weights is None else counts * weights.mean()
        needed = self._fitted.heads
        self.heads_ = needed if self.heads_per_layer is None else np.stack([layer, place], axis=1)[needed]
        self.centroids_ = context.centroids[:, needed]
        return self

    def predict(self, X: Any) -> Shaped[np.ndarray, " sample"]:
        """Return the class of each sample of X, which is as in `fit`: the most probable one."""
        votes = self._votes(X)
        return self.classes_[votes.predicted]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "sample class"]:
        """Return how sure the method is of each class: shares of votes, or a softmax of what it compares.

        Where votes are equal, the class of the best head among the voters wins, and is a hair more probable.
        """
        votes = self._votes(X)
        return decided(self._fitted.probabilities(votes.scores), votes.predicted)

    def _votes(self, X: Any) -> Votes:
        X = self._unseen(X, np.float64)
        needed = np.unique(self._fitted.heads)
        return self._fitted.votes(Batch(needed, X.reshape(len(X), *self._shape)[:, needed]))

    def _named(self, class_vectors: Any) -> Float[np.ndarray, "class head dim"] | None:
        """Return class vectors as heads. Raises ValueError where they are not of these classes and heads."""
        if class_vectors is None:
            return None
        wanted = len(self.classes_), *self._shape
        found = np.asarray(class_vectors)
        if found.ndim < 2 or found.size != np.prod(wanted) or len(found) != wanted[0]:
            raise ValueError(f"class_vectors are {found.shape}, [class, head, dim] of y and X is {wanted}")
        flat = check_array(found.reshape(wanted[0], -1), dtype=np.float64, input_name="class_vectors")
        return flat.reshape(wanted)

    def _chosen(self) -> Method:
        """Return the method with its hyperparameters."""
        heads = whole_number("n_heads", self.n_heads)
        if not isinstance(self.method, str):
            raise ValueError(f"method={self.method!r}: must be the name of a method, such as 'savs'")
        if self.method == ZERO_SHOT:
            raise ValueError("zero-shot needs the logits of the model, not its heads")
        given = {} if self.parameters is None else self.parameters
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise ValueError(f"parameters={given!r}: must be a dict of numbers by name, such as {{'temperature': 0.1}}")
        _check_names(given, make_setting(self.method).name)
        taken: dict[str, Any] = {"k": heads} if "k" in _defaults(self.method) else {}
        own = {name: finite_number(f"parameters[{name!r}]", value) for name, value in given.items()}
        return make_setting(self.method, **{**taken, **own}).method

    def _places(self) -> tuple[Int[np.ndarray, " head"], Int[np.ndarray, " head"]]:
        """Return the layer of every head, and its place in the layer."""
        heads = self._shape[0]
        given, none = self.heads_per_layer, "one layer holds all heads"
        width = heads if given is None else whole_number("heads_per_layer", given, none)
        if heads % width:
            raise ValueError(f"heads_per_layer={width}: {heads} heads are not a whole number of layers")
        return np.divmod(np.arange(heads), width)


def _check_names(given: Iterable[str], method: Any) -> None:
    """Raise ValueError for a hyperparameter that the method does not have."""
    if unknown := sorted(set(given) - set(_defaults(method))):
        has = ", ".join(_defaults(method)) or "nothing to set"
        raise ValueError(f"{method} has no {', '.join(unknown)}; it has {has}")


def _defaults(method: Any) -> Mapping[str, int | float]:
    """Return the hyperparameters of a method; none of what is no method, which `fit` refuses."""
    return METHODS[method].defaults if isinstance(method, str) and method in METHODS else {}

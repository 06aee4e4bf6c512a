"""How each kind of fitted method is written as arrays and plain numbers, and made from them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from savs_analyze.classifier.errors import ClassifierError
from savs_analyze.votes.arithmetic import DOUBLE
from savs_analyze.votes.batch import Centroids
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.heads import HeadVotes, ReliableVotes
from savs_analyze.votes.kernel import CacheVotes, KernelVotes
from savs_analyze.votes.linear import (
    DiscriminantVotes,
    GaussianVotes,
    LinearVotes,
    PerceptronVotes,
    SparseVotes,
    Standard,
    TextVotes,
)
from savs_analyze.votes.neighbours import NeighbourVotes
from savs_analyze.votes.similarity import Similarity
from savs_analyze.votes.vote import VOTES

# What an array of whole numbers counts.
HEADS, PLACES, LABELS, NUMBERS = "heads", "places", "labels", "numbers"
# Plain numbers are below 1e6 but for these: a kernel is as narrow as the samples lie close.
MOST = {"gamma": 1e12}
# Numbers whose products are still numbers.
LARGEST = 1e100


@dataclass(frozen=True)
class Array:
    """An array of a fitted method: its axes by name, and what it holds.

    `heads` are places on the classifier's head axis, `places` those among the method's own heads. An axis that occurs
    in several arrays has one length. `output` is one number a class, or one for two classes.
    """

    axes: str
    holds: str = NUMBERS
    optional: bool = False


@dataclass(frozen=True)
class Form:
    """A kind of fitted method: its arrays by the path of their field, and its plain fields with their types."""

    kind: type[Fitted]
    arrays: Mapping[str, Array]
    plain: Mapping[str, type] = dataclasses.field(default_factory=dict)


# What a file says of a similarity; its arithmetic is double precision.
OF_SIMILARITY = ("name", "gamma", "beta", "saturating")
OF_ALL = {"heads": Array("voter", HEADS), "ranked": Array("used", HEADS, optional=True)}
STANDARD = {"standard.mean": Array("feature"), "standard.scale": Array("feature")}
FORMS: dict[str, Form] = {
    "head-votes": Form(
        HeadVotes,
        {
            **OF_ALL,
            "centroids.heads": Array("centroid", HEADS),
            "centroids.vectors": Array("class centroid dim"),
            "weights": Array("voter", optional=True),
            "own": Array("class own", HEADS, optional=True),
        },
        {"similarity": Similarity, "vote": str, "temperature": float, "papers_order": bool},
    ),
    "reliable": Form(
        ReliableVotes,
        {
            **OF_ALL,
            "centroids.heads": Array("centroid", HEADS),
            "centroids.vectors": Array("class centroid dim"),
            "weights": Array("class voter"),
        },
        {"temperature": float},
    ),
    "linear": Form(
        LinearVotes,
        {**OF_ALL, **STANDARD, "weights": Array("output feature"), "intercept": Array("output")},
        {"logistic": bool},
    ),
    "gaussian": Form(
        GaussianVotes, {**OF_ALL, "weights": Array("voter output dim"), "intercept": Array("voter output")}
    ),
    "discriminant": Form(
        DiscriminantVotes, {**OF_ALL, "weights": Array("voter class dim"), "intercept": Array("voter class")}
    ),
    "texts": Form(
        TextVotes,
        {
            **OF_ALL,
            "text_heads": Array("text", PLACES),
            "text_weights": Array("text class dim"),
            "text_intercept": Array("text class"),
            "picture_heads": Array("picture", PLACES),
            "picture_weights": Array("picture class dim"),
            "picture_intercept": Array("picture class"),
        },
        {"alpha": float},
    ),
    "kernel": Form(
        KernelVotes,
        {**OF_ALL, "support": Array("neighbour voter dim"), "coefficients": Array("neighbour class")},
        {"linear": bool, "gamma": float, "sharpness": float},
    ),
    "cache": Form(
        CacheVotes,
        {
            **OF_ALL,
            "texts": Array("class voter dim"),
            "support": Array("neighbour voter dim"),
            "values": Array("neighbour class"),
        },
        {"decay": float},
    ),
    "perceptron": Form(
        PerceptronVotes,
        {
            **OF_ALL,
            **STANDARD,
            "hidden_weights": Array("feature unit"),
            "hidden_intercept": Array("unit"),
            "weights": Array("unit output"),
            "intercept": Array("output"),
        },
    ),
    "sparse": Form(
        SparseVotes,
        {
            **OF_ALL,
            "head": Array("chosen", PLACES),
            "dim": Array("chosen", PLACES),
            "weights": Array("output chosen"),
            "intercept": Array("output"),
        },
        {"apart": bool},
    ),
    "neighbours": Form(
        NeighbourVotes,
        {**OF_ALL, "neighbours": Array("voter neighbour dim"), "labels": Array("neighbour", LABELS)},
        {"count": int},
    ),
}
NAMES = {form.kind: name for name, form in FORMS.items()}


def written(fitted: Fitted, head_axis: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a fitted method as plain fields and arrays; its heads become places among the sorted `head_axis`.

    Raises `ClassifierError` for a kind that has no form: it cannot be deployed.
    """
    name = NAMES.get(type(fitted))
    if name is None:
        raise ClassifierError(
            f"{type(fitted).__name__} cannot be written to a classifier's file: it answers by other things than the "
            f"vectors of single heads; the kinds that can are {', '.join(FORMS)}"
        )
    if isinstance(fitted, HeadVotes) and (fitted.order is not None or fitted.similarity.arithmetic != DOUBLE):
        raise ClassifierError("heads that vote as a paper's code does cannot be written to a classifier's file")
    form, arrays = FORMS[name], {}
    for path, spec in form.arrays.items():
        value = _look(fitted, path)
        if value is not None:
            whole = spec.holds != NUMBERS
            placed = np.searchsorted(head_axis, value) if spec.holds == HEADS else value
            arrays[path] = np.ascontiguousarray(placed, dtype=np.int64 if whole else np.float64)
    plain = {field: _plain(getattr(fitted, field)) for field in form.plain}
    return {"kind": name, "restricted": fitted.restricted, **plain}, arrays


def read(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Fitted:
    """Make a fitted method again; `sizes` are those of the classifier: class, head, dim.

    Raises `ClassifierError` for an unknown kind, and for arrays that do not fit together.
    """
    form = FORMS.get(str(plain.get("kind")))
    if form is None:
        raise ClassifierError(
            f"it answers by {str(plain.get('kind'))[:40]!r}, which this savs does not know: it knows {', '.join(FORMS)}"
        )
    wanted = {"kind", "restricted", *form.plain}
    if set(plain) != wanted or type(plain["restricted"]) is not bool:
        raise ClassifierError(f"its fields are not those of {plain['kind']}: {', '.join(sorted(wanted))}")
    _check_arrays(form, arrays, sizes)
    fields: dict[str, Any] = {path: arrays.get(path) for path in form.arrays if "." not in path}
    if "standard.mean" in form.arrays:
        fields["standard"] = Standard(arrays["standard.mean"], arrays["standard.scale"])
    if "centroids.heads" in form.arrays:
        fields["centroids"] = Centroids(arrays["centroids.heads"], arrays["centroids.vectors"])
    fields |= {name: _typed(name, kind, plain[name]) for name, kind in form.plain.items()}
    return form.kind(restricted=plain["restricted"], **fields)


def _look(fitted: Fitted, path: str) -> Any:
    value: Any = fitted
    for field in path.split("."):
        value = getattr(value, field)
    return value


def _plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in OF_SIMILARITY} if isinstance(value, Similarity) else value


def _typed(name: str, kind: type, value: Any) -> Any:
    if kind is Similarity:
        if not isinstance(value, dict) or set(value) != set(OF_SIMILARITY):
            raise ClassifierError("its similarity lacks fields, or has others")
        if not all(type(value[field]) in (int, float) for field in ("gamma", "beta")):
            raise ClassifierError("the numbers of its similarity are none")
        try:
            return Similarity(**value)
        except (ValueError, TypeError) as error:
            raise ClassifierError(f"its similarity is not known here: {error}") from None
    if type(value) is int and kind is float:
        value = float(value)
    if type(value) is not kind:
        raise ClassifierError(f"{name} is {str(value)[:40]!r}, not of type {kind.__name__}")
    if name == "vote" and value not in VOTES:
        raise ClassifierError(f"its heads vote by {str(value)[:40]!r}, which is not known here: {', '.join(VOTES)}")
    if isinstance(value, float | int) and kind is not bool and not 0 < value < MOST.get(name, 1e6):
        raise ClassifierError(f"{name} is {value}, not a number between 0 and {MOST.get(name, 1e6):g}")
    return value


def _check_arrays(form: Form, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> None:
    if wrong := sorted(set(arrays) - set(form.arrays)):
        raise ClassifierError(f"it has an array that its kind does not know: {wrong[0][:60]!r}")
    lengths = dict(sizes)
    for path, spec in form.arrays.items():
        if path not in arrays:
            if spec.optional:
                continue
            raise ClassifierError(f"it lacks the array {path!r}")
        _check_array(path, spec, arrays[path], lengths)
    classes, output = lengths["class"], lengths.get("output")
    if output not in (None, classes) and not (output == 1 and classes == 2):
        raise ClassifierError(f"it gives {output} numbers a sample for {classes} classes")
    if "feature" in lengths and lengths["feature"] != lengths["voter"] * lengths["dim"]:
        raise ClassifierError(f"it has {lengths['feature']} features of {lengths['voter']} heads of {lengths['dim']}")
    limits = {HEADS: lengths["head"], LABELS: classes}
    for path, array in arrays.items():
        holds = form.arrays[path].holds
        limit = (lengths["dim"] if path == "dim" else lengths["voter"]) if holds == PLACES else limits.get(holds)
        _check_range(path, array, limit)
    _check_sorted(arrays)
    if form.kind is ReliableVotes and (arrays["weights"] < 0).any():
        raise ClassifierError("it trusts a head less than not at all: a weight is below 0")


def _check_array(path: str, spec: Array, array: np.ndarray, lengths: dict[str, int]) -> None:
    """Check kind and shape; an axis that is met first sets its length for all others."""
    kind = "f" if spec.holds == NUMBERS else "i"
    axes = spec.axes.split()
    # A sparse method may use no feature, and no head then.
    may_be_empty = not {"chosen", "used"}.isdisjoint(axes)
    if array.dtype.kind != kind or array.ndim != len(axes) or not (array.size or may_be_empty):
        raise ClassifierError(f"the array {path!r} is {array.dtype} {array.shape}, not numbers [{', '.join(axes)}]")
    for axis, length in zip(axes, array.shape, strict=True):
        if lengths.setdefault(axis, length) != length:
            raise ClassifierError(f"the array {path!r} has {length} of {axis}, others have {lengths[axis]}")


def _check_range(path: str, array: np.ndarray, limit: int | None) -> None:
    if limit is None:
        if not (np.abs(array) < LARGEST).all():
            raise ClassifierError(f"the array {path!r} holds numbers that are not finite, or above {LARGEST:g}")
        if path == "standard.scale" and not (array > 0).all():
            raise ClassifierError(f"the array {path!r} holds numbers that are not above 0")
    elif array.size and not 0 <= array.min() <= array.max() < limit:
        raise ClassifierError(f"the array {path!r} counts from {array.min()} to {array.max()}, of {limit}")


def _check_sorted(arrays: Mapping[str, np.ndarray]) -> None:
    """What is looked up by bisection must be sorted; a vote counts every own head among the heads that vote."""
    if len(np.unique(arrays["heads"])) < len(arrays["heads"]):
        raise ClassifierError("a head stands twice among those that vote")
    if "centroids.heads" in arrays:
        heads = arrays["centroids.heads"]
        if (np.diff(heads) <= 0).any() or not np.isin(arrays["heads"], heads).all():
            raise ClassifierError("its centroids are not those of the heads that vote, in their order")
    if "own" in arrays:
        voters = arrays["heads"]
        if (np.diff(voters) <= 0).any() or not np.isin(arrays["own"], voters).all():
            raise ClassifierError("the heads of its classes are not among the heads that vote")

"""Methods by name: similarity x transform x criterion x selection x vote, and what they are compared with."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from savs_analyze.selection import BY_COUNT, Scoring
from savs_analyze.similarity import COSINE, Similarity
from savs_analyze.transform import NONE, Transform
from savs_analyze.voting import CLASS_VOTES, VOTES

# The votes that heads of a selection can take: only ranked heads have weights and classes of their own.
SELECTIONS = {"top": VOTES, "layers": ("majority",), "random": ("majority", "soft")}
BASELINES = ("knn", "linear-probe", "mlp-probe", "last-layer-probe", "ridge", "gaussian")
SOLVERS = ("working-set", "group-lasso", "liblinear")
SCALINGS = ("none", "head_rms", "feature_std")
ZERO_SHOT, SAVS = "zero-shot", "savs"


@dataclass(frozen=True)
class Savs:
    """One recipe: the `k` best heads by `scoring` (or of every class, under a vote that takes such) vote.

    `selection` may also keep whole layers, concatenated, or random heads, the control. `voting` is the
    similarity that heads vote by. `papers_order` keeps and lists heads as the papers' code does.
    """

    k: int = 20
    scoring: Scoring = BY_COUNT
    selection: str = "top"
    vote: str = "majority"
    voting: Similarity = COSINE
    temperature: int | float = 0.1
    restricted: bool = False
    papers_order: bool = False

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS or self.vote not in VOTES:
            raise ValueError(f"unknown selection or vote: {self.selection!r}, {self.vote!r}")
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if (self.vote in CLASS_VOTES) != bool(self.scoring.per_class):
            raise ValueError(f"vote {self.vote!r} and heads {self.scoring.per_class or 'for all classes'} do not fit")
        if self.vote not in SELECTIONS[self.selection]:
            raise ValueError(f"the selection {self.selection!r} has no vote {self.vote!r}")

    @property
    def least_shots(self) -> int:
        return 2 if self.scoring.leave_one_out else 1

    @property
    def canonical(self) -> Savs:
        """The simplest recipe that provably predicts the same in a draw; equal recipes are computed once.

        Where only the order of classes counts, penalty and artanh change nothing (both grow with the class's own
        similarity), and kernels are their bases. A positive factor changes no ranking of heads either. A draw has
        equally many samples of every class, so the mean of the classes' shares is the count, but for a factor.
        """
        scoring, voting = self.scoring, self.voting
        if self.vote != "weighted" or scoring.criterion in ("count", "balanced"):
            scoring = _canonical_scoring(scoring)
        if self.vote in ("majority", "weighted"):
            voting = voting.base
        if self.selection == "random":
            scoring = BY_COUNT
        temperature = self.temperature if self.vote == "soft" else 0.1
        return replace(self, scoring=scoring, voting=voting, temperature=temperature)


def _canonical_scoring(scoring: Scoring) -> Scoring:
    # Ties are broken by margins of similarities: a base and its kernel may break them differently, but for a factor.
    kind = scoring.similarity
    scaled = kind.base if kind.name in ("laplacian", "sigmoid") else kind
    if scoring.per_class or scoring.criterion in ("count", "balanced"):
        return replace(scoring, similarity=kind.base, transform=NONE, criterion="count")
    if scoring.criterion == "margin" and scoring.transform.name == "penalty":
        return replace(scoring, similarity=scaled, transform=NONE)
    return replace(scoring, similarity=scaled)


@dataclass(frozen=True)
class Baseline:
    """What SAVs are compared with: a classifier on the `k` best heads by count, or on the last layer."""

    name: str
    k: int = 20
    strength: int | float = 1.0
    neighbours: int = 5
    restricted: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.strength > 0:
            raise ValueError(f"strength must be above 0, got {self.strength}")

    @property
    def least_shots(self) -> int:
        return 2 if self.name == "gaussian" else 1

    @property
    def canonical(self) -> Baseline:
        return self


@dataclass(frozen=True)
class Sparse:
    """Sparse logistic regression on all heads of the last `layers` layers (second paper).

    `knob` says what `value` is: "alpha", the weight of the penalty, the lasso's "C" = 1 / (n alpha), or the "share"
    of the least alpha at which no feature is used. `solver` and `scaling` are those of `lasso_classifier`.
    """

    layers: int
    knob: str
    value: int | float
    l1_ratio: int | float = 1.0
    loss: str = "multinomial"
    solver: str = "working-set"
    scaling: str = "none"
    restricted: bool = False

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers must be at least 1, got {self.layers}")
        if not self.value > 0:
            raise ValueError(f"{self.knob} must be above 0, got {self.value}")
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio must be from 0 to 1, got {self.l1_ratio}")
        if self.solver not in SOLVERS or self.scaling not in SCALINGS:
            raise ValueError(f"unknown solver or scaling: {self.solver!r}, {self.scaling!r}")
        if self.solver == "liblinear" and self.l1_ratio != 1:
            raise ValueError("the solver liblinear knows the lasso only")
        if self.solver == "liblinear" and self.knob == "share":
            raise ValueError(
                "the solver liblinear penalises the intercept, so no share of the largest penalty is known"
            )
        if self.solver == "group-lasso" and self.loss != "multinomial":
            raise ValueError("the solver group-lasso knows the multinomial loss only")

    @property
    def least_shots(self) -> int:
        return 1

    @property
    def canonical(self) -> Sparse:
        return self


Method = Savs | Baseline | Sparse


@dataclass(frozen=True)
class Recipe:
    """A named method: its formula, where it is from, its hyperparameters with their defaults, how to make it."""

    formula: str
    source: str
    defaults: Mapping[str, int | float]
    make: Callable[..., Method]


FIRST = "SAVs, arXiv 2412.00142"
SECOND = "second paper, {}"
OURS = "this project"


def _kernel(name: str) -> Callable[..., Savs]:
    def make(k: int, gamma: float = 1.0, beta: float = 0.0) -> Savs:
        kind = Similarity(name, gamma, beta)
        return Savs(k, Scoring(kind), voting=kind)

    return make


def _saturating(name: str) -> Callable[..., Savs]:
    # Their kernels only rank the heads; the vote stays cosine.
    def make(k: int, gamma: float, beta: float = 0.0) -> Savs:
        return Savs(k, Scoring(Similarity(name, gamma, beta, saturating=True)))

    return make


def _per_class(vote: str, criterion: str) -> Callable[..., Savs]:
    return lambda k: Savs(k, Scoring(per_class=criterion), vote=vote)


def _sparse(knob: str, **fixed: Any) -> Callable[..., Sparse]:
    return lambda layers, l1_ratio=1.0, **value: Sparse(layers, knob, value[knob], l1_ratio, **fixed)


def _baseline(name: str) -> Callable[..., Baseline]:
    return lambda k=20, strength=1.0, neighbours=5: Baseline(name, k, strength, neighbours)


K, LAST, HALF = {"k": 20}, {"layers": 4}, {"l1_ratio": 0.5}
METHODS: dict[str, Recipe] = {
    ZERO_SHOT: Recipe("argmax of log p(answer of c)", "the model itself", {}, lambda: Baseline(ZERO_SHOT)),
    SAVS: Recipe("count of argmax_c cos(x, u_c) = y; majority", FIRST, K, Savs),
    "savs-penalty": Recipe(
        "s - mean of the others' s", SECOND.format("3.1"), K, lambda k: Savs(k, Scoring(transform=Transform("penalty")))
    ),
    "savs-artanh": Recipe(
        "a (1 + artanh s) - b artanh(mean of the others' s)",
        SECOND.format("3.2"),
        {**K, "a": 1.0, "b": 1.0},
        lambda k, a, b: Savs(k, Scoring(transform=Transform("artanh", a, b))),
    ),
    "savs-l2": Recipe("-|x - u_c|", OURS, K, _kernel("l2")),
    "savs-l1": Recipe("-|x - u_c|_1", OURS, K, _kernel("l1")),
    "savs-dot": Recipe("x.u_c", OURS, K, _kernel("dot")),
    "savs-rbf": Recipe("log exp(-gamma |x - u_c|^2)", SECOND.format("3.3"), {**K, "gamma": 1.0}, _kernel("rbf")),
    "savs-laplacian": Recipe(
        "log exp(-gamma |x - u_c|_1)", SECOND.format("3.3"), {**K, "gamma": 1.0}, _kernel("laplacian")
    ),
    "savs-sigmoid": Recipe(
        "log-odds of (1 + tanh(gamma x.u_c + beta)) / 2",
        SECOND.format("3.3"),
        {**K, "gamma": 1.0, "beta": 0.0},
        _kernel("sigmoid"),
    ),
    "paper-rbf": Recipe(
        "exp(-gamma |x - u_c|^2) in float32 ranks, cosine votes", "its code", {**K, "gamma": 1.0}, _saturating("rbf")
    ),
    "paper-laplacian": Recipe(
        "exp(-gamma |x - u_c|_1) in float32 ranks, cosine votes",
        "its code",
        {**K, "gamma": 1.0},
        _saturating("laplacian"),
    ),
    "paper-sigmoid": Recipe(
        "tanh(gamma x.u_c + beta) in float32 ranks, cosine votes",
        "its code",
        {**K, "gamma": 1.0, "beta": 0.0},
        _saturating("sigmoid"),
    ),
    "savs-margin": Recipe(
        "mean of s_y - max of the others; majority", OURS, K, lambda k: Savs(k, Scoring(criterion="margin"))
    ),
    "savs-penalty-score": Recipe(
        "mean of s_y - mean of the others; majority",
        "second paper, 3.1, not only its argmax",
        K,
        lambda k: Savs(k, Scoring(transform=Transform("penalty"), criterion="score")),
    ),
    "savs-artanh-score": Recipe(
        "mean of a (1 + artanh s_y) - b artanh(mean of the others' s); majority",
        "second paper, 3.2, not only its argmax",
        {**K, "a": 1.0, "b": 1.0},
        lambda k, a, b: Savs(k, Scoring(transform=Transform("artanh", a, b), criterion="score")),
    ),
    "savs-balanced": Recipe(
        "mean over classes of the count's share", OURS, K, lambda k: Savs(k, Scoring(criterion="balanced"))
    ),
    "savs-loo": Recipe(
        "count, each sample left out of its centroid", OURS, K, lambda k: Savs(k, Scoring(leave_one_out=True))
    ),
    "savs-loo-margin": Recipe(
        "margin, each sample left out of its centroid",
        OURS,
        K,
        lambda k: Savs(k, Scoring(criterion="margin", leave_one_out=True)),
    ),
    "savs-weighted": Recipe("votes weigh the head's count", OURS, K, lambda k: Savs(k, vote="weighted")),
    "savs-soft": Recipe(
        "mean of softmax_c(s / temperature)",
        OURS,
        {**K, "temperature": 0.1},
        lambda k, temperature: Savs(k, vote="soft", temperature=temperature),
    ),
    "class-favoured": Recipe(
        "k heads a class by recall; count of those that predict it",
        SECOND.format("3.4"),
        K,
        _per_class("class-favoured", "recall"),
    ),
    "class-similarity": Recipe(
        "k heads a class by recall; mean of s_c", SECOND.format("3.4"), K, _per_class("max-similarity", "recall")
    ),
    "class-favoured-balanced": Recipe(
        "k heads a class by one-vs-rest share; count", OURS, K, _per_class("class-favoured", "one-vs-rest")
    ),
    "class-similarity-balanced": Recipe(
        "k heads a class by one-vs-rest share; mean of standard scores of s_c",
        OURS,
        K,
        _per_class("max-similarity-normalised", "one-vs-rest"),
    ),
    "layers": Recipe(
        "whole layers as concatenated vectors; count, majority",
        FIRST,
        {"layers": 2},
        lambda layers: Savs(layers, selection="layers"),
    ),
    "random": Recipe("k random heads; majority", OURS, K, lambda k: Savs(k, selection="random")),
    "knn": Recipe(
        "nearest neighbours by cosine in each of k heads; majority",
        FIRST,
        {**K, "neighbours": 5},
        _baseline("knn"),
    ),
    "linear-probe": Recipe("logistic regression on k heads", FIRST, {**K, "strength": 1.0}, _baseline("linear-probe")),
    "mlp-probe": Recipe("one hidden layer of 64 on k heads", FIRST, {**K, "strength": 1.0}, _baseline("mlp-probe")),
    "last-layer-probe": Recipe(
        "logistic regression on the last layer's heads", FIRST, {"strength": 1.0}, _baseline("last-layer-probe")
    ),
    "ridge": Recipe("ridge regression on k heads", OURS, {**K, "strength": 1.0}, _baseline("ridge")),
    "gaussian": Recipe("mean posterior of shrunk Gaussian discriminants of k heads", OURS, K, _baseline("gaussian")),
    "lasso": Recipe(
        "multinomial logistic loss + |W|_1 / (n C), the last layers",
        "second paper, there one-vs-rest",
        {**LAST, "C": 1.0},
        _sparse("C"),
    ),
    "lasso-one-vs-rest": Recipe(
        "logistic loss of each class against the others + |w|_1 / (n C), the last layers",
        SECOND.format("by --solver liblinear"),
        {**LAST, "C": 1.0},
        _sparse("C", loss="one-vs-rest"),
    ),
    "lasso-share": Recipe(
        "lasso whose penalty is a share of the least that uses no feature",
        OURS,
        {**LAST, "share": 0.1},
        _sparse("share"),
    ),
    "sparse-group-lasso": Recipe(
        "multinomial logistic loss + alpha (l1_ratio |W|_1 + (1 - l1_ratio) sqrt(dim) sum |W_head|), the last layers",
        "second paper, there of two classes only",
        {**LAST, "alpha": 0.01, **HALF},
        _sparse("alpha"),
    ),
    "sparse-group-lasso-share": Recipe(
        "sparse-group lasso whose alpha is a share of the least that uses no feature",
        OURS,
        {**LAST, "share": 0.1, **HALF},
        _sparse("share"),
    ),
}
COUNTED = {"k": "heads", "layers": "layers"}
KNOBS = ("C", "alpha", "share")  # always said: they decide everything
DISPLAYED = {SAVS: "SAVs"}
WHOLE_NUMBERS = ("k", "layers", "neighbours")


@dataclass(frozen=True)
class Setting:
    """A method with its hyperparameters, and how it is run."""

    name: str
    parameters: tuple[tuple[str, int | float], ...] = ()
    restricted: bool = False
    papers_order: bool = False
    solver: str = ""
    scaling: str = ""

    @cached_property
    def method(self) -> Method:
        method = METHODS[self.name].make(**dict(self.parameters))
        if isinstance(method, Savs) and self.papers_order:
            method = replace(method, papers_order=True, voting=COSINE)
        if isinstance(method, Sparse):
            method = replace(method, solver=self.solver or method.solver, scaling=self.scaling or method.scaling)
        return replace(method, restricted=self.restricted)

    @cached_property
    def same_as(self) -> str:
        """The simplest named method that provably predicts the same with the same k; empty where it is itself."""
        canonical, mine = self.method.canonical, dict(self.parameters)
        for name, recipe in METHODS.items():
            if name == self.name or not set(recipe.defaults) <= set(mine):
                continue
            other = replace(self, name=name, parameters=tuple((key, mine[key]) for key in recipe.defaults)).method
            if other.canonical == canonical and _simplicity(other) < _simplicity(self.method):
                return name
        return ""

    def column(self) -> str:
        """Return the name with the number of heads and the hyperparameters that are not the default, for tables."""
        defaults, words = METHODS[self.name].defaults, [DISPLAYED.get(self.name, self.name)]
        for name, value in self.parameters:
            if name in COUNTED:
                words.append(f"{value} {COUNTED[name] if value != 1 else COUNTED[name][:-1]}")
            elif value != defaults[name] or name in KNOBS:
                words.append(f"{name}={value:.6g}")
        words += [f"by {self.solver}"] if self.solver not in ("", SOLVERS[0]) else []
        words += [self.scaling] if self.scaling not in ("", SCALINGS[0]) else []
        words += ["printed options"] if self.restricted else []
        return ", ".join(words + (["papers' way"] if self.papers_order else []))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "parameters": dict(self.parameters),
            "restricted": self.restricted,
            "papers_order": self.papers_order,
            "solver": self.solver,
            "scaling": self.scaling,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Setting:
        return cls(**{**found, "parameters": tuple(found["parameters"].items())})


def _simplicity(method: Method) -> tuple[bool, ...]:
    """Order methods that are the same: no transform before one, bases before kernels, the count before others."""
    if not isinstance(method, Savs):
        return ()
    scoring = method.scoring
    return scoring.transform != NONE, scoring.similarity != scoring.similarity.base, scoring.criterion != "count"


def make_setting(
    name: str,
    restricted: bool = False,
    papers_order: bool = False,
    solver: str = "",
    scaling: str = "",
    **parameters: int | float,
) -> Setting:
    """Return a setting; hyperparameters that are not given have their defaults.

    `solver` and `scaling` concern the lasso and its relatives; other methods have none.

    Raises ValueError suggesting the nearest method, and naming the hyperparameters that one has.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no method {name!r}{hint} (savs-analyze methods lists them)")
    defaults = METHODS[name].defaults
    if unknown := set(parameters) - set(defaults):
        raise ValueError(
            f"{name} has no {', '.join(sorted(unknown))}; it has {', '.join(defaults) or 'nothing to set'}"
        )
    merged = {**defaults, **parameters}
    for key, value in merged.items():
        if not math.isfinite(value) or (key in WHOLE_NUMBERS and value != int(value)):
            raise ValueError(f"{key} must be a {'whole' if key in WHOLE_NUMBERS else 'finite'} number, got {value}")
    values = tuple((key, int(merged[key]) if key in WHOLE_NUMBERS else float(merged[key])) for key in defaults)
    setting = Setting(name, values, restricted)
    method = setting.method  # a value out of range shows here
    if isinstance(method, Sparse):
        papers = "liblinear" if papers_order and method.l1_ratio == 1 and method.knob == "C" else SOLVERS[0]
        method = replace(method, solver=solver or papers, scaling=scaling or SCALINGS[0])  # a wrong one shows here
        return replace(setting, solver=method.solver, scaling=method.scaling)
    # The papers' code has an order of its own for the heads that it keeps.
    ranks = isinstance(method, Savs) and method.selection == "top"
    return replace(setting, papers_order=papers_order and ranks)


def expand_settings(
    names: Sequence[str],
    grid: Mapping[str, Sequence[int] | Sequence[float]],
    restricted: bool = False,
    papers_order: bool = False,
    solver: str = "",
    scaling: str = "",
) -> list[Setting]:
    """Return every method with every combination of the grid's values of its own hyperparameters.

    Raises ValueError for a hyperparameter, a solver or a scaling that none of the methods has.
    """
    sparse = any(isinstance(make_setting(name).method, Sparse) for name in names)  # unknown names first
    if (solver or scaling) and not sparse:
        raise ValueError(f"no method here has a {'solver' if solver else 'scaling'}: {', '.join(names)}")
    if unused := set(grid) - {key for name in names for key in METHODS[name].defaults}:
        raise ValueError(f"no method here has {', '.join(sorted(unused))}: {', '.join(names)}")
    settings = []
    for name in names:
        keys = [key for key in METHODS[name].defaults if key in grid]
        for values in product(*(grid[key] for key in keys)):
            chosen = dict(zip(keys, values, strict=True))
            settings.append(make_setting(name, restricted, papers_order, solver, scaling, **chosen))
    return list(dict.fromkeys(settings))

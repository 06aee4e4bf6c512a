"""Methods by name: similarity x transform x criterion x selection x vote, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from savs_analyze.parts.selection import BY_COUNT, Scoring
from savs_analyze.parts.transform import NONE, Transform
from savs_analyze.votes.similarity import COSINE, Similarity
from savs_analyze.votes.voting import CLASS_VOTES, VOTES

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
DISPLAYED = {SAVS: "SAVs"}

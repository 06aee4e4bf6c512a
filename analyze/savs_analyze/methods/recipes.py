"""Methods by name: similarity x transform x criterion x selection x vote, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from savs_analyze.methods.kinds.adapted import Clap, CrossModal, TipAdapter
from savs_analyze.methods.kinds.answered import Debiased, Said
from savs_analyze.methods.kinds.auto import Auto
from savs_analyze.methods.kinds.calm import Calm
from savs_analyze.methods.kinds.discriminants import HARD, TAU, Discriminant
from savs_analyze.methods.kinds.every_head import CrossValidatedRidge, LogisticOnEveryHead, ShrunkDiscriminant
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.kinds.kernels import EVERY, WEIGHTED, KernelRidge
from savs_analyze.methods.kinds.layers import Layers
from savs_analyze.methods.kinds.named import Named, NamedAndSeen, NamedFixed, TextPrior
from savs_analyze.methods.kinds.probes import Gaussian, Logistic, Neighbours, PapersNeighbours, Perceptron, Ridge
from savs_analyze.methods.kinds.sparse import Sparse
from savs_analyze.methods.kinds.transductive import Laplacian
from savs_analyze.methods.kinds.zero_shot import ZeroShot
from savs_analyze.methods.method import Method
from savs_analyze.parts.discriminant import Prior
from savs_analyze.parts.reliability import BRIER, MARGIN, PROBABILITY
from savs_analyze.parts.selection import Scoring
from savs_analyze.parts.transform import Transform
from savs_analyze.registry import Registry
from savs_analyze.votes.similarity import Similarity

ZERO_SHOT, SAID, SAVS, KERNEL_RIDGE, FIXED = "zero-shot", "said", "savs", "kernel-ridge", "hec-t-fixed"
# What a sweep runs unless told otherwise: the model's own answer, by its probabilities and in words where these are
# kept, the papers' way, the best one on vectors of heads.
DEFAULT = (ZERO_SHOT, SAID, SAVS, KERNEL_RIDGE)
# What `auto` chooses from: few, strong, and unlike one another; the simpler first.
AUTO: tuple[tuple[str, dict[str, int | float]], ...] = (
    ("savs-soft", {"k": 5}),
    ("savs-soft", {"k": 50}),
    ("ridge", {}),
    (KERNEL_RIDGE, {}),
    ("sparse-group-lasso-share", {}),
)


@dataclass(frozen=True)
class Recipe:
    """A named method: its formula, where it is from, its hyperparameters with their defaults, how to make it.

    `displayed` is what tables call it, where that is not its name.
    """

    name: str
    formula: str
    source: str
    defaults: Mapping[str, int | float]
    make: Callable[..., Method]
    displayed: str = ""


CALM, HEC = "CALM, arXiv 2602.07077", "HEC, arXiv 2603.24181"
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


K, LAST, HALF = {"k": 20}, {"layers": 4}, {"l1_ratio": 0.5}
METHODS = Registry(
    "method",
    (
        Recipe(ZERO_SHOT, "argmax of log p(answer of c)", "the model itself", {}, ZeroShot),
        Recipe(SAID, "the class that its words name; wrong where they name none", "the system itself", {}, Said),
        *(
            Recipe(
                f"debiased-{by}",
                f"zero-shot, half of the answers of each {by} each way",
                "NaturalBench, arXiv 2410.14669, Table 2",
                {},
                partial(Debiased, by=by),
            )
            for by in ("question", "image", "group")
        ),
        Recipe(SAVS, "count of argmax_c cos(x, u_c) = y; majority", FIRST, K, Savs, displayed="SAVs"),
        Recipe(
            "savs-penalty",
            "s - mean of the others' s",
            SECOND.format("3.1"),
            K,
            lambda k: Savs(k, Scoring(transform=Transform("penalty"))),
        ),
        Recipe(
            "savs-artanh",
            "a (1 + artanh s) - b artanh(mean of the others' s)",
            SECOND.format("3.2"),
            {**K, "a": 1.0, "b": 1.0},
            lambda k, a, b: Savs(k, Scoring(transform=Transform("artanh", a, b))),
        ),
        Recipe("savs-l2", "-|x - u_c|", OURS, K, _kernel("l2")),
        Recipe("savs-l1", "-|x - u_c|_1", OURS, K, _kernel("l1")),
        Recipe("savs-dot", "x.u_c", OURS, K, _kernel("dot")),
        Recipe("savs-rbf", "log exp(-gamma |x - u_c|^2)", SECOND.format("3.3"), {**K, "gamma": 1.0}, _kernel("rbf")),
        Recipe(
            "savs-laplacian",
            "log exp(-gamma |x - u_c|_1)",
            SECOND.format("3.3"),
            {**K, "gamma": 1.0},
            _kernel("laplacian"),
        ),
        Recipe(
            "savs-sigmoid",
            "log-odds of (1 + tanh(gamma x.u_c + beta)) / 2",
            SECOND.format("3.3"),
            {**K, "gamma": 1.0, "beta": 0.0},
            _kernel("sigmoid"),
        ),
        Recipe(
            "paper-rbf",
            "exp(-gamma |x - u_c|^2) in float32 ranks, cosine votes",
            "its code",
            {**K, "gamma": 1.0},
            _saturating("rbf"),
        ),
        Recipe(
            "paper-laplacian",
            "exp(-gamma |x - u_c|_1) in float32 ranks, cosine votes",
            "its code",
            {**K, "gamma": 1.0},
            _saturating("laplacian"),
        ),
        Recipe(
            "paper-sigmoid",
            "tanh(gamma x.u_c + beta) in float32 ranks, cosine votes",
            "its code",
            {**K, "gamma": 1.0, "beta": 0.0},
            _saturating("sigmoid"),
        ),
        Recipe(
            "savs-margin",
            "mean of s_y - max of the others; majority",
            OURS,
            K,
            lambda k: Savs(k, Scoring(criterion="margin")),
        ),
        Recipe(
            "savs-penalty-score",
            "mean of s_y - mean of the others; majority",
            "second paper, 3.1, not only its argmax",
            K,
            lambda k: Savs(k, Scoring(transform=Transform("penalty"), criterion="score")),
        ),
        Recipe(
            "savs-artanh-score",
            "mean of a (1 + artanh s_y) - b artanh(mean of the others' s); majority",
            "second paper, 3.2, not only its argmax",
            {**K, "a": 1.0, "b": 1.0},
            lambda k, a, b: Savs(k, Scoring(transform=Transform("artanh", a, b), criterion="score")),
        ),
        Recipe(
            "savs-balanced",
            "mean over classes of the count's share",
            OURS,
            K,
            lambda k: Savs(k, Scoring(criterion="balanced")),
        ),
        Recipe(
            "savs-loo",
            "count, each sample left out of its centroid",
            OURS,
            K,
            lambda k: Savs(k, Scoring(leave_one_out=True)),
        ),
        Recipe(
            "savs-loo-margin",
            "margin, each sample left out of its centroid",
            OURS,
            K,
            lambda k: Savs(k, Scoring(criterion="margin", leave_one_out=True)),
        ),
        Recipe("savs-weighted", "votes weigh the head's count", OURS, K, lambda k: Savs(k, vote="weighted")),
        Recipe(
            "savs-soft",
            "mean of softmax_c(s / temperature)",
            OURS,
            {**K, "temperature": 0.1},
            lambda k, temperature: Savs(k, vote="soft", temperature=temperature),
        ),
        Recipe(
            "class-favoured",
            "k heads a class by recall; count of those that predict it",
            SECOND.format("3.4"),
            K,
            _per_class("class-favoured", "recall"),
        ),
        Recipe(
            "class-similarity",
            "k heads a class by recall; mean of s_c",
            SECOND.format("3.4"),
            K,
            _per_class("max-similarity", "recall"),
        ),
        Recipe(
            "class-favoured-balanced",
            "k heads a class by one-vs-rest share; count",
            OURS,
            K,
            _per_class("class-favoured", "one-vs-rest"),
        ),
        Recipe(
            "class-similarity-balanced",
            "k heads a class by one-vs-rest share; mean of standard scores of s_c",
            OURS,
            K,
            _per_class("max-similarity-normalised", "one-vs-rest"),
        ),
        Recipe(
            "layers",
            "whole layers as concatenated vectors; count, majority",
            FIRST,
            {"layers": 2},
            lambda layers: Layers(layers),
        ),
        Recipe("random", "k random heads; majority", OURS, K, lambda k: Savs(k, selection="random")),
        Recipe(
            "knn",
            "nearest neighbours by cosine in each of k heads; majority",
            FIRST,
            {**K, "neighbours": 5},
            Neighbours,
        ),
        Recipe(
            "paper-knn",
            "largest class number among the nearest neighbours in each of k heads; majority",
            "its code",
            {**K, "neighbours": 5},
            PapersNeighbours,
        ),
        Recipe("linear-probe", "logistic regression on k heads", FIRST, {**K, "strength": 1.0}, Logistic),
        Recipe("mlp-probe", "one hidden layer of 64 on k heads", FIRST, {**K, "strength": 1.0}, Perceptron),
        Recipe(
            "last-layer-probe",
            "logistic regression on the last layer's heads",
            FIRST,
            {"strength": 1.0},
            partial(Logistic, last_layer=True),
        ),
        Recipe("ridge", "ridge regression on k heads", OURS, {**K, "strength": 1.0}, Ridge),
        Recipe("gaussian", "mean posterior of shrunk Gaussian discriminants of k heads", OURS, K, Gaussian),
        Recipe(
            "hec-v",
            "mean over k heads of softmax_c((-(x - u_c)^T P (x - u_c) / 2 + log share of c) / tau)",
            HEC,
            {**K, "tau": TAU, "regularisation": 1.0},
            lambda k, tau, regularisation: Discriminant(k, tau, Prior(regularisation, as_published=True)),
        ),
        Recipe(
            "hec-v-loo",
            "hec-v whose heads are scored by class means without the sample",
            OURS,
            {**K, "tau": TAU, "regularisation": 1.0},
            lambda k, tau, regularisation: Discriminant(k, tau, Prior(regularisation), leave_one_out=True),
        ),
        Recipe(
            "whitened",
            "class of the nearest mean u_c by (x - u_c)^T P (x - u_c), in each of k heads by its count, loo; majority",
            OURS,
            K,
            lambda k: Discriminant(k, HARD, leave_one_out=True),
        ),
        Recipe(
            "laplacian-shot",
            "y = softmax(cos(x, u_c) / temperature + strength * sum of y of the nearest tested samples): sees them all",
            "Laplacian-shot, ICML 2020, on heads",
            {**K, "neighbours": 3, "temperature": 0.1, "strength": 1.0},
            Laplacian,
        ),
        Recipe(
            "hec-t",
            "mean over k heads of softmax_c(-|x - t_c|^2 / 2 tau), t_c of a text that names c",
            HEC,
            {**K, "tau": 1.0},
            Named,
        ),
        Recipe(
            FIXED,
            "hec-t by heads that were found on other tasks (--heads): zero-shot",
            HEC,
            {"tau": 1.0},
            NamedFixed,
        ),
        Recipe(
            "hec-vt",
            "mean posterior of text_k heads by hec-t + alpha that of k heads by hec-v",
            HEC,
            {**K, "text_k": 20, "alpha": 1.0, "tau": TAU},
            lambda k, text_k, alpha, tau: NamedAndSeen(Discriminant(k, tau), text_k, alpha),
        ),
        Recipe(
            "hec-vt-loo",
            "hec-vt by the heads of hec-v-loo, alpha by loo",
            OURS,
            {**K, "text_k": 20, "tau": TAU},
            lambda k, text_k, tau: NamedAndSeen(Discriminant(k, tau, Prior(), leave_one_out=True), text_k, None),
        ),
        Recipe(
            "gaussian-text",
            "mean over k heads of softmax_c(scale cos(x, t_c) + alpha hec-v-loo's logit), heads and alpha by loo",
            "GDA, ICLR 2024, on heads",
            {**K, "scale": 100.0},
            TextPrior,
        ),
        Recipe(
            "tip-adapter",
            "scale cos(x, t_c) + a sum of exp(-b (1 - cos(x, x_i))) over the support of c, nothing trained",
            "Tip-Adapter, arXiv 2111.03930, on heads",
            {**K, "a": 1.0, "b": 5.5, "scale": 100.0},
            TipAdapter,
        ),
        Recipe(
            "cross-modal",
            "logistic regression on samples and on texts t_c as samples, which weigh share of the whole",
            "cross-modal adaptation, arXiv 2301.06267, on heads",
            {**K, "share": 0.5, "strength": 100.0},
            CrossModal,
        ),
        Recipe(
            "clap",
            "softmax_c(scale w_c.x), w begun at t, held to it as far as zero-shot is right; one view a picture",
            "CLAP, arXiv 2312.12730, on heads",
            {**K, "scale": 100.0},
            Clap,
        ),
        *(
            Recipe(
                "calm" if by == MARGIN else f"calm-{by}",
                f"sum over k heads a class of w_c softmax_c(s / temperature), w_c by the {by} on samples of c, loo",
                CALM,
                {**K, "temperature": 0.07, "shrinkage": 0.0},
                partial(Calm, by=by),
            )
            for by in (MARGIN, PROBABILITY, BRIER)
        ),
        Recipe(
            "lda",
            "linear discriminant on all heads, covariance shrunk by Ledoit and Wolf",
            OURS,
            {},
            ShrunkDiscriminant,
        ),
        Recipe(
            "ridge-gcv",
            "ridge regression on all heads, penalty by generalised cross-validation",
            OURS,
            {},
            CrossValidatedRidge,
        ),
        Recipe("linear-probe-all", "logistic regression on all heads", OURS, {"strength": 1.0}, LogisticOnEveryHead),
        Recipe(
            KERNEL_RIDGE,
            "kernel ridge on the mean cosine of the heads best by hec-v-loo's score; heads, kernel, penalty by loo",
            OURS,
            {},
            KernelRidge,
        ),
        Recipe("kernel-ridge-k", "kernel-ridge on k heads", OURS, K, KernelRidge),
        Recipe("kernel-ridge-all", "kernel-ridge on all heads", OURS, {}, partial(KernelRidge, among=EVERY)),
        Recipe(
            "kernel-ridge-weighted",
            "kernel-ridge on heads weighted by max(0, hec-v-loo's score - its 80th percentile)",
            OURS,
            {},
            partial(KernelRidge, among=WEIGHTED),
        ),
        Recipe(
            "lasso",
            "multinomial logistic loss + |W|_1 / (n C), the last layers",
            "second paper, there one-vs-rest",
            {**LAST, "C": 1.0},
            _sparse("C"),
        ),
        Recipe(
            "lasso-one-vs-rest",
            "logistic loss of each class against the others + |w|_1 / (n C), the last layers",
            SECOND.format("by --solver liblinear"),
            {**LAST, "C": 1.0},
            _sparse("C", loss="one-vs-rest"),
        ),
        Recipe(
            "lasso-share",
            "lasso whose penalty is a share of the least that uses no feature",
            OURS,
            {**LAST, "share": 0.1},
            _sparse("share"),
        ),
        Recipe(
            "sparse-group-lasso",
            "multinomial logistic loss + alpha (l1_ratio |W|_1 + (1 - l1_ratio) sqrt(dim) sum |W_head|), "
            "the last layers",
            "second paper, there of two classes only",
            {**LAST, "alpha": 0.01, **HALF},
            _sparse("alpha"),
        ),
        Recipe(
            "sparse-group-lasso-share",
            "sparse-group lasso whose alpha is a share of the least that uses no feature",
            OURS,
            {**LAST, "share": 0.1, **HALF},
            _sparse("share"),
        ),
        Recipe(
            "auto",
            "the best by log loss on folds of the support: savs-soft of 5 and 50 heads, ridge, kernel-ridge, a lasso",
            OURS,
            {},
            lambda: _auto(),  # which knows the registry that this stands in
        ),
    ),
)


def _auto() -> Auto:
    return Auto(methods=tuple(METHODS[name].make(**{**METHODS[name].defaults, **own}) for name, own in AUTO))


def displayed(method: str) -> str:
    """Return what tables call a method; one that is not known here, by its name."""
    return METHODS[method].displayed or method if method in METHODS else method

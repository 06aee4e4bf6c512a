"""Classifiers on the features of the best heads, or of the last layer's: what SAVs are compared with."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.methods.protocols import Protocol
from savs_analyze.parts.selection import BY_COUNT, Scoring, paper_ranking, rank_heads, tied_at_cut
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.linear import GaussianVotes, LinearVotes, PerceptronVotes, Standard
from savs_analyze.votes.neighbours import LargestVotes, NeighbourVotes
from savs_analyze.votes.similarity import COSINE, Similarity


@dataclass(frozen=True)
class Probe(Method):
    """A classifier on the `k` best heads by count."""

    k: int = 20

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        return (BY_COUNT,)

    def learn(self, context: Context) -> Fitted:
        heads, tied = self.choose_heads(context)
        with warnings.catch_warnings():
            # A probe that stops at its last iteration, or a discriminant of collinear features, is still an answer.
            warnings.simplefilter("ignore")
            return self.fit(context, heads, tied)

    def choose_heads(self, context: Context) -> tuple[Int[np.ndarray, " voter"], int]:
        """Return the heads, and how many share the score at the cut."""
        found = context.scores(BY_COUNT)
        return rank_heads(found.value, found.margin)[: self.k], tied_at_cut(found.value, self.k)

    @abstractmethod
    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> Fitted:
        """Return the classifier of the support's vectors of these heads."""


@dataclass(frozen=True)
class Neighbours(Probe):
    """The majority of heads, each for the class of most of its nearest `neighbours` in the support."""

    neighbours: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {self.neighbours}")

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> NeighbourVotes:
        by_head = context.vectors[:, heads].astype(np.float64).transpose(1, 0, 2)
        count = min(self.neighbours, len(context.labels))
        return NeighbourVotes(
            heads=heads, restricted=self.restricted, tied=tied, neighbours=by_head, labels=context.labels, count=count
        )


@dataclass(frozen=True)
class PapersNeighbours(Neighbours):
    """The first paper's published row: each head votes for the largest class number among its nearest `neighbours`.

    Its code takes `max(topk // 20)` of samples that lie class after class, 20 of each: the class that appears last in
    the training file, if it is among the nearest at all, however few they are.
    """

    protocol: Protocol | None = None

    deploys: ClassVar[bool] = False

    @property
    def ranks(self) -> bool:
        return True

    @property
    def by_appearance(self) -> bool:
        return self.protocol is None or self.protocol.by_appearance

    @property
    def similarity(self) -> Similarity:
        return replace(COSINE, arithmetic=self.protocol.arithmetic) if self.protocol else COSINE

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        return (Scoring(self.similarity),)

    def following(self, protocol: Protocol) -> PapersNeighbours:
        return replace(self, protocol=protocol)

    def choose_heads(self, context: Context) -> tuple[Int[np.ndarray, " voter"], int]:
        if self.protocol is None:
            return super().choose_heads(context)
        [scoring] = self.scorings
        found = (context.by_appearance if self.by_appearance else context).scores(scoring)
        ranked = paper_ranking(found.value, found.margin)[: self.k]
        return ranked if self.protocol.best_first else np.sort(ranked), tied_at_cut(found.value, self.k)

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LargestVotes:
        order = context.order if self.by_appearance else None
        found = super().fit(context, heads, tied)
        # As they lie there, class after class: of samples that are equally near, the first ones count.
        number = found.labels if order is None else np.argsort(order)[found.labels]
        lying = np.argsort(number, kind="stable")
        own = {field.name: getattr(found, field.name) for field in fields(found)}
        own |= {"neighbours": found.neighbours[:, lying], "labels": found.labels[lying]}
        return LargestVotes(**own, order=order, similarity=self.similarity)


@dataclass(frozen=True)
class Gaussian(Probe):
    """The mean posterior of Gaussian discriminants of heads, with one covariance shrunk by Ledoit and Wolf."""

    @property
    def least_shots(self) -> int:
        return 2

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> GaussianVotes:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        context.check_classes("gaussian")
        if len(context.labels) <= context.classes:
            raise ValueError("gaussian needs two samples of a class at least: every class has one")
        found = [
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(of_head, context.labels)
            for of_head in context.vectors[:, heads].astype(np.float64).transpose(1, 0, 2)
        ]
        return GaussianVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied,
            weights=np.stack([model.coef_ for model in found]),
            intercept=np.stack([model.intercept_ for model in found]),
        )


@dataclass(frozen=True)
class Strong(Probe):
    """A probe on standardised features whose weights are held the less, the larger its `strength`."""

    strength: int | float = 1.0
    last_layer: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strength > 0:
            raise ValueError(f"strength must be above 0, got {self.strength}")

    @property
    def weighs(self) -> bool:
        return True

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        return () if self.last_layer else (BY_COUNT,)

    def choose_heads(self, context: Context) -> tuple[Int[np.ndarray, " voter"], int]:
        if self.last_layer:
            return np.flatnonzero(context.layer == context.layer.max()), 0
        return super().choose_heads(context)

    def standardised(
        self, context: Context, heads: Int[np.ndarray, " voter"], name: str
    ) -> tuple[Standard, Float[np.ndarray, "sample feature"]]:
        """Return how features are standardised, and those of the support."""
        from sklearn.preprocessing import StandardScaler

        context.check_classes(name)
        features = context.vectors[:, heads].astype(np.float64).reshape(len(context.labels), -1)
        scaler = StandardScaler().fit(features, sample_weight=context.weights)
        return Standard(scaler.mean_, scaler.scale_), scaler.transform(features)


@dataclass(frozen=True)
class Logistic(Strong):
    """Logistic regression; on the last layer's heads with `last_layer`."""

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LinearVotes:
        from sklearn.linear_model import LogisticRegression

        name = "last-layer-probe" if self.last_layer else "linear-probe"
        standard, features = self.standardised(context, heads, name)
        model = LogisticRegression(C=self.strength, max_iter=1000).fit(features, context.labels, context.weights)
        return LinearVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied,
            standard=standard,
            weights=model.coef_,
            intercept=model.intercept_,
            logistic=True,
            report={} if (model.n_iter_ < model.max_iter).all() else {"converged": False},
        )


@dataclass(frozen=True)
class Ridge(Strong):
    """Ridge regression onto the classes, 1 for the own one and -1 for others."""

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> LinearVotes:
        from sklearn.linear_model import RidgeClassifier

        standard, features = self.standardised(context, heads, "ridge")
        model = RidgeClassifier(alpha=1 / self.strength).fit(features, context.labels, context.weights)
        return LinearVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied,
            standard=standard,
            weights=np.atleast_2d(model.coef_),
            intercept=np.atleast_1d(model.intercept_),
            logistic=False,
        )


@dataclass(frozen=True)
class Perceptron(Strong):
    """One hidden layer of 64 units, begun from the draw's seed."""

    def fit(self, context: Context, heads: Int[np.ndarray, " voter"], tied: int) -> PerceptronVotes:
        from sklearn.neural_network import MLPClassifier

        standard, features = self.standardised(context, heads, "mlp-probe")
        model = MLPClassifier(
            (64,), solver="lbfgs", alpha=1e-3 / self.strength, max_iter=300, random_state=context.seed
        ).fit(features, context.labels, context.weights)
        return PerceptronVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied,
            standard=standard,
            hidden_weights=model.coefs_[0],
            hidden_intercept=model.intercepts_[0],
            weights=model.coefs_[1],
            intercept=model.intercepts_[1],
            report={} if model.n_iter_ < model.max_iter else {"converged": False},
        )

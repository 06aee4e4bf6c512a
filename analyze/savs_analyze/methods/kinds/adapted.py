"""Class vectors and pictures in one classifier, as encoders are adapted: CLAP, Tip-Adapter, cross-modal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import CLASS_VECTORS, Method
from savs_analyze.parts.adaptation import clap_prototypes, cross_modal_weights, joint, telling, text_weights
from savs_analyze.parts.named import named_scores
from savs_analyze.parts.selection import rank_heads, tied_at_cut
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.kernel import CacheVotes, KernelVotes


@dataclass(frozen=True, eq=False)
class Support:
    """What an adapter learns from: the heads best by class vectors, one behind the other, and those of the texts."""

    heads: Int[np.ndarray, " voter"]
    tied: int
    features: Float[np.ndarray, "sample feature"]
    texts: Float[np.ndarray, "class feature"]
    labels: Int[np.ndarray, " sample"]

    def of_heads(self, rows: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row voter dim"]:
        """Return rows by which unit vectors of heads are multiplied, and summed over heads."""
        return rows.reshape(len(rows), len(self.heads), -1) / np.sqrt(len(self.heads))


@dataclass(frozen=True)
class Adapted(Method):
    """An adapter on the `k` heads that answer best by class vectors, of those that tell samples apart at all."""

    k: int = 20

    needs: ClassVar[str] = CLASS_VECTORS

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "restricted" and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")

    def learn(self, context: Context) -> Fitted:
        class_vectors = context.named(self.name)
        context.check_classes(self.name)
        able = np.flatnonzero(telling(context.vectors))
        found = named_scores(context.vectors[:, able], context.labels, class_vectors[:, able], 1.0)
        heads = able[rank_heads(found.value, found.margin)[: self.k]]
        features, texts = joint(context.vectors[:, heads]), joint(class_vectors[:, heads])
        return self.fit(Support(heads, tied_at_cut(found.value, self.k), features, texts, context.labels))

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called where it is refused."""

    @abstractmethod
    def fit(self, support: Support) -> Fitted:
        """Return what votes."""

    def prototypes(self, support: Support, weights: Float[np.ndarray, "class feature"]) -> KernelVotes:
        """Return what votes by products with one vector a class."""
        return KernelVotes(
            heads=support.heads,
            restricted=self.restricted,
            tied=support.tied,
            support=support.of_heads(weights),
            coefficients=np.eye(len(weights)),
            linear=True,
            gamma=1.0,
            sharpness=1.0,
        )


@dataclass(frozen=True)
class Clap(Adapted):
    """A linear probe that begins at class vectors and is held to each as far as zero-shot is right about its class."""

    scale: float = 100.0

    name: ClassVar[str] = "clap"

    def fit(self, support: Support) -> KernelVotes:
        weights = text_weights(support.features, support.labels, support.texts, self.scale)
        found = clap_prototypes(support.features, support.labels, support.texts, self.scale, weights)
        return self.prototypes(support, self.scale * found)


@dataclass(frozen=True)
class CrossModal(Adapted):
    """Logistic regression on samples and on class vectors as further samples, which weigh `share` of the whole."""

    share: float = 0.5
    strength: float = 100.0

    name: ClassVar[str] = "cross-modal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.share < 1:
            raise ValueError(f"share must be below 1, got {self.share}")

    def fit(self, support: Support) -> KernelVotes:
        args = support.features, support.labels, support.texts
        return self.prototypes(support, cross_modal_weights(*args, float(self.share), float(self.strength)))


@dataclass(frozen=True)
class TipAdapter(Adapted):
    """Class vectors, and the support as a cache of keys and labels; nothing is trained, `a` and `b` are fixed."""

    a: float = 1.0
    b: float = 5.5
    scale: float = 100.0

    name: ClassVar[str] = "tip-adapter"

    def fit(self, support: Support) -> CacheVotes:
        return CacheVotes(
            heads=support.heads,
            restricted=self.restricted,
            tied=support.tied,
            texts=support.of_heads(self.scale * support.texts),
            support=support.of_heads(support.features),
            values=self.a * np.eye(len(support.texts))[support.labels],
            decay=float(self.b),
        )

"""Heads that compare with class vectors: alone, beside Gaussian heads, or as a prior of theirs (HEC-T, HEC-VT)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.measure.probabilities import log_loss
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.discriminants import Discriminant
from savs_analyze.methods.method import CLASS_VECTORS, Method
from savs_analyze.parts.discriminant import Discriminants, Prior, class_logits, discriminants, joined, true_class_scores
from savs_analyze.parts.named import named_discriminants, named_scores
from savs_analyze.parts.selection import HeadScores, rank_heads, tied_at_cut
from savs_analyze.votes.linear import DiscriminantVotes, TextVotes, mean_posterior
from savs_analyze.votes.similarity import unit
from savs_analyze.votes.voting import softmax

# What a prior of texts is weighed against.
ALPHAS = tuple(float(10.0**power) for power in np.arange(-3, 2.5, 0.5))
OF_ONE_SHOT = 1.0


def _check(**numbers: int | float) -> None:
    """Raise ValueError naming a number of heads below 1, and any other number that is not above 0."""
    for name, value in numbers.items():
        if name.endswith("k") and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")


def _fewest(context: Context) -> int:
    """Return the samples of the scarcest class."""
    return int(np.bincount(context.labels, minlength=context.classes).min())


def _least(losses: Sequence[float]) -> int:
    """Return the place of the least loss, to twelve digits; of equal ones the first."""
    return min(range(len(losses)), key=lambda place: float(f"{losses[place]:.12g}"))


def _posterior(logits: Float[np.ndarray, "head sample class"]) -> Float[np.ndarray, "head sample class"]:
    return softmax(logits.reshape(-1, logits.shape[2])).reshape(logits.shape)


@dataclass(frozen=True)
class Named(Method):
    """The mean posterior, by class vectors, of the `k` heads that are best so on the support (HEC-T)."""

    k: int = 20
    tau: float = 1.0

    needs: ClassVar[str] = CLASS_VECTORS

    def __post_init__(self) -> None:
        _check(k=self.k, tau=self.tau)

    def learn(self, context: Context) -> DiscriminantVotes:
        class_vectors = context.named("hec-t")
        found = named_scores(context.vectors, context.labels, class_vectors, self.tau)
        heads = rank_heads(found.value, found.margin)[: self.k]
        of = named_discriminants(class_vectors[:, heads])
        return DiscriminantVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied_at_cut(found.value, self.k),
            weights=of.weights / self.tau,
            intercept=of.intercept / self.tau,
        )


@dataclass(frozen=True)
class NamedFixed(Method):
    """The mean posterior, by class vectors, of heads that were found on other tasks: no labelled picture is seen.

    `heads` are pairs of layer and place in it.
    """

    tau: float = 1.0
    heads: tuple[tuple[int, int], ...] = ()

    learns: ClassVar[bool] = False
    needs: ClassVar[str] = CLASS_VECTORS

    def __post_init__(self) -> None:
        _check(tau=self.tau)

    def on_heads(self, heads: Sequence[tuple[int, int]]) -> NamedFixed:
        return replace(self, heads=tuple(heads))

    def learn(self, context: Context) -> DiscriminantVotes:
        if not self.heads:
            raise ValueError("hec-t-fixed needs the heads of other tasks: --heads FILE, made by savs-analyze heads")
        places = [np.flatnonzero(context.layer == layer)[place : place + 1] for layer, place in self.heads]
        if lacking := [head for head, found in zip(self.heads, places, strict=True) if not len(found)]:
            raise ValueError(f"hec-t-fixed is to answer by head {lacking[0]}, (layer, place in it), which is not here")
        heads = np.concatenate(places)
        of = named_discriminants(context.named("hec-t-fixed")[:, heads])
        return DiscriminantVotes(
            heads=heads,
            restricted=self.restricted,
            weights=of.weights / self.tau,
            intercept=of.intercept / self.tau,
        )


@dataclass(frozen=True)
class NamedAndSeen(Method):
    """The mean posterior of heads by class vectors, and `alpha` times that of Gaussian heads (HEC-VT).

    `text_k` heads of `tau` 1 are the former; the others are of `seen`. Without an alpha, it is the one of least log
    loss with every sample left out of its class mean; one sample a class leaves nothing to choose by: then it is 1.
    """

    seen: Discriminant = field(default_factory=Discriminant)
    text_k: int = 20
    alpha: float | None = 1.0

    needs: ClassVar[str] = CLASS_VECTORS

    def __post_init__(self) -> None:
        _check(text_k=self.text_k, alpha=1.0 if self.alpha is None else self.alpha)

    def learn(self, context: Context) -> TextVotes:
        context.named("hec-vt")
        text, picture = Named(self.text_k).learn(context), self.seen.learn(context)
        ranked = np.array(list(dict.fromkeys([*text.heads.tolist(), *picture.heads.tolist()])), dtype=np.int64)
        heads = np.sort(ranked)
        alpha = self._chosen(context, text, picture) if self.alpha is None else float(self.alpha)
        return TextVotes(
            heads=heads,
            restricted=self.restricted,
            tied=max(text.tied, picture.tied),
            ranked=ranked,
            report={} if self.alpha else {"alpha_chosen": alpha},
            text_heads=np.searchsorted(heads, text.heads),
            text_weights=text.weights,
            text_intercept=text.intercept,
            picture_heads=np.searchsorted(heads, picture.heads),
            picture_weights=picture.weights,
            picture_intercept=picture.intercept,
            alpha=alpha,
        )

    def _chosen(self, context: Context, text: DiscriminantVotes, picture: DiscriminantVotes) -> float:
        if _fewest(context) < 2:
            return OF_ONE_SHOT
        by_text = mean_posterior(context.vectors[:, text.heads], text.weights, text.intercept)
        support = context.vectors[:, picture.heads], context.labels, context.classes
        by_picture = np.zeros_like(by_text)
        for logits in class_logits(*support, self.seen.prior, leave_one_out=True):
            by_picture += _posterior(logits / self.seen.tau).sum(axis=0) / len(picture.heads)
        losses = [log_loss((by_text + alpha * by_picture) / (1 + alpha), context.labels) for alpha in ALPHAS]
        return ALPHAS[_least(losses)]


@dataclass(frozen=True)
class TextPrior(Method):
    """Gaussian heads whose logits begin at `scale` times the cosine to class vectors (GDA, ICLR 2024).

    What the Gaussian is weighed by, and the `k` heads, have the least log loss and the highest score with every sample
    left out of its class mean. One sample a class leaves nothing to choose by: then the weight is 1.
    """

    k: int = 20
    scale: float = 100.0

    needs: ClassVar[str] = CLASS_VECTORS

    def __post_init__(self) -> None:
        _check(k=self.k, scale=self.scale)

    def learn(self, context: Context) -> DiscriminantVotes:
        texts = named_discriminants(context.named("gaussian-text"))
        alphas = ALPHAS if _fewest(context) > 1 else (OF_ONE_SHOT,)
        scores = self._scores(context, texts, alphas)
        chosen = [rank_heads(found.value, found.margin)[: self.k] for found in scores]
        losses = [
            self._loss(context, texts, alpha, heads) if len(alphas) > 1 else 0.0
            for alpha, heads in zip(alphas, chosen, strict=True)
        ]
        best = _least(losses)
        heads, alpha = chosen[best], alphas[best]
        seen = discriminants(context.vectors[:, heads], context.labels, context.classes, Prior())
        return DiscriminantVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied_at_cut(scores[best].value, self.k),
            report={"alpha_chosen": alpha},
            weights=self.scale * texts.weights[heads] + alpha * seen.weights,
            intercept=alpha * seen.intercept,
        )

    def _scores(self, context: Context, texts: Discriminants, alphas: Sequence[float]) -> list[HeadScores]:
        """Return the scores of all heads with each weight, samples left out of their class means."""
        found: list[list[HeadScores]] = [[] for _ in alphas]
        for by_text, seen in self._left_out(context, texts, np.arange(context.vectors.shape[1])):
            for of_alpha, alpha in zip(found, alphas, strict=True):
                of_alpha.append(true_class_scores(by_text + alpha * seen, context.labels, 1.0))
        return [joined(of_alpha) for of_alpha in found]

    def _loss(self, context: Context, texts: Discriminants, alpha: float, heads: Int[np.ndarray, " some"]) -> float:
        """Return the log loss of the mean posterior of some heads, samples left out of their class means."""
        summed = np.zeros((len(context.labels), context.classes))
        for by_text, seen in self._left_out(context, texts, heads):
            logits = by_text + alpha * seen
            summed += _posterior(logits).sum(axis=0)
        return log_loss(summed / len(heads), context.labels)

    def _left_out(
        self, context: Context, texts: Discriminants, heads: Int[np.ndarray, " some"]
    ) -> Iterator[tuple[Float[np.ndarray, "block sample class"], Float[np.ndarray, "block sample class"]]]:
        """Yield, of some heads at a time, the logits by class vectors and those of the Gaussian."""
        vectors, start = context.vectors[:, heads], 0
        for seen in class_logits(vectors, context.labels, context.classes, Prior(), leave_one_out=True):
            block = slice(start, start + len(seen))
            by_text = unit(vectors[:, block].transpose(1, 0, 2)) @ texts.weights[heads[block]].transpose(0, 2, 1)
            yield self.scale * by_text, seen
            start = block.stop

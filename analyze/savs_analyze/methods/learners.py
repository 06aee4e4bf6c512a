"""From methods and a support to what votes, and from that to votes: what several methods need is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted, share_centroids
from savs_analyze.votes.voting import Votes


def learn(methods: Iterable[Method], context: Context) -> list[Fitted]:
    """Return what every method learns; all scorings go over the support together."""
    together = replace(context, methods=tuple(methods), _known={})
    if not any(method.learns for method in together.methods):
        return [method.learn(together) for method in together.methods]
    _ = together.centroids  # refuses vectors that are not finite, whatever learns from them
    return share_centroids([method.learn(together) for method in together.methods], together.means)


def predict(fitted: Sequence[Fitted], batch: Batch) -> list[Votes]:
    """Return what every method says of samples; similarities that several vote by are computed once."""
    return [one.votes(batch) for one in fitted]

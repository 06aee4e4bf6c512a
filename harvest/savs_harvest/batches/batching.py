"""How samples are put together into batches, and how that is said in a fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs_harvest.batches.plan import plan_batches, plan_groups, plan_packs
from savs_harvest.models.families import Family

# Places in a shard, grouped by what they show: each group runs as one row.
Groups = list[list[int]]


@dataclass(frozen=True)
class Batching:
    """Padded tokens a batch may hold, and what may share a row."""

    token_budget: int
    share: bool = True
    pack: bool = False

    def plan(
        self, family: Family, lengths: Sequence[tuple[int, int]], pictures: Sequence[tuple[int, ...]]
    ) -> list[Groups]:
        """Return the batches of a shard; `pictures` are hashes, no two alike where a picture is not known.

        `lengths` are (tokens of a sample, those of all pictures it shows). Samples without pictures run as rows of
        their own, never beside samples with some: what models are given differs.
        """
        totals, seen = [total for total, _ in lengths], [shown for _, shown in lengths]
        if family.alone:
            return [[[place]] for place in range(len(totals))]
        if self.pack:
            packs = plan_packs(totals, self.token_budget, [bool(shown) for shown in pictures])
            return [[[place] for place in batch] for batch in packs]
        groups = [[place] for place in range(len(totals))]
        if self.share and family.shares:
            keys = [shown or (-1 - place, "words") for place, shown in enumerate(pictures)]
            groups = plan_groups(keys, totals, seen, self.token_budget)
        costs = [seen[group[0]] + sum(totals[place] - seen[place] for place in group) for group in groups]
        kinds = [_kind(family, len(pictures[group[0]]), len(group) > 1) for group in groups]
        return [[groups[number] for number in batch] for batch in plan_batches(costs, self.token_budget, kinds)]

    def usual_samples(self, tokens: Sequence[int]) -> int:
        """Return how many samples a batch has room for, of prompts of so many tokens each."""
        return int(self.token_budget / max(1.0, float(np.median(tokens)))) if len(tokens) else 0

    def describe(self, family: Family) -> dict[str, str]:
        """Return the fields of the identity that say how a sample was run together with others."""
        if family.alone:
            return {"batching": "one sample", "padding": "none"}
        if self.pack:
            return {"batching": f"at most {self.token_budget} tokens in one row", "padding": "none"}
        sharing = ", prompts of the same pictures in one row" if self.share and family.shares else ""
        mask = "no mask" if family.causal else "a mask"
        return {"batching": f"at most {self.token_budget} padded tokens{sharing}", "padding": f"right, with {mask}"}


def _kind(family: Family, pictures: int, shared: bool) -> tuple[int, bool]:
    """Return what all rows of a batch have in common: how many pictures where that matters, else whether any."""
    return (pictures if family.same_pictures else min(pictures, 1), shared)

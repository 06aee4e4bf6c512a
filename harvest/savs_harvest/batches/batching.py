"""How samples are put together into batches, and how that is said in a fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

        `lengths` are (tokens of a sample, those of all pictures it shows).
        """
        totals, seen = [total for total, _ in lengths], [shown for _, shown in lengths]
        if family.alone:
            return [[[place]] for place in range(len(totals))]
        if self.pack:
            return [[[place] for place in batch] for batch in plan_packs(totals, self.token_budget)]
        groups = [[place] for place in range(len(totals))]
        if self.share and family.shares:
            groups = plan_groups(pictures, totals, seen, self.token_budget)
        costs = [seen[group[0]] + sum(totals[place] - seen[place] for place in group) for group in groups]
        kinds = [2 * len(pictures[group[0]]) * family.same_pictures + (len(group) > 1) for group in groups]
        return [[groups[number] for number in batch] for batch in plan_batches(costs, self.token_budget, kinds)]

    def describe(self, family: Family) -> dict[str, str]:
        """Return the fields of the identity that say how a sample was run together with others."""
        if family.alone:
            return {"batching": "one sample", "padding": "none"}
        if self.pack:
            return {"batching": f"at most {self.token_budget} tokens in one row", "padding": "none"}
        sharing = ", prompts of the same pictures in one row" if self.share and family.shares else ""
        mask = "no mask" if family.causal else "a mask"
        return {"batching": f"at most {self.token_budget} padded tokens{sharing}", "padding": f"right, with {mask}"}

"""What the code of a family allows beyond what is right for all. Each claim is proven by a test of that family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Rules of a family; an unknown one gets a mask, one sequence a sample, any mixture in a batch."""

    # Only samples with the same number of pictures may share a batch: pictures that pad are seen.
    same_pictures: bool = False


FAMILIES = {
    "mllama": Family(same_pictures=True),
}


def rules(model_type: str) -> Family:
    return FAMILIES.get(model_type, Family())

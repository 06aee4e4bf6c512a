"""Which of several processes this is: they share the shards of a store and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

# Who says it: (rank, number of processes, rank on this machine, lowest rank). Flags come before all of them.
# A batch script of SLURM is itself no task of many: only in a step, which srun starts, is there a number of tasks.
LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", ""),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""),
    "a SLURM array": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "", "SLURM_ARRAY_TASK_MIN"),
}


@dataclass(frozen=True)
class Rank:
    """Process `rank` of `world`, the `local`-th on its machine. Shard s belongs to rank s mod world."""

    rank: int = 0
    world: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if self.world < 1 or not 0 <= self.rank < self.world:
            raise ValueError(f"rank {self.rank} of {self.world}: the rank must lie in 0..world-1")

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world}"


def find_rank(rank: int | None, world: int | None, environment: Mapping[str, str] = os.environ) -> Rank:
    """Return the rank from flags where one is given, else from whoever launched this process, else 0 of 1.

    Raises ValueError for a rank that does not lie in 0..world-1, and where one half of it is missing.
    """
    if world is not None and rank is None and world > 1:
        raise ValueError(f"--world {world} needs --rank: which of them is this process?")
    if rank is not None or world is not None:
        return Rank(rank or 0, world or 1)
    for numbers in LAUNCHERS.values():
        found = [int(environment[name]) if environment.get(name, "").isdecimal() else None for name in numbers]
        here, count, local, lowest = found
        if here is not None and count is not None:
            return Rank(here - (lowest or 0), count, local or 0)
    return Rank()


def started_by_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether torchrun waits for this process; it ends all others when one ends with another code than 0."""
    return "TORCHELASTIC_RUN_ID" in environment

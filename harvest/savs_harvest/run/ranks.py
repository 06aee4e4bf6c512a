"""Which of several processes this is: they share the shards of a store and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

# Who says it: (rank, number of processes, rank on this machine). Flags come before torchrun, torchrun before SLURM.
# A batch script of SLURM is itself no task of many: only in a step, which srun starts, is there a number of tasks.
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
STEP = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")


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
    return _told(TORCHRUN, environment) or _of_slurm(environment)


def _told(names: tuple[str, str, str], environment: Mapping[str, str]) -> Rank | None:
    """Return what a launcher says, None where it says only half of it."""
    here, count, local = (_number(environment, name) for name in names)
    return None if here is None or count is None else Rank(here, count, local or 0)


def _of_slurm(environment: Mapping[str, str]) -> Rank:
    """Return the place among all tasks of all steps of an array; a step and an array may each be of one."""
    step = _told(STEP, environment) or Rank()
    ours, count = (_number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT"))
    if ours is None or count is None:
        return step
    lowest, highest, stride = (_number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("MIN", "MAX", "STEP"))
    place, apart = divmod(ours - (lowest or 0), stride or 1)
    regular = highest is None or highest - (lowest or 0) == (count - 1) * (stride or 1)
    if apart or not regular or not 0 <= place < count:
        raise ValueError(
            f"task {ours} of a SLURM array of {count} that is no regular list: say which process this is "
            "with --rank and --world"
        )
    return Rank(place * step.world + step.rank, count * step.world, step.local)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    return int(environment[name]) if environment.get(name, "").isdecimal() else None


def started_by_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether torchrun waits for this process; it ends all others when one ends with another code than 0."""
    return "TORCHELASTIC_RUN_ID" in environment

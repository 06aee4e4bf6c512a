"""Which process this is: flags before launchers, one launcher before another, never half of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_harvest.run.ranks import Rank, find_rank, started_by_torchrun
from savs_stores import owned_shards

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6", "SLURM_LOCALID": "2", "SLURM_NTASKS": "6"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "2"}
ONE_TASK = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        ((None, None), {}, Rank(0, 1, 0)),
        ((1, 4), TORCHRUN, Rank(1, 4, 0)),
        ((0, None), TORCHRUN, Rank(0, 1, 0)),
        ((None, 1), TORCHRUN, Rank(0, 1, 0)),
        ((None, None), TORCHRUN, Rank(3, 8, 1)),
        ((None, None), {**SRUN, **TORCHRUN}, Rank(3, 8, 1)),
        ((None, None), SRUN, Rank(5, 6, 2)),
        ((None, None), ARRAY, Rank(2, 3, 0)),
        # Every task of an array starts a step of six: 2 * 6 + 5 of 3 * 6.
        ((None, None), {**ARRAY, **SRUN}, Rank(17, 18, 2)),
        ((None, None), {**ARRAY, **ONE_TASK}, Rank(2, 3, 0)),
        ((None, None), ONE_TASK, Rank(0, 1, 0)),
        ((None, None), {**ARRAY, "SLURM_ARRAY_TASK_STEP": "2"}, Rank(1, 3, 0)),
        ((None, None), {"RANK": "1"}, Rank(0, 1, 0)),  # half of a launcher is none
        # A batch script that starts one process itself is no task of eight.
        ((None, None), {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Rank(0, 1, 0)),
    ],
)
def test_flags_come_before_launchers(flags, environment, expected):
    assert find_rank(*flags, environment) == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [((2, None), "rank 2 of 1"), ((4, 4), "rank 4 of 4"), ((None, 2), "--world 2 needs --rank")],
)
def test_a_rank_that_cannot_be_is_refused(flags, words):
    with pytest.raises(ValueError, match=words):
        find_rank(*flags, {})


@pytest.mark.parametrize(
    "change", [{"SLURM_ARRAY_TASK_ID": "9"}, {"SLURM_ARRAY_TASK_STEP": "4"}, {"SLURM_ARRAY_TASK_MAX": "7"}]
)
def test_an_irregular_array_asks_for_flags(change):
    with pytest.raises(ValueError, match="--rank and --world"):
        find_rank(None, None, {**ARRAY, **change})
    assert find_rank(1, 3, {**ARRAY, **change}) == Rank(1, 3, 0)


def test_torchrun_is_recognized():
    assert started_by_torchrun({"TORCHELASTIC_RUN_ID": "none"})
    assert not started_by_torchrun(TORCHRUN)


@given(st.sets(st.integers(0, 500)), st.integers(1, 40))
def test_all_ranks_together_own_every_shard_once(missing, world):
    owned = [shard for rank in range(world) for shard in owned_shards(sorted(missing), rank, world)]
    assert sorted(owned) == sorted(missing)

"""Shards as arithmetic: every law against counting by hand."""

import re
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_stores import ShardPlan, default_shard_samples, missing_shards, owned_shards
from savs_stores.format.plan import runs, spans

counts = st.integers(1, 600)
sizes = st.integers(1, 300)
index_sets = st.sets(st.integers(0, 200)).map(sorted)

PLANS = [
    # samples, shard_samples, rows of the last shard
    (1, 256, range(0, 1)),  # one shard, mostly padding
    (256, 256, range(0, 256)),  # exactly full
    (257, 256, range(256, 257)),  # one over
    (10, 4, range(8, 10)),  # N % S != 0
    (10, 1, range(9, 10)),  # a shard a sample
    (4096, 256, range(3840, 4096)),  # many full ones
]


@pytest.mark.parametrize(("samples", "shard_samples", "last"), PLANS)
def test_the_last_shard_holds_the_rest(samples, shard_samples, last):
    plan = ShardPlan(samples, 6, 4, shard_samples)
    assert plan.rows(plan.shards - 1) == last


@given(counts, sizes)
def test_rows_partition_the_samples(samples, shard_samples):
    plan = ShardPlan(samples, 6, 4, shard_samples)
    rows = [plan.rows(shard) for shard in range(plan.shards)]
    assert list(chain(*rows)) == list(range(samples))
    assert all(1 <= len(row) <= shard_samples for row in rows)


@given(counts, sizes)
def test_shard_of_inverts_rows(samples, shard_samples):
    plan = ShardPlan(samples, 6, 4, shard_samples)
    found = [plan.shard_of(row) for row in range(samples)]
    assert found == [shard for shard in range(plan.shards) for _ in plan.rows(shard)]


@given(index_sets, st.integers(1, 12))
def test_ranks_share_the_shards_without_rest_or_overlap(shards, world):
    owned = [owned_shards(shards, rank, world) for rank in range(world)]
    assert sorted(chain(*owned)) == shards
    assert all(part == sorted(part) for part in owned)


@given(st.integers(0, 300), st.integers(1, 12))
def test_ranks_share_all_shards_evenly(shards, world):
    loads = [len(owned_shards(range(shards), rank, world)) for rank in range(world)]
    assert max(loads) - min(loads) <= 1


@given(st.lists(st.integers(0, 2**32 - 1) | st.just(0)))
def test_a_shard_without_record_is_missing(records):
    missing = missing_shards(records)
    assert [0 if shard in missing else 1 for shard in range(len(records))] == [min(1, record) for record in records]


@given(index_sets)
def test_runs_come_back_as_the_indices(indices):
    found = runs(indices)
    assert list(chain(*found)) == indices
    assert all(left.stop < right.start for left, right in pairwise(found))  # maximal


@given(index_sets)
def test_spans_can_be_read_back(indices):
    pairs = re.findall(r"(\d+)(?:-(\d+))?", spans(indices))
    assert list(chain(*(range(int(first), int(last or first) + 1) for first, last in pairs))) == indices


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([], ""),  # nothing
        ([7], "7"),  # one number stands alone
        ([7, 8], "7-8"),  # two already make a run
        ([*range(256), *range(512, 701)], "0-255, 512-700"),
    ],
)
def test_spans_shorten_runs(indices, text):
    assert spans(indices) == text


@pytest.mark.parametrize(("samples", "rows"), [(1, 64), (511, 64), (512, 256), (10**6, 256)])
def test_small_stores_have_small_shards(samples, rows):
    assert default_shard_samples(samples) == rows


@pytest.mark.parametrize(
    ("samples", "batch", "rows"),
    [
        *((100, 5000, 64), (511, 5000, 64), (512, 5000, 256), (8191, 5000, 256), (8192, 5000, 512), (16383, 5000, 512)),
        *((16384, 5000, 1024), (10**6, 5000, 1024), (10**6, 0, 256), (10**6, 64, 256), (10**6, 65, 512)),
        *((27_000, 202, 1024), (10**6, 128, 512), (10**6, 129, 1024)),
    ],
)
def test_shards_have_room_for_batches_of_short_prompts_and_stay_many(samples, batch, rows):
    assert default_shard_samples(samples, batch) == rows
    assert rows <= 256 or samples // rows >= 16


@pytest.mark.parametrize(
    ("samples", "heads", "dim", "shard_samples"),
    [
        (10, 6, 4, 4),  # the last shard is padded to full size
        (8, 1, 1, 4),  # the smallest vectors
        (3, 5, 7, 16),  # fewer samples than a shard
        (3, 17, 3, 1),  # more heads than any power of two nearby
    ],
)
def test_every_shard_file_has_the_size_of_the_formula(write, tmp_path, samples, heads, dim, shard_samples):
    vectors = np.ones((samples, heads, dim))
    store = write(tmp_path / "store.zarr", vectors, shard_samples=shard_samples)
    plan = ShardPlan(samples, heads, dim, shard_samples)
    found = [file.stat().st_size for file in (tmp_path / "store.zarr/toy/heads/c").rglob("*") if file.is_file()]
    assert store["toy"].plan == plan
    assert found == [plan.shard_bytes] * plan.shards
    assert plan.total_bytes == sum(found)


@pytest.mark.parametrize(
    ("rank", "world"),
    [
        (2, 2),  # counted from 1
        (-1, 2),
        (0, 0),  # nobody
    ],
)
def test_a_rank_outside_the_world_is_refused(rank, world):
    with pytest.raises(ValueError, match=f"rank {rank} of {world}"):
        owned_shards(range(4), rank, world)


@pytest.mark.parametrize("name", ["samples", "heads", "dim", "shard_samples"])
@pytest.mark.parametrize("number", [0, -1])
def test_a_plan_of_nothing_is_refused(name, number):
    with pytest.raises(ValueError, match=f"at least one of {name}, got {number}"):
        ShardPlan(**{"samples": 4, "heads": 2, "dim": 2, "shard_samples": 2} | {name: number})


@pytest.mark.parametrize("shard", [-1, 3])
def test_a_shard_out_of_range_is_refused(shard):
    with pytest.raises(IndexError, match=f"shard {shard} of 3"):
        ShardPlan(10, 6, 4, 4).rows(shard)

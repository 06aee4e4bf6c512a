"""Attention without padding: what the kernel of a GPU is given, told by its own signature, runs here on the CPU."""

import inspect
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from savs_benchmarks import load_jsonl
from savs_harvest.batches import packing
from savs_harvest.batches.packing import attend, attend_pictures, segments
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store

WIDTH = 16

# Without texts that name classes, which run before the samples.
ALONE = Settings(pack=True, class_prompt="")


class Kernel:
    """What torch documents of its kernel, one sequence after another; keeps the bounds of every call.

    Those of prompts, which are causal, and those of pictures, which are not, are kept apart.
    """

    def __init__(self):
        self.calls, self.of_pictures = [], []

    def __call__(self, *args, **options):
        given = inspect.signature(varlen_attn).bind(*args, **options).arguments
        query, key, value, bounds = (given[name] for name in ("query", "key", "value", "cu_seq_q"))
        causal = {(-1, 0): True, (-1, -1): False}[given["window_size"]]
        (self.calls if causal else self.of_pictures).append(bounds)
        lengths = bounds.diff().tolist()
        assert bounds.dtype == torch.int32
        assert given["cu_seq_k"] is bounds
        assert query.shape[0] == key.shape[0] == value.shape[0] == sum(lengths)
        assert given["max_q"] == given["max_k"] == max(lengths)
        assert given["enable_gqa"] == (query.shape[1] != key.shape[1])
        assert all(tensor.stride(-1) == 1 for tensor in (query, key, value))
        parts = [
            scaled_dot_product_attention(
                *(tensor[start:stop].transpose(0, 1) for tensor in (query, key, value)),
                is_causal=causal,
                scale=given["scale"],
                enable_gqa=given["enable_gqa"],
            )
            for start, stop in pairwise(bounds.tolist())
        ]
        return torch.cat(parts, dim=1).transpose(0, 1)


@pytest.fixture
def kernel(monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(packing, "_kernel_for", lambda query: kernel)
    return kernel


def heads(count, tokens):
    return torch.randn(1, tokens, count, WIDTH, generator=torch.Generator().manual_seed(count)).transpose(1, 2)


BOUNDS = pytest.mark.parametrize("bounds", [[0, 7], [0, 1, 4, 5, 12], [0, 12]])


@BOUNDS
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_the_kernel_and_one_call_a_sample_give_the_same(kernel, monkeypatch, bounds, key_heads, scaling):
    given = heads(4, bounds[-1]), heads(key_heads, bounds[-1]), heads(key_heads, bounds[-1]) + 1
    with segments(bounds, torch.tensor(bounds, dtype=torch.int32)):
        found, _ = attend(None, *given, None, scaling)
        monkeypatch.setattr(packing, "_kernel_for", lambda query: None)
        expected, _ = attend(None, *given, None, scaling)
    assert found.shape == (1, bounds[-1], 4, WIDTH)
    torch.testing.assert_close(found, expected)
    assert len(kernel.calls) == 1


@BOUNDS
def test_pictures_end_to_end_are_blind_to_each_other(kernel, monkeypatch, bounds):
    given = heads(2, bounds[-1]), heads(2, bounds[-1]) + 1, heads(2, bounds[-1]) - 1
    placed, longest = torch.tensor(bounds, dtype=torch.int32), max(stop - start for start, stop in pairwise(bounds))
    with_kernel, _ = attend_pictures(None, *given, None, placed, longest, 0.3)
    monkeypatch.setattr(packing, "_kernel_for", lambda query: None)
    without, _ = attend_pictures(None, *given, None, placed, longest, 0.3)
    assert len(kernel.of_pictures) == 1
    for found in (with_kernel, without):
        for start, stop in pairwise(bounds):
            query, key, value = (tensor[0, :, start:stop] for tensor in given)
            weights = (0.3 * query @ key.transpose(1, 2)).softmax(-1)
            torch.testing.assert_close(found[0, start:stop], (weights @ value).transpose(0, 1))


def test_a_vision_tower_that_packs_pictures_reads_them_in_one_call_a_layer(
    load, write_benchmark, lines, tmp_path, kernel
):
    model = load("qwen2vl")
    benchmark = load_jsonl(write_benchmark(lines))
    pictures = sum(len(sample.images) for sample in benchmark.samples())
    before = model.model.config.vision_config._attn_implementation
    kernel.of_pictures.clear()  # of the probe that every model is loaded with
    harvest(model, benchmark, tmp_path / "s.zarr", Settings(pack=True))
    assert [len(bounds) - 1 for bounds in kernel.of_pictures] == [pictures] * len(model.model.model.visual.blocks)
    assert model.model.config.vision_config._attn_implementation == before


def test_outside_segments_the_kernel_sees_one_sample(kernel):
    attend(None, heads(2, 5), heads(2, 5), heads(2, 5), None)
    assert kernel.calls[0].tolist() == [0, 5]


def test_a_harvest_through_the_kernel_is_what_it_is_without(model, write_benchmark, lines, tmp_path, monkeypatch):
    benchmark = load_jsonl(write_benchmark(lines))
    kernel = Kernel()
    stored = {}
    for name, found in (("without", None), ("with", kernel)):
        monkeypatch.setattr(packing, "_kernel_for", lambda query, found=found: found)
        assert harvest(model, benchmark, tmp_path / name, ALONE).failed == 0
        stored[name] = open_store(tmp_path / name)[model.name].read()
    np.testing.assert_allclose(stored["with"], stored["without"], rtol=2**-10, atol=1e-5)
    assert kernel.calls[0].tolist()[0] == 0
    assert len(kernel.calls[0]) == 11


def test_bounds_are_on_the_device_once_a_batch(model, write_benchmark, lines, tmp_path, kernel):
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(model, benchmark, tmp_path / "s.zarr", ALONE)
    assert len(kernel.calls) == len(model.projections)
    assert all(bounds is kernel.calls[0] for bounds in kernel.calls)


class Placed:
    """A query on a GPU, as far as is asked before the kernel is chosen."""

    def __init__(self, dtype=torch.bfloat16, head_dim=128, is_cuda=True):
        self.dtype, self.shape, self.is_cuda, self.device = dtype, (1, 2, 3, head_dim), is_cuda, "cuda"


@pytest.mark.parametrize(
    ("query", "capability", "runs"),
    [
        (Placed(), (9, 0), True),
        (Placed(torch.float16, 8), (8, 0), True),
        (Placed(torch.float32), (9, 0), False),
        (Placed(head_dim=12), (9, 0), False),
        (Placed(head_dim=264), (9, 0), False),
        (Placed(), (7, 5), False),
        (Placed(is_cuda=False), (9, 0), False),
    ],
)
def test_the_kernel_runs_where_it_can(monkeypatch, query, capability, runs):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert (packing._kernel_for(query) is varlen_attn) == runs


def test_an_older_torch_has_no_kernel(monkeypatch):
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", lambda query, key, value, is_causal=False: None)
    packing._kernel.cache_clear()
    try:
        assert packing._kernel() is None
    finally:
        packing._kernel.cache_clear()

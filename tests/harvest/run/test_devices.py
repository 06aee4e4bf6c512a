"""A harvest on a GPU gives what it gives anywhere, to the rounding of its type: make perf-gpu.

Without one these tests run on the CPU and test themselves.
"""

import copy
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from kit import families
from savs_benchmarks import Benchmark, Sample, load_picture
from savs_harvest.batches.layout_check import load_model
from savs_harvest.batches.runner import _move
from savs_harvest.models.heads import capture_heads, find_projections, last_real_token
from savs_harvest.models.loading import ModelSpec
from savs_harvest.models.prompts import prepare
from savs_harvest.models.tiny.corpus import vocabulary
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
FAMILIES = ["qwen2_vl", "llava_onevision"]
# Heads as wide as those of the papers' models, two keys for four queries.
TEXT = {"hidden_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 8192}
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
STORED = 2**-11


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Checkpoints by family."""
    found = {}
    for family in FAMILIES:
        config = copy.deepcopy(families.FAMILIES[family][0])
        config["text_config"] |= TEXT
        if family == "qwen2_vl":
            config["text_config"]["rope_parameters"] = ROPE
            config["vision_config"]["hidden_size"] = TEXT["hidden_size"]
        found[family] = tmp_path_factory.mktemp(family)
        families.randomize_to_scale(families.new_model(family, config)).save_pretrained(found[family])
        families.build_processor(family).save_pretrained(found[family])
    return found


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request, device, folders):
    return load_model(ModelSpec("model", str(folders[request.param]), "bfloat16"), device)


@pytest.fixture(scope="module")
def benchmark(device, tmp_path_factory):
    """Questions of different lengths, two about each picture: on a GPU so many that they take memory."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    samples = []
    for number in range(64 if device == "cuda" else 12):
        path = folder / f"{number // 2}.png"
        if not path.exists():
            size = generator.integers(16, 49, 2)
            Image.fromarray(generator.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
        words = " ".join(generator.choice(vocabulary()[20:], generator.integers(5, 40)))
        samples.append(Sample(str(number), (path,), words, ("no", "yes")[number % 2], "either"))
    return Benchmark("b", "s", "s", "1", "l", "accuracy", {"all": ("no", "yes")}, "p", lambda: samples)


def run(loaded, benchmark, place, **settings):
    report = harvest(loaded, benchmark, place, Settings(**settings))
    assert report.failed == 0
    return report, open_store(place)["model"].read().astype(np.float32)


def alone(loaded, model, benchmark):
    """Return the vectors [sample, head, dim] of a model, each sample by itself; pictures in the type of a harvest."""
    found = []
    for sample in benchmark.samples():
        inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
        placed = {
            name: tensor.to(loaded.model.dtype).to(model.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in inputs.items()
        }
        placed = {name: tensor.to(loaded.device) for name, tensor in placed.items()}
        last = last_real_token(placed["attention_mask"])
        with capture_heads(find_projections(model), last) as vectors, torch.inference_mode():
            model(**placed)
        found.append(vectors[0].float().cpu().numpy())
    return np.stack(found)


@pytest.fixture(scope="module")
def exact(loaded, benchmark):
    """The vectors of samples alone in float32, from the same weights."""
    return alone(loaded, copy.deepcopy(loaded.model).float(), benchmark)


@pytest.fixture(scope="module")
def single(loaded, benchmark):
    """The vectors of samples alone in the type of the harvest."""
    return alone(loaded, loaded.model, benchmark)


def distances(first, second):
    """Return how far vectors are apart, relative to the second, for every sample."""
    return np.linalg.norm(first - second, axis=(1, 2)) / np.linalg.norm(second, axis=(1, 2))


@pytest.mark.parametrize(
    "settings", [{}, {"pack": True}, {"share": False}, {"logits": False}, {"pack": True, "token_budget": 150}], ids=str
)
def test_samples_run_together_are_as_exact_as_samples_alone(loaded, benchmark, exact, single, tmp_path, settings):
    """The bound is measured: what the type itself costs a sample alone."""
    rounding = distances(single, exact).max()
    _, together = run(loaded, benchmark, tmp_path / "s.zarr", **settings)
    assert 0 < rounding < 0.1
    assert distances(together, exact).max() < 1.5 * rounding + STORED
    assert distances(together, single).max() < 2 * rounding + STORED


@contextmanager
def limited_memory(loaded, free_bytes):
    """Leave the model so many bytes inside the block; a CPU, which has no limit, counts what it would need."""
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(loaded.device).total_memory
        torch.cuda.set_per_process_memory_fraction(free_bytes / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return

    def check(_module, _args, inputs):
        if needed_bytes(inputs["input_ids"].numel()) > free_bytes:
            raise torch.OutOfMemoryError("as a full GPU says")

    handle = loaded.model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def needed_bytes(tokens):
    return tokens * TEXT["intermediate_size"] * 2


def peak_bytes(loaded, work):
    """Return the memory that the work takes at most: of a CPU, by the longest call of the model."""
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_reserved()
    sizes = []
    count = lambda _module, _args, inputs: sizes.append(needed_bytes(inputs["input_ids"].numel()))  # noqa: E731
    handle = loaded.model.register_forward_pre_hook(count, with_kwargs=True)
    work()
    handle.remove()
    return max(sizes)


def test_what_does_not_fit_into_memory_is_run_in_halves(loaded, benchmark, tmp_path):
    vectors = {}

    def work(name, **settings):
        vectors[name] = run(loaded, benchmark, tmp_path / name, share=False, **settings)

    whole = peak_bytes(loaded, lambda: work("whole", token_budget=10**6))
    single = peak_bytes(loaded, lambda: work("single", token_budget=1))
    assert single < whole
    with limited_memory(loaded, single + 0.4 * (whole - single)):
        work("halved", token_budget=10**6)
    assert vectors["whole"][0].halved == 0
    assert vectors["halved"][0].halved > 0
    rounding = distances(vectors["single"][1], vectors["whole"][1]).max()
    assert distances(vectors["halved"][1], vectors["whole"][1]).max() <= 2 * rounding + STORED


@pytest.mark.parametrize("device", ["cuda"], indirect=True)
@pytest.mark.gpu
def test_processes_beside_a_gpu_change_nothing(loaded, benchmark, tmp_path):
    _, here = run(loaded, benchmark, tmp_path / "here.zarr", token_budget=500)
    _, there = run(loaded, benchmark, tmp_path / "there.zarr", token_budget=500, workers=2)
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("device", ["cuda"], indirect=True)
@pytest.mark.gpu
def test_compiled_layers_are_as_exact_as_plain_ones(loaded, benchmark, exact, tmp_path):
    _, plain = run(loaded, benchmark, tmp_path / "plain.zarr")
    _, compiled = run(loaded, benchmark, tmp_path / "compiled.zarr", compile=True)
    assert distances(compiled, exact).max() < 1.5 * distances(plain, exact).max() + STORED


def waits(loaded, work):
    """Return the lines of ours at which the processor waited for a GPU."""
    on_gpu = loaded.device.type == "cuda"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            if on_gpu:
                torch.cuda.set_sync_debug_mode("warn")
            work()
        finally:
            if on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    waited = [each for each in told if "synchroniz" in str(each.message) and "savs_harvest" in each.filename]
    return {f"{each.filename}:{each.lineno}" for each in waited}


@pytest.mark.parametrize("settings", [{}, {"pack": True}, {"share": False}], ids=str)
def test_the_processor_waits_for_the_device_once_a_shard(loaded, benchmark, tmp_path, settings):
    """Vectors and logits come back at the end; no other line of ours holds up the layout of the next batch."""
    lines = waits(loaded, lambda: run(loaded, benchmark, tmp_path / "s.zarr", token_budget=300, **settings))
    assert len(lines) <= 1, lines


def test_copies_to_a_gpu_come_out_of_pinned_memory(monkeypatch):
    """Only such a copy goes on beside the processor."""
    copied = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: copied.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *where, **how: copied.append((*where, how)))
    _move(torch.ones(2), torch.device("cuda"))
    assert copied == ["pinned", (torch.device("cuda"), {"non_blocking": True})]
    _move(torch.ones(2), torch.device("cpu"))
    assert copied[2:] == [(torch.device("cpu"), {})]

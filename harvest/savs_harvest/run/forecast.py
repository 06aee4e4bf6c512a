"""What a harvest will take: from the model's configuration and the pictures' sizes, or from a few real batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from savs_benchmarks import Benchmark, Sample, check
from savs_benchmarks.pictures.pictures import picture_size
from savs_harvest.asking.hashing import distinct, in_parallel, key_of
from savs_harvest.asking.preparing import Preparer, Question, Refused
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.embedding import EncoderRunner
from savs_harvest.batches.runner import Runner
from savs_harvest.models.checkpoints import WITHOUT_WEIGHTS, checkpoint_folder, load_config
from savs_harvest.models.encoder_processors import read_encoder_processor
from savs_harvest.models.encoders import embedding_layers
from savs_harvest.models.families import rules
from savs_harvest.models.heads import Projection, find_projections
from savs_harvest.models.kinds import check_pictures, is_encoder, reads_pictures
from savs_harvest.models.layers import decoder_layers
from savs_harvest.models.loading import LoadedModel, empty_model, find_device, places_of
from savs_harvest.models.prompts import sample_pictures
from savs_harvest.models.quantized import find_quantization, memory_of
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import find_work
from savs_harvest.run.settings import Settings, runner_of
from savs_harvest.run.work import Work
from savs_harvest.run.writing import head_table
from savs_stores import HeadTable, ModelVectors, ShardPlan, default_shard_samples, open_store, place_of
from savs_stores.format.plan import spans
from savs_stores.terminal import size

MEASURED_BATCHES = 10
# The share of its bare matrix products that a device reaches with a whole model; `--measure` knows better.
UTILISATION = 0.5


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of a model: for a token, for a token of a picture before, for a pair of tokens."""

    token: float
    picture_token: float
    pair: float
    prompt: float

    def of(self, tokens: int, picture_tokens: int) -> float:
        """Return the operations of one prompt alone."""
        return self.token * tokens + self.picture_token * picture_tokens + self.pair * tokens**2 + self.prompt


def model_cost(model: Any, projections: Sequence[Projection], patches_a_token: int = 1) -> Cost:
    """Return the closed form: two operations a weight and token, and causal attention between all pairs.

    Attention inside the vision tower is left out; of a mixture of experts all are counted.
    """
    layers = sum(parameter.numel() for layer in decoder_layers(model) for parameter in layer.parameters())
    embeddings = {
        id(p) for part in (model.get_input_embeddings(), model.get_output_embeddings()) for p in part.parameters()
    }
    whole = sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in embeddings)
    words = sum(parameter.numel() for parameter in model.get_output_embeddings().parameters())
    width = sum(projection.heads * projection.head_dim for projection in projections)
    return Cost(2.0 * layers, 2.0 * (whole - layers) * patches_a_token, 2.0 * width, 2.0 * words)


def encoder_cost(model: Any) -> Cost:
    """Return the closed form of an encoder: two operations a weight of a token's tower; attention is left out."""
    text = sum(p.numel() for name, p in model.named_parameters() if name.startswith("text_model.encoder"))
    shown = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("text_"))
    return Cost(2.0 * text, 2.0 * (shown - text), 0.0, 0.0)


def _cost_of_prompts(model: Any) -> Cost:
    merge = getattr(getattr(model.config, "vision_config", None), "spatial_merge_size", 1)
    return model_cost(model, find_projections(model), merge**2)


@dataclass(frozen=True)
class Forecast:
    """What a harvest will take, in (label, value) lines for people, and as numbers with their units in the names."""

    lines: list[tuple[str, str]]
    numbers: dict[str, int | float]


def forecast(
    spec: ModelSpec,
    benchmark: Benchmark,
    store: str | Path,
    name: str,
    revision: str | None = None,
    shard_samples: int | None = None,
    dtype: str | None = None,
) -> Forecast:
    """Return samples, shape, shards, bytes on disk, memory, time, and what is left to do."""
    samples = check(benchmark)
    check_readable(spec, benchmark, revision)
    model = empty_model(spec, revision, dtype)
    heads = heads_of(spec, model)
    begun = begun_model(store, name, benchmark, samples)
    plan = (
        begun.plan
        if begun
        else ShardPlan(len(samples), len(heads), heads.dim, shard_samples or default_shard_samples(len(samples)))
    )
    splits = Counter(sample.split for sample in samples)
    weights = weight_bytes(spec, model, revision)
    lengths = prompt_lengths(spec, model, samples, revision)
    time_words, seconds = _predicted_time(model, lengths)
    lines = [
        ("model", f"{name}: {heads.describe()}, {str(model.dtype).removeprefix('torch.')}, {size(weights)} of weights"),
        ("benchmark", f"{benchmark.name}: " + ", ".join(f"{split} {count:,}" for split, count in splits.items())),
        ("samples", f"{len(samples):,}"),
        ("prompts", _prompts(lengths)),
        ("shards", f"{plan.shards} of {plan.shard_samples} samples, {size(plan.shard_bytes)} each"),
        ("disk", f"{size(plan.total_bytes)} in {store}"),
        (
            "memory",
            f"{size(weights + 3 * plan.shard_bytes)} and the pixels of a few batches, however many samples there are",
        ),
        ("time", time_words),
        ("to do", _to_do(begun, plan, bool(begun_model(store, name)))),
    ]
    numbers = {
        "samples": len(samples),
        "tokens": sum(total for total, _ in lengths),
        "shards": plan.shards,
        "missing_shards": len(begun.missing) if begun else plan.shards,
        "shard_samples": plan.shard_samples,
        "disk_bytes": plan.total_bytes,
        "weight_bytes": weights,
        "seconds": seconds,
    }
    return Forecast(lines, numbers)


def weight_bytes(spec: ModelSpec, model: nn.Module, revision: str | None = None) -> int:
    """Return the bytes that a model's weights take in memory, from the model without them.

    Those of a quantised checkpoint are taken as large as its files.
    """
    found = find_quantization(spec, model.config)
    if found and spec.quantize is None and not found.dequantised:
        folder = checkpoint_folder(spec, revision)
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return memory_of(model, spec.quantize)


def check_readable(spec: ModelSpec, benchmark: Benchmark, revision: str | None = None) -> None:
    """Raise `ModelError` where a benchmark shows pictures to a model that reads none; needs its configuration only."""
    config = load_config(checkpoint_folder(spec, revision, WITHOUT_WEIGHTS), spec.checkpoint, encoders=True)
    if not is_encoder(config):
        check_pictures(spec.name, reads_pictures(config), benchmark.name, benchmark.samples())


def check_space(
    spec: ModelSpec,
    benchmark: Benchmark,
    store: str | Path,
    name: str,
    revision: str | None = None,
    shard_samples: int | None = None,
    codec: str = "none",
) -> None:
    """Raise OSError where a disk has no room for the shards that are still to be written.

    Raises `StoreError` where a new store would lie in another one. Asked before a model is loaded. What a compressed
    store or one behind a URL will take, or has, nobody knows.
    """
    place = place_of(store)
    place.check_alone()
    free = place.free()
    if free is None:
        return
    listed = list(benchmark.samples())
    if begun := begun_model(store, name, benchmark, listed):
        plan, shards, plain = begun.plan, len(begun.missing), begun.plain
    else:
        heads = heads_of(spec, empty_model(spec, revision))
        plan = ShardPlan(len(listed), len(heads), heads.dim, shard_samples or default_shard_samples(len(listed)))
        shards, plain = plan.shards, codec == "none"
    needed = shards * plan.shard_bytes
    if plain and needed > free:
        raise OSError(
            f"no space for {store}: the {shards:,} shards still to be written need {size(needed)}, {size(free)} are "
            "free; make room, or name another disk with --store"
        )


def prompt_lengths(
    spec: ModelSpec, model: nn.Module, samples: Sequence[Sample], revision: str | None = None
) -> list[tuple[int, int]]:
    """Return (tokens, tokens of pictures) of every sample, from the headers of its pictures."""
    if is_encoder(model.config):
        return encoded_lengths(checkpoint_folder(spec, revision), model.config, samples)
    family = rules(model.config)
    preparer = Preparer(checkpoint_folder(spec, revision), torch.float32, (), family.tiles_one_picture)
    shown = distinct(samples)
    sizes = dict(zip(map(key_of, shown), in_parallel(picture_size, shown), strict=True))
    return [
        preparer.length(Question(sample.images, sample.question), [sizes[key_of(image)] for image in sample.images])
        for sample in samples
    ]


def encoded_lengths(folder: Path, config: Any, samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Return (tokens, tokens of pictures) of an encoder's samples: patches of pictures, and tokens of texts."""
    processor, _ = read_encoder_processor(folder, config)
    shown = processor.pictures(sample_pictures(processor))["pixel_values"]
    patch = getattr(config, "vision_config", config).patch_size
    patches = shown.shape[1] if shown.ndim == 3 else shown.shape[2] * shown.shape[3] // patch**2
    return [
        (patches * len(sample.images) + words, patches * len(sample.images))
        for sample in samples
        for words in [processor.tokens(sample.question).shape[1] if processor.tokenizer else 0]
    ]


def heads_of(spec: ModelSpec, model: Any) -> HeadTable:
    """Return the heads of a model that needs no weights."""
    if is_encoder(model.config):
        return HeadTable.from_layers(embedding_layers(model.config))
    return HeadTable.from_layers((p.layer, p.heads, p.head_dim, p.kind) for p in places_of(spec, model))


def _usual_batch(model: Any, lengths: Sequence[tuple[int, int]]) -> int:
    """Return how many samples run together on this machine, 0 for an encoder: its batches are small."""
    if is_encoder(model.config):
        return 0
    return Settings().batching(torch.device(find_device(0))).usual_samples([total for total, _ in lengths])


def _prompts(lengths: Sequence[tuple[int, int]]) -> str:
    totals = np.array([total for total, _ in lengths])
    return f"{totals.sum():,} tokens; a prompt {np.median(totals):,.0f}, the longest {totals.max():,}"


def _predicted_time(model: Any, lengths: Sequence[tuple[int, int]]) -> tuple[str, float]:
    cost = encoder_cost(model) if is_encoder(model.config) else _cost_of_prompts(model)
    operations = sum(cost.of(tokens, shown) for tokens, shown in lengths)
    device = find_device(0)
    rate = product_rate(device, model.dtype)
    seconds = operations / rate / UTILISATION
    words = (
        f"{duration(seconds)}, {len(lengths) / seconds:,.1f} samples/s: {operations / 1e12:,.3g} TFLOP at half of the "
        f"{rate / 1e12:,.3g} TFLOP/s that products of matrices reach here ({device}); --measure runs real batches"
    )
    return words, seconds


def product_rate(device: str, dtype: torch.dtype, width: int = 1024) -> float:
    """Return floating-point operations a second of a product of matrices, the best of three."""
    place = torch.device(device)
    width = width * (8 if place.type == "cuda" else 1)
    first, second = (torch.ones(width, width, dtype=dtype, device=place) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        (first @ second)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2.0 * width**3 / best


def duration(seconds: float) -> str:
    """Return a time in words: `3.2 hours`."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} seconds"


def measured_time(
    model: LoadedModel, benchmark: Benchmark, settings: Settings, shard_samples: int | None = None
) -> str:
    """Return the time of a whole harvest in words, from real batches spread over it; nothing is written."""
    work = find_work(model, benchmark, settings)
    samples = work.samples
    shard = shard_samples or work.shard_samples
    rows = [range(start, min(start + shard, len(samples))) for start in range(0, len(samples), shard)]
    batches = [(of_shard, groups) for of_shard in rows for groups in work.plan(of_shard)]
    chosen = [batches[i] for i in sorted({*np.linspace(0, len(batches) - 1, MEASURED_BATCHES).round().astype(int)})]
    runner = runner_of(model, settings)
    _run(work, runner, *chosen[0])  # the first call of a model is slower than all others
    started = time.perf_counter()
    ran = sum(_run(work, runner, *batch) for batch in chosen)
    seconds = time.perf_counter() - started
    if not ran:
        return (
            f"no sample could be run: pictures of {len(chosen)} of {len(batches)} batches cannot be read or are refused"
        )
    total = sum(_tokens(work, *batch) for batch in batches)
    speed = ran / seconds
    return (
        f"{duration(total / speed)}, {len(samples) * speed / total:,.1f} samples/s: {len(chosen)} of {len(batches)} "
        f"batches took {seconds:,.1f} seconds on {model.device}, pictures prepared in this process"
    )


def _run(work: Work, runner: Runner | EncoderRunner, rows: range, groups: list[list[int]]) -> int:
    table = head_table(work.model)
    buffers = Buffers.empty(
        work.model, len(rows), (len(table), table.dim), max(map(len, work.benchmark.tasks.values()))
    )
    prepared = [work.preparer.inputs(question) for question in work.questions(rows, groups)]
    work.run(runner, rows, groups, prepared, buffers)
    buffers.fetch()
    if all(isinstance(found, Refused) for found in prepared):
        return 0
    return _tokens(work, rows, groups)


def _tokens(work: Work, rows: range, groups: list[list[int]]) -> int:
    """Return how many tokens a batch runs: of every group the pictures once."""

    def each(group: list[int]) -> Iterator[int]:
        lengths = [work.length(rows[place]) for place in group]
        yield lengths[0][1]
        yield from (total - shown for total, shown in lengths)

    return sum(tokens for group in groups for tokens in each(group))


def begun_model(
    store: str | Path, name: str, benchmark: Benchmark | None = None, samples: Sequence[Sample] = ()
) -> ModelVectors | None:
    """Return what a store holds of a model, None where that is nothing yet; its shards are as they were begun.

    Where a benchmark is given, with its samples, a store of others holds nothing of it.
    """
    if not place_of(store).exists() or name not in (opened := open_store(store)).models:
        return None
    held = opened.benchmark.wording, opened.samples.sample_id.tolist()
    if benchmark and held != (benchmark.wording, [sample.sample_id for sample in samples]):
        return None
    return opened.peek(name)


def _to_do(begun: ModelVectors | None, plan: ShardPlan, of_others: bool) -> str:
    if begun is None:
        return f"all {plan.shards} shards" + (": the store holds other samples" if of_others else "")
    missing = begun.missing
    return f"{len(missing)} of {plan.shards} shards ({spans(missing)})" if missing else "nothing, the store is complete"

"""The harvest: shard by shard, every unfinished one, until the store is whole."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from savs_benchmarks import Benchmark, PictureError, Sample, check, load_picture
from savs_benchmarks.pictures import POLICY
from savs_harvest import TOKEN_BUDGET
from savs_harvest.batches import collate, plan_batches
from savs_harvest.errors import ModelError
from savs_harvest.families import rules
from savs_harvest.heads import capture_heads, last_position_only, last_real_token
from savs_harvest.index import index_samples
from savs_harvest.models import LoadedModel
from savs_harvest.prompts import ambiguous_tasks, answer_tokens, prepare
from savs_stores import (
    BenchmarkInfo,
    HeadTable,
    ModelWriter,
    SampleTable,
    Shard,
    Status,
    add_model,
    create_store,
    owned_shards,
)

# Samples that are prepared at a time: bounds the memory that pixels take, whatever their size.
WINDOW = 64


@dataclass
class Report:
    """What a harvest did: samples by status, why the failed ones failed, what else is worth knowing."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    ambiguous_tasks: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != Status.OK.name)


def identity(model: LoadedModel, token_budget: int = TOKEN_BUDGET) -> dict[str, Any]:
    """Return the fields behind the fingerprint of a harvest: the model's and those of the run."""
    return {**model.identity, "images": POLICY, "batching": f"at most {token_budget} padded tokens"}


def provenance(command: str) -> dict[str, Any]:
    """Return what is kept beside the vectors but never compared."""
    versions = {
        name: version(name) for name in ("savs", "torch", "transformers", "tokenizers", "pillow", "zarr", "numpy")
    }
    return {"command": command, "versions": versions | {"python": platform.python_version()}}


def head_table(model: LoadedModel) -> HeadTable:
    return HeadTable.from_layers((p.layer, p.heads, p.head_dim, p.kind) for p in model.projections)


def open_writer(
    model: LoadedModel,
    info: BenchmarkInfo,
    table: SampleTable,
    store: str | Path,
    token_budget: int = TOKEN_BUDGET,
    command: str = "",
    name: str | None = None,
    **layout: Any,
) -> ModelWriter:
    """Create the store and the model's group where they are not there yet; both are checked where they are."""
    create_store(store, info, table)
    return add_model(
        store, name or model.name, identity(model, token_budget), head_table(model), provenance(command), **layout
    )


def harvest(
    model: LoadedModel,
    benchmark: Benchmark,
    store: str | Path,
    *,
    token_budget: int = TOKEN_BUDGET,
    rank: int = 0,
    world: int = 1,
    command: str = "",
    name: str | None = None,
    on_pictures: Callable[[int, int], None] = lambda done, total: None,
    on_plan: Callable[[ModelWriter, list[int]], None] = lambda writer, shards: None,
    on_samples: Callable[[int], None] = lambda count: None,
    **layout: Any,
) -> Report:
    """Run the model on every sample of this rank's unfinished shards and write them, one shard at a time.

    What is finished is never run again, so the same command resumes. Batches never cross a shard:
    neither a kill nor the number of ranks changes a byte.
    """
    samples = check(benchmark)
    info, table = index_samples(benchmark, samples, on_pictures)
    writer = open_writer(model, info, table, store, token_budget, command, name, **layout)
    tokens = answer_tokens(model.processor.tokenizer, benchmark)
    checks = [f"{found['kind']}: {found['words']}" for found in info.checks]
    report = Report(ambiguous_tasks=ambiguous_tasks(tokens), checks=checks)
    shards = owned_shards(writer.missing, rank, world)
    on_plan(writer, shards)
    for number in shards:
        rows = [samples[row] for row in writer.plan.rows(number)]
        shard = Shard.empty(len(rows), *writer.plan.shape[1:], writer.classes)
        for start in range(0, len(rows), WINDOW):
            window = range(start, min(start + WINDOW, len(rows)))
            inputs = _prepare_window(model, rows, window, shard, report)
            answers = {place: tokens[rows[place].task] for place in inputs}
            pictures = [len(sample.images) for sample in rows]
            _run_window(model, inputs, answers, pictures, token_budget, shard)
            on_samples(len(window))
        # One refused sample is its own fault; nothing but refused samples from the start is the model's.
        if (shard.status == Status.REJECTED).all() and len(writer.missing) == writer.plan.shards:
            raise ModelError(f"the model's processor refuses every sample of shard {number}:\n  {report.failures[-1]}")
        writer.write(number, shard)
        report.statuses.update(Status(status).name for status in shard.status.tolist())
    return report


def _prepare_window(
    model: LoadedModel, rows: Sequence[Sample], window: range, shard: Shard, report: Report
) -> dict[int, dict[str, Tensor]]:
    """Return the model inputs of the window's samples by place; a sample that fails gets its status instead."""
    inputs = {}
    for place in window:
        sample = rows[place]
        try:
            pictures = [load_picture(image) for image in sample.images]
            inputs[place] = prepare(model.processor, pictures, sample.question)
        except PictureError as error:
            shard.status[place] = Status[error.code.upper()]
            report.failures.append(f"{sample.sample_id}: {error.code}: {error}")
        except ValueError as error:
            shard.status[place] = Status.REJECTED
            report.failures.append(f"{sample.sample_id}: rejected: {error}")
    return inputs


def _run_window(
    model: LoadedModel,
    inputs: Mapping[int, dict[str, Tensor]],
    answers: Mapping[int, list[int] | None],
    pictures: Sequence[int],
    token_budget: int,
    shard: Shard,
) -> None:
    """Run the samples of a window in batches of like length."""
    order = list(inputs)
    lengths = [inputs[place]["input_ids"].shape[1] for place in order]
    same_pictures = rules(model.model.config.model_type).same_pictures
    kinds = [pictures[place] for place in order] if same_pictures else None
    for batch in plan_batches(lengths, token_budget, kinds):
        places = [order[number] for number in batch]
        batch_inputs = _to_device(model, [inputs[place] for place in places])
        _run_batch(model, batch_inputs, places, [answers[place] for place in places], shard)


def _to_device(model: LoadedModel, inputs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    batch = collate(inputs, model.processor.tokenizer.pad_token_id)
    return {
        name: tensor.to(model.device, model.model.dtype if tensor.is_floating_point() else None)
        for name, tensor in batch.items()
    }


def _run_batch(
    model: LoadedModel, inputs: Mapping[str, Tensor], places: list[int], tokens: list[list[int] | None], shard: Shard
) -> None:
    """Run one batch and put vectors, logits and lengths at their places in the shard."""
    last = last_real_token(inputs["attention_mask"])
    with (
        capture_heads(model.projections, last) as vectors,
        last_position_only(model.model, last),
        torch.inference_mode(),
    ):
        logits = model.model(**inputs, use_cache=False).logits[:, -1]
    log_probabilities = logits.float().log_softmax(-1).cpu().numpy()
    lengths = inputs["attention_mask"].sum(1).tolist()
    outputs = vectors.float().cpu().numpy()
    for row, place in enumerate(places):
        shard.put(place, outputs[row])
        shard.n_tokens[place] = lengths[row]
        answers = tokens[row]
        if answers is not None:
            shard.logits[place, : len(answers)] = log_probabilities[row, answers]

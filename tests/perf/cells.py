"""One model on one input: everything that is measured of the two together."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from devices import observed
from inputs import Input, make_benchmark
from official import official, single_inputs

from savs_benchmarks import Benchmark
from savs_harvest.asking.index import index_samples
from savs_harvest.batches.packing import packed_attention
from savs_harvest.batches.runner import Buffers, Runner
from savs_harvest.models.answers import find_answers
from savs_harvest.models.heads import capture_heads, last_real_token
from savs_harvest.models.last_position import token_wise_rest
from savs_harvest.models.loading import LoadedModel, compiled_layers
from savs_harvest.run.forecast import model_cost
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.settings import Settings
from savs_harvest.run.work import Work
from savs_harvest.run.writing import Keeping
from savs_stores.format.plan import SHARD_SAMPLES


@dataclass(frozen=True)
class Run:
    """What the model did with inputs that were ready: samples and operations in how many seconds, and the vectors."""

    samples: int
    operations: float
    seconds: float
    memory: int
    halved: int
    vectors: np.ndarray

    def speed(self, rate):
        """Return samples a second and the share of the operations a second that bare products of matrices reach."""
        return {"speed": self.samples / self.seconds, "share": self.operations / self.seconds / rate}


@dataclass
class Cell:
    """A model, an input, and how many samples of it: `samples` for short runs, twice as many for the main one."""

    loaded: LoadedModel
    kind: Input
    device: Any
    folder: Path
    samples: int

    @cached_property
    def double(self) -> Benchmark:
        return make_benchmark(self.kind, 2 * self.samples, self.folder / "pictures")

    @cached_property
    def single(self) -> Benchmark:
        first = list(self.double.samples())[: self.samples]
        return replace(self.double, samples=lambda: first)

    def harvest(self, benchmark, settings):
        """Run a whole harvest into a store that is thrown away; return its speed and memory.

        `speed` counts everything; `steady` begins with the end of the first batch, when all processes have started.
        """
        moments, peaks = [], []

        def count(samples):
            moments.append((time.perf_counter(), samples))
            peaks.append(self.device.peak_bytes())  # here, for every shard counts its own

        place = self.folder / "store.zarr"
        before = self.device.reset_peak()
        started = time.perf_counter()
        try:
            report = harvest(
                self.loaded,
                benchmark,
                place,
                settings,
                Keeping(shard_samples=SHARD_SAMPLES),
                listener=Listener(samples=count),
            )
            ended = time.perf_counter()
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if report.failed:
            raise RuntimeError(f"{report.failed} samples failed, first {report.failures[0]}")
        total, (first, of_first) = sum(count for _, count in moments), moments[0]
        whole = total / (ended - started)
        return {
            "speed": whole,
            "steady": (total - of_first) / (ended - first) if len(moments) > 1 else whole,
            "memory": max(peaks) - before,
        }

    def official(self, support, test):
        """Run the papers' way over a few samples; return its speed and memory."""
        chosen = [(sample.images, sample.question) for sample in self.double.samples()][: support + test]
        official(self.loaded, [], chosen[:1])  # the first call of a model is slower than all others
        before = self.device.reset_peak()
        started = time.perf_counter()
        official(self.loaded, chosen[:support], chosen[support:])
        seconds = time.perf_counter() - started
        return {"speed": len(chosen) / seconds, "memory": self.device.peak_bytes() - before}

    def work(self, settings):
        samples = list(self.single.samples())
        return Work(self.loaded, settings, self.single, samples, self.index, self.tokens)

    @cached_property
    def lengths(self):
        """Return (tokens, those of the pictures) of all samples."""
        work = self.work(Settings())
        return [work.length(row) for row in range(self.samples)]

    @cached_property
    def mean_operations(self):
        """Return the operations a sample that a harvest runs."""
        work = self.work(Settings())
        return sum(self.operations(work, *batch) for batch in self.batches(work)) / self.samples

    @cached_property
    def index(self):
        return index_samples(self.single, list(self.single.samples()))

    @cached_property
    def tokens(self):
        return find_answers(self.loaded.processor, self.single)

    @cached_property
    def cost(self):
        """Return the closed form of the forecast, what a harvest computes of last tokens only counted once a prompt."""
        merge = getattr(self.loaded.model.config.vision_config, "spatial_merge_size", 1)
        cost = model_cost(self.loaded.model, self.loaded.projections, merge**2)
        narrowed = token_wise_rest(self.loaded.model, self.loaded.projections[-1].module)
        once = 2.0 * sum(parameter.numel() for module in narrowed for parameter in module.parameters())
        return replace(cost, token=cost.token - once, prompt=cost.prompt + once)

    @cached_property
    def prepared(self):
        """Return (inputs of all samples, how many one process makes a second)."""
        work = self.work(Settings())
        started = time.perf_counter()
        inputs = [work.preparer.inputs(work.question(row)) for row in range(self.samples)]
        return inputs, self.samples / (time.perf_counter() - started)

    def batches(self, work):
        """Return (rows of a shard, groups) of every batch."""
        shards = [range(at, min(at + SHARD_SAMPLES, self.samples)) for at in range(0, self.samples, SHARD_SAMPLES)]
        return [(rows, groups) for rows in shards for groups in work.plan(rows)]

    def run(self, settings):
        """Run the model over all samples, their inputs being ready."""
        work = self.work(settings)
        batches = self.batches(work)
        with ExitStack() as around:
            if settings.pack:
                around.enter_context(packed_attention(self.loaded.model))
            if settings.compile:
                around.enter_context(compiled_layers(self.loaded.model))
            self._run(work, batches if settings.compile else batches[:1])  # what starts and compiles is not counted
            before = self.device.reset_peak()
            started = time.perf_counter()
            found = self._run(work, batches)
            seconds = time.perf_counter() - started
        operations = sum(self.operations(work, *batch) for batch in batches)
        return Run(self.samples, operations, seconds, self.device.peak_bytes() - before, found.halved, found.vectors)

    def _run(self, work, batches):
        runner = Runner(self.loaded, work.settings.batching(self.loaded.device))
        inputs, _ = self.prepared
        heads = sum(p.heads for p in self.loaded.projections), max(p.head_dim for p in self.loaded.projections)
        buffers = Buffers.empty(self.loaded, self.samples, heads, self.kind.classes)
        for rows, groups in batches:
            placed = [[rows[place] for place in group] for group in groups]
            work.run(runner, range(self.samples), placed, [inputs[at] for group in placed for at in group], buffers)
        found = buffers.fetch()  # waits for the device
        if found.reasons:
            raise RuntimeError(f"{len(found.reasons)} samples failed, first {next(iter(found.reasons.values()))}")
        return replace(found, vectors=found.vectors.float().numpy())

    def operations(self, work, rows, groups):
        """Return the operations of a batch: what a group shares is computed once, padding is not counted."""
        return sum(group_operations(self.cost, [work.length(rows[place]) for place in group]) for group in groups)

    def busy(self, settings, count):
        """Return (share of the clock in which the device does nothing, busy seconds an operation) over some batches."""
        work = self.work(settings)
        batches = self.batches(work)
        chosen = [batches[i] for i in sorted({*np.linspace(0, len(batches) - 1, count).round().astype(int)})]
        self._run(work, chosen[:1])
        seconds, at_work = observed(self.device, lambda: self._run(work, chosen))
        return 1 - at_work / seconds, at_work / sum(self.operations(work, *batch) for batch in chosen)

    def alone(self, count):
        """Return the vectors [sample, head, dim] of the first samples, each run alone."""
        found = []
        for sample in list(self.single.samples())[:count]:
            inputs = single_inputs(self.loaded, sample.images, sample.question)
            last = last_real_token(inputs["attention_mask"])
            with torch.inference_mode(), capture_heads(self.loaded.projections, last, stop=True) as vectors:
                self.loaded.model(**inputs, use_cache=False)
            found.append(vectors[0].float().cpu().numpy())
        return np.stack(found)


def group_operations(cost, lengths):
    """Return the operations of samples (tokens, those of their pictures) that show the same pictures."""
    shown = lengths[0][1]
    words = [total - shown for total, _ in lengths]
    pairs = shown**2 + sum(count * (count + 2 * shown) for count in words)
    tokens = shown + sum(words)
    return cost.token * tokens + cost.picture_token * shown + cost.pair * pairs + cost.prompt * len(lengths)

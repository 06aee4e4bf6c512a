"""Opening a store: the sample table, the models in it, and their vectors `[sample, head, dim]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool, Float16, Float32, Int32, UInt8, UInt32

from savs_stores import direct
from savs_stores.errors import IncompleteStoreError, StoreError
from savs_stores.heads import HeadChoice, HeadTable
from savs_stores.place import Place, StorePath, place_of
from savs_stores.plan import ShardPlan, missing_shards, runs, spans
from savs_stores.provenance import describe_provenance, read_provenances
from savs_stores.remote import faults_in_words
from savs_stores.samples import BenchmarkInfo, SampleTable
from savs_stores.schema import (
    FORMAT,
    FORMAT_VERSION,
    HEADS,
    PER_HEAD,
    PER_SAMPLE,
    PER_SHARD,
    SPLITS,
    TABLE,
    Status,
    check_array,
    read_array,
    read_arrays,
    zarr_errors_in_words,
)
from savs_stores.terminal import command, printable

BLOCK_BYTES = 16 * 2**20
# Characters of a command from elsewhere.
MOST_SHOWN = 1000
PLAIN_NAME = re.compile(r"[\w.-]+")


def open_store(path: StorePath, allow_partial: bool = False) -> Store:
    """Open a store for reading; `store[model]` gives a model's vectors.

    `allow_partial` also opens models whose harvest is not finished, with the finished samples only.
    Raises `StoreError` where there is no store, or one this version cannot read.
    """
    place = place_of(path)
    with zarr_errors_in_words(path):
        try:
            group = zarr.open_group(place.zarr, mode="r", zarr_format=3, use_consolidated=False)
        except (FileNotFoundError, zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError):
            raise StoreError(f"{path} is no store: there is no Zarr group at that place") from None
    return Store(path, place, group, allow_partial)


class Store:
    """One benchmark's samples and any number of models' vectors of them."""

    def __init__(self, path: StorePath, place: Place, group: zarr.Group, allow_partial: bool = False) -> None:
        self.path = path
        self.place = place
        self.allow_partial = allow_partial
        self._group = group
        attributes = group.attrs.asdict()
        if attributes.get("format") != FORMAT:
            raise StoreError(f"{path} is a Zarr group but no savs store: its attribute 'format' is not {FORMAT!r}")
        if attributes.get("format_version") != FORMAT_VERSION:
            raise StoreError(
                f"{path} has format version {attributes.get('format_version')}, this savs reads version "
                f"{FORMAT_VERSION}: install the savs that wrote it ({attributes.get('created_by')})"
            )
        try:
            self.index_hash: str = attributes["index_hash"]
            self.benchmark = BenchmarkInfo.from_attributes(attributes["benchmark"])
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} lacks attributes that the format asks for: {error}") from None
        self.samples = SampleTable(**{name: read_array(group, name, spec) for name, spec in TABLE.items()})

    @property
    def models(self) -> list[str]:
        with zarr_errors_in_words(f"a group in {self.path}"):
            return sorted(name for name, _ in self._group.groups())

    def __getitem__(self, model: str) -> ModelVectors:
        if model not in self.models:
            held = ", ".join(self.models) or "none yet"
            raise StoreError(f"{self.path} holds no vectors of model {model!r}; it holds: {held}")
        return ModelVectors(self, model, self._group[model])

    def peek(self, model: str, check_files: bool = True) -> ModelVectors:
        """Return a model's vectors whether finished or not, to look at its state."""
        return ModelVectors(self, model, self._group[model], allow_partial=True, check_files=check_files)

    def __repr__(self) -> str:
        benchmark, table = self.benchmark, self.samples
        counts = [(name, int(table.in_split(name).sum())) for name in SPLITS]
        tasks = ", ".join(f"{task} ({len(classes)} classes)" for task, classes in benchmark.tasks.items())
        lines = [
            f"<savs store {self.path}, format {FORMAT_VERSION}>",
            f"benchmark  {benchmark.name}: tasks {tasks}; metric {benchmark.metric}",
            f"source     {benchmark.source or 'unknown'} {benchmark.revision}".rstrip(),
            f"licence    {benchmark.licence or 'unknown'}",
            f"samples    {len(table):,}: " + ", ".join(f"{name} {count:,}" for name, count in counts if count),
        ]
        lines += [f"split      {benchmark.split}"] if benchmark.split else []
        lines += [f"check      {found['kind']}: {found['words']}" for found in benchmark.checks]
        for vectors in (self.peek(model) for model in self.models):
            lines.append(f"model      {vectors.describe()}")
            if vectors.partial and (began := vectors.provenance.get("command")):
                lines.append(f"           begun, in the store's own words, with {str(began)[:MOST_SHOWN]!r}")
            try:
                lines += [f"           {line}" for line in describe_provenance(vectors.shard_provenance)]
            except StoreError as error:  # the vectors are none the worse
                lines.append(f"           {error}")
        lines += [] if self.models else ["model      none yet"]
        lines.append('read       store["MODEL"].read(samples=..., heads=[(layer, head), ...]) -> [sample, head, dim]')
        return "\n".join(map(printable, lines))


class ModelVectors:
    """A model's head vectors of a store's samples.

    `status`, `n_tokens`, `absmax` are `[sample]`, `logits` is `[sample, class]`, `heads` is the head table.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        group: zarr.Group,
        allow_partial: bool | None = None,
        check_files: bool = True,
    ) -> None:
        self.store, self.name, self._group = store, name, group
        if lacking := sorted({"fingerprint", "identity", "provenance"} - set(group.attrs)):
            raise StoreError(f"{store.path}/{name} is no model of a savs store: it lacks the attributes {lacking}")
        self.fingerprint: str = group.attrs["fingerprint"]
        self.identity: dict[str, Any] = dict(group.attrs["identity"])
        self.provenance: dict[str, Any] = dict(group.attrs["provenance"])
        self.heads = HeadTable(**read_arrays(group, PER_HEAD))
        self._array = check_array(group, "heads", HEADS)
        if self._array.shards is None:
            raise StoreError(f"{store.path}/{name}/heads is not sharded: this is no savs store")
        samples, heads, dim = self._array.shape
        self.plan = ShardPlan(samples, heads, dim, self._array.shards[0])
        found = (samples, heads, len(self.records))
        if found != (len(store.samples), len(self.heads), self.plan.shards):
            raise StoreError(f"{store.path}/{name}/heads has shape {self.plan.shape}, the tables have other lengths")
        self._plain = direct.is_plain(self._array, self.plan)
        self.missing = missing_shards(self.records.tolist())
        self.partial = bool(self.missing)
        if self.missing and not (store.allow_partial if allow_partial is None else allow_partial):
            raise IncompleteStoreError(self._unfinished())
        if check_files:
            self._check_files()

    @cached_property
    def records(self) -> UInt32[np.ndarray, " shard"]:
        return read_array(self._group, "shard_crc32c", PER_SHARD["shard_crc32c"])

    @cached_property
    def shard_provenance(self) -> list[dict[str, Any]]:
        """How every shard was made: environment, batches, seconds, memory; {} where nothing is known."""
        return read_provenances(self._group, self.plan.shards)

    @cached_property
    def status(self) -> UInt8[np.ndarray, " sample"]:
        return self._per_sample("status")

    @cached_property
    def n_tokens(self) -> Int32[np.ndarray, " sample"]:
        return self._per_sample("n_tokens")

    @cached_property
    def absmax(self) -> Float32[np.ndarray, " sample"]:
        return self._per_sample("absmax")

    @cached_property
    def logits(self) -> Float32[np.ndarray, "sample class"]:
        """Log-probability of each class's answer as the next token; NaN past a task's classes."""
        return self._per_sample("logits")

    @cached_property
    def finished(self) -> Bool[np.ndarray, " sample"]:
        """Which samples lie in a shard that is written."""
        mask = np.ones(self.plan.samples, dtype=bool)
        for shard in self.missing:
            mask[self.plan.rows(shard)] = False
        return mask

    @cached_property
    def usable(self) -> Bool[np.ndarray, " sample"]:
        """Which samples have vectors: written, and nothing went wrong with them."""
        return self.finished & (self.status == Status.OK)

    def read(
        self,
        samples: Iterable[int] | np.ndarray | None = None,
        heads: Iterable[HeadChoice] | None = None,
        layers: Sequence[int] | None = None,
    ) -> Float16[np.ndarray, "sample head dim"]:
        """Return vectors in the order asked for: by default all finished samples and all heads.

        `samples` are indices or a mask; `heads` are flat indices or (layer, head) pairs, or name whole
        `layers`. A failed sample's vectors are NaN. The array is laid out head by head in memory.
        Raises `StoreError` for samples or heads that are not there.
        """
        if heads is not None and layers is not None:
            raise StoreError("name heads or layers, not both")
        wanted_samples = self._sample_indices(samples)
        if layers is not None:
            wanted_heads = self.heads.in_layers(layers)
        else:
            wanted_heads = self.heads.index(range(len(self.heads)) if heads is None else heads)
        sample_set, sample_place = np.unique(wanted_samples, return_inverse=True)
        head_set, head_place = np.unique(wanted_heads, return_inverse=True)
        vectors = self._read_sorted(sample_set, head_set.tolist())
        if not np.array_equal(head_place, np.arange(len(vectors))):
            vectors = vectors[head_place]
        if not np.array_equal(sample_place, np.arange(vectors.shape[1])):
            vectors = vectors[:, sample_place]
        return vectors.transpose(1, 0, 2)

    def blocks(
        self, samples: np.ndarray, heads: Sequence[int], block_bytes: int = BLOCK_BYTES
    ) -> Iterator[tuple[np.ndarray, Float16[np.ndarray, "sample head dim"]]]:
        """Yield (sample indices, vectors) over sorted samples, whole shards at a time, in bounded memory."""
        per_shard = self.plan.shard_samples * max(1, len(heads)) * self.plan.row_bytes
        shards_at_once = max(1, block_bytes // per_shard)
        window = np.asarray(samples) // (self.plan.shard_samples * shards_at_once)
        for block in np.split(samples, np.flatnonzero(np.diff(window)) + 1):
            if len(block):
                yield block, self.read(block, heads)

    def describe(self) -> str:
        """Return name, shape, progress and size in one line."""
        done = int(self.finished.sum())
        failed = int((self.finished & ~self.usable).sum())
        parts = [f"{self.name}: {self.heads.describe()}, {self._array.dtype}, {self.plan.total_bytes / 1e6:,.1f} MB"]
        parts.append(f"{done:,} of {self.plan.samples:,} samples" + (" (unfinished)" if self.missing else ""))
        if failed:
            parts.append(f"{failed:,} failed")
        return ", ".join([*parts, f"fingerprint {self.fingerprint[:12]}"])

    def __repr__(self) -> str:
        return printable(f"<vectors of {self.describe()}>")

    def _per_sample(self, name: str) -> np.ndarray:
        return read_array(self._group, name, PER_SAMPLE[name])

    def _sample_indices(self, samples: Iterable[int] | np.ndarray | None) -> np.ndarray:
        if samples is None:
            return np.flatnonzero(self.finished)
        indices = np.asarray(samples if isinstance(samples, np.ndarray) else list(samples))
        if indices.dtype == bool:
            if indices.shape != self.finished.shape:
                raise StoreError(f"a mask of samples needs shape {self.finished.shape}, got {indices.shape}")
            indices = np.flatnonzero(indices)
        if indices.ndim != 1 or (len(indices) and indices.dtype.kind not in "iu"):
            raise StoreError(f"samples are whole numbers or a mask, got {indices.dtype} of shape {indices.shape}")
        outside = indices[(indices < 0) | (indices >= self.plan.samples)]
        if len(outside):
            raise StoreError(f"there is no sample {outside[0]}: the store has {self.plan.samples}")
        indices = indices.astype(np.int64)
        if not self.finished[indices].all():
            lacking = sorted(set(indices[~self.finished[indices]].tolist()))
            raise IncompleteStoreError(f"samples {spans(lacking)} are not harvested yet; {self._unfinished()}")
        return indices

    def _read_sorted(self, samples: np.ndarray, heads: list[int]) -> Float16[np.ndarray, "head sample dim"]:
        if not len(samples) or not heads:
            return np.empty((len(heads), len(samples), self.plan.dim), dtype=np.float16)
        if self._plain:
            with faults_in_words(f"{self.store.path}/{self.name}/heads"):
                return self.store.place.read(f"{self.name}/heads", self.plan, samples, heads)
        return self._read_by_zarr(samples, heads)

    def _read_by_zarr(self, samples: np.ndarray, heads: list[int]) -> Float16[np.ndarray, "head sample dim"]:
        out = np.empty((len(heads), len(samples), self.plan.dim), dtype=np.float16)
        for shard in np.unique(samples // self.plan.shard_samples):
            places = np.flatnonzero(samples // self.plan.shard_samples == shard)
            first, last = int(samples[places[0]]), int(samples[places[-1]])
            start = 0
            for run in runs(heads):
                with zarr_errors_in_words(f"{self.store.path}/{self.name}/heads, shard {shard},"):
                    block = np.asarray(self._array[first : last + 1, run.start : run.stop])
                out[start : start + len(run), places[0] : places[-1] + 1] = block[samples[places] - first].transpose(
                    1, 0, 2
                )
                start += len(run)
        return out

    def _check_files(self) -> None:
        """Compare the size of every recorded shard file with the plan: one look each, no reading."""
        if not self._plain:
            return
        written = sorted(set(range(self.plan.shards)) - set(self.missing))
        files = [f"{self.name}/heads/{direct.shard_key(shard)}" for shard in written]
        for file, size in zip(files, self.store.place.sizes(files), strict=True):
            if size != self.plan.shard_bytes:
                raise StoreError(
                    f"{self.store.place}/{file} has {size:,} bytes, its record promises {self.plan.shard_bytes:,}: the "
                    "file was lost or cut short after the harvest. Restore it, or remove "
                    f"{self.store.place}/{self.name} and harvest again"
                )

    def _unfinished(self) -> str:
        rows = [row for shard in self.missing for row in self.plan.rows(shard)]
        # The store's own command may be from anywhere: the hint is made of what we know, `info` shows the rest, quoted.
        path, benchmark = str(self.store.path), self.store.benchmark.name
        data = ("--data", benchmark) if PLAIN_NAME.fullmatch(benchmark) else ()
        finish = (
            f"finish it with: {command('savs-harvest', 'run', '--model', self.name, '--store', path, *data)} and the "
            f"options that it began with, which {command('savs-analyze', 'info', path)} shows in the store's own words"
            if self.provenance.get("command")
            else "write it again"
        )
        return (
            f"{self.store.path} is unfinished for model {self.name!r}: {len(self.missing)} of {self.plan.shards} "
            f"shards are missing (samples {spans(rows)}). {finish}\n"
            "or read what is there with allow_partial=True (--allow-partial)"
        )

"""A model's vectors of a store's samples: read in the order asked for, each chunk checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import zarr
from jaxtyping import Bool, Float16, Float32, Int32, UInt8, UInt32

from savs_stores.errors import IncompleteStoreError, StoreError
from savs_stores.faults import faults_in_words, zarr_errors_in_words
from savs_stores.format.checksums import BESIDE, crc32c, record, wrong_heads
from savs_stores.format.choosing import sample_indices
from savs_stores.format.fingerprint import fingerprint
from savs_stores.format.heads import HeadChoice, HeadTable
from savs_stores.format.layout import COMPRESSORS
from savs_stores.format.plan import missing_shards, spans
from savs_stores.format.provenance import OF_RECORD, read_provenances
from savs_stores.format.samples import BenchmarkInfo, SampleTable
from savs_stores.format.schema import (
    HEADS,
    MODEL,
    PER_HEAD,
    PER_SAMPLE,
    PER_SHARD,
    Status,
)
from savs_stores.place import by_zarr
from savs_stores.place import local as direct
from savs_stores.place.group import Group
from savs_stores.place.keys import Place, StorePath
from savs_stores.place.model_group import check_lengths, described, is_changed, plan_of, read_texts
from savs_stores.terminal import command, counted, printable

BLOCK_BYTES = 16 * 2**20
PLAIN_NAME = re.compile(r"[\w.-]+")
RESTORE = "restore it from a copy, or write the store again ('savs-analyze verify' lists all faults)"
CHANGED = "do not match their checksum: bytes changed after they were written"


SampleChoice: TypeAlias = slice | Iterable[int] | Iterable[str] | np.ndarray


@runtime_checkable
class Holder(Protocol):
    """What vectors know of the store that holds them."""

    path: StorePath
    place: Place
    allow_partial: bool
    strict: bool
    version: int
    index_hash: str
    benchmark: BenchmarkInfo
    samples: SampleTable

    @property
    def checked(self) -> bool: ...


class ModelVectors:
    """A model's head vectors of a store's samples.

    `status`, `n_tokens`, `absmax` are `[sample]`, `logits` is `[sample, class]`, `heads` is the head table.
    """

    def __init__(self, store: Holder, name: str, allow_partial: bool | None = None, check_files: bool = True) -> None:
        self.store, self.name = store, name
        self._raw: dict[str, np.ndarray] = {}
        self._group = group = Group(store.place, name, MODEL)
        self.fingerprint, self.identity, self.provenance = described(group)
        self.plan = plan_of(group, len(store.samples))
        check_lengths(group, self.plan, store.benchmark.most_classes, store.checked)
        self.heads = HeadTable(**group.read_all(PER_HEAD))
        self.faults = list(self._faults())
        if self.faults and store.strict:
            raise StoreError(f"{group}: {self.faults[0]}; {RESTORE}")
        self._codecs = group.layout("heads", HEADS).codecs
        self._plain = direct.is_plain(group.documents["heads"], self.plan)
        self.missing = missing_shards(self.records.tolist())
        self.partial = bool(self.missing)
        if self.missing and not (store.allow_partial if allow_partial is None else allow_partial):
            raise IncompleteStoreError(self._unfinished())
        if check_files:
            self._check_files()

    def _faults(self) -> Iterator[str]:
        if is_changed(self._group, self.store.version):
            yield "its attributes, or what it says of its arrays, were changed after they were written"
        if fingerprint(self.identity) != self.fingerprint:
            yield "the fields of the identity do not give the fingerprint: they were changed after they were written"
        if self.store.checked and self.heads.hash() != self._group.attributes.get("head_table_hash"):
            yield "the head table does not give its hash: it was changed after it was written"
        if self.heads.dim != self.plan.dim:
            yield f"the vectors are {self.plan.dim} wide, the head table says {self.heads.dim}"

    @cached_property
    def records(self) -> UInt32[np.ndarray, " shard"]:
        return self._group.read("shard_crc32c", PER_SHARD["shard_crc32c"])

    @cached_property
    def checksums(self) -> UInt32[np.ndarray, "shard chunk"]:
        """What the vectors of each head, and what stands beside them, are compared with when they are read."""
        return self._group.read("chunk_crc32c", PER_SHARD["chunk_crc32c"], self.missing)

    @property
    def plain(self) -> bool:
        """Whether shards are raw arrays, whose size is known before they are written."""
        return self._plain

    def shard_fault(self, shard: int) -> str:
        """Return in words why the checksums of a shard cannot be believed, "" where they are what was written."""
        found = record(self.store.index_hash, self.fingerprint, shard, self.checksums[shard])
        return "" if found == self.records[shard] else "its checksums do not match its record"

    @cached_property
    def shard_provenance(self) -> list[dict[str, Any]]:
        """How every shard was made: environment, batches, seconds, memory; {} where nothing is known."""
        texts = read_texts(self._group, self.missing)
        if texts is None:
            return [{}] * self.plan.shards
        found = read_provenances(texts, f"{self._group}/shard_provenance")
        for shard, made in enumerate(found):
            if made.pop(OF_RECORD, self.records[shard]) != self.records[shard]:
                fault = self.shard_fault(shard) or "it is of another shard"
                raise self._damaged(shard, "shard_provenance", fault)
        return found

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
        samples: SampleChoice | None = None,
        heads: Iterable[HeadChoice] | None = None,
        layers: Sequence[int] | None = None,
    ) -> Float16[np.ndarray, "sample head dim"]:
        """Return vectors in the order asked for: by default all finished samples and all heads.

        `samples` are indices, a mask, a slice or sample ids; `heads` are flat indices or (layer, head) pairs, or name
        whole `layers`. A failed sample's vectors are NaN. The array is laid out head by head in memory.
        Raises `StoreError` for samples or heads that are not there, and for vectors that are not what was written.
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
        parts = [f"{self.name}: {self.heads.describe()}, float16, {self.plan.total_bytes / 1e6:,.1f} MB"]
        parts.append(f"{done:,} of {counted(self.plan.samples, 'sample')}" + (" (unfinished)" if self.missing else ""))
        if failed:
            parts.append(f"{failed:,} failed")
        parts += [] if self.store.checked else ["reads not checked"]
        return ", ".join([*parts, f"fingerprint {self.fingerprint[:12]}"])

    def __repr__(self) -> str:
        return printable(f"<vectors of {self.describe()}>")

    def raw(self, name: str) -> np.ndarray:
        """Return an array that stands beside the vectors, not compared with any checksum."""
        if name not in self._raw:
            self._raw[name] = self._group.read(name, PER_SAMPLE[name], self.missing, most=None)
        return self._raw[name]

    def _per_sample(self, name: str) -> np.ndarray:
        values = self.raw(name)
        for shard in sorted(set(range(self.plan.shards)) - set(self.missing)) if self.store.checked else ():
            rows = self.plan.rows(shard)
            if fault := self.shard_fault(shard) or self.beside_fault(shard, name, values[rows.start : rows.stop]):
                raise self._damaged(shard, name, fault)
        return values

    def beside_fault(self, shard: int, name: str, values: np.ndarray) -> str:
        """Return in words that what stands beside a shard's vectors is not what was written, "" where it is."""
        return "" if crc32c(values) == self.checksums[shard, len(self.heads) + BESIDE.index(name)] else CHANGED

    def _check(self, shard: int, heads: Sequence[int], chunks: Float16[np.ndarray, "head sample dim"]) -> None:
        """Raise `StoreError` naming the first head whose vectors in a shard are not what was written."""
        for place in wrong_heads(chunks, self.checksums[shard, list(heads)])[:1]:
            where = f"layer {self.heads.layer[heads[place]]}, head {self.heads.head_in_layer[heads[place]]}"
            raise self._damaged(shard, "heads", f"the vectors of {where} {CHANGED}")

    def _damaged(self, shard: int, array: str, fault: str) -> StoreError:
        record_file = f"{self._group}/shard_crc32c/c/{shard}"
        return StoreError(
            f"{self._group}/{array}, shard {shard} (samples {spans(self.plan.rows(shard))}): {fault}; "
            f"{direct.VERIFY}. Restore the store from a copy, or remove {record_file} and harvest again: "
            "that makes this shard anew"
        )

    def _sample_indices(self, samples: SampleChoice | None) -> np.ndarray:
        if samples is None:
            return np.flatnonzero(self.finished)
        indices = sample_indices(samples, self.store.samples.sample_id)
        if not self.finished[indices].all():
            lacking = sorted(set(indices[~self.finished[indices]].tolist()))
            raise IncompleteStoreError(f"samples {spans(lacking)} are not harvested yet; {self._unfinished()}")
        return indices

    def _read_sorted(self, samples: np.ndarray, heads: list[int]) -> Float16[np.ndarray, "head sample dim"]:
        if not len(samples) or not heads:
            return np.empty((len(heads), len(samples), self.plan.dim), dtype=np.float16)
        check = None
        if self.store.checked:
            for shard in np.unique(samples // self.plan.shard_samples).tolist():
                if fault := self.shard_fault(shard):
                    raise self._damaged(shard, "heads", fault)
            check = self._check
        if self._plain:
            with faults_in_words(f"{self.store.path}/{self.name}/heads"):
                return self.store.place.read(f"{self.name}/heads", self.plan, samples, heads, check)
        return by_zarr.read(self._array, f"{self._group}/heads", self.plan, samples, heads, check, self._look)

    @cached_property
    def _array(self) -> zarr.Array:
        with zarr_errors_in_words(f"{self._group}/heads"):
            return zarr.open_array(self.store.place.zarr, path=f"{self.name}/heads", mode="r", zarr_format=3)

    def _look(self, shard: int, heads: Sequence[int]) -> None:
        for codec in set(self._codecs) & set(COMPRESSORS):
            self.store.place.check_packed(f"{self.name}/heads", self.plan, shard, heads, codec)

    def _check_files(self) -> None:
        """Compare the size of every recorded shard file with the plan: one look each, no reading."""
        written = sorted(set(range(self.plan.shards)) - set(self.missing))
        files = [f"{self.name}/heads/{direct.shard_key(shard)}" for shard in written]
        for file, size in zip(files, self.store.place.sizes(files), strict=True):
            if size != self.plan.shard_bytes if self._plain else not size:
                promised = f"{self.plan.shard_bytes:,}" if self._plain else "some"
                raise StoreError(
                    f"{self.store.place}/{file} has {size:,} bytes, its record promises {promised}: the "
                    "file was lost or cut short after the harvest. Restore it, or remove "
                    f"{self.store.place}/{self.name} and harvest again"
                )

    def _unfinished(self) -> str:
        rows = [row for shard in self.missing for row in self.plan.rows(shard)]
        # The store's own command may be from anywhere: the hint is made of what we know, `info` shows the rest, quoted.
        path, name, wording = str(self.store.path), self.store.benchmark.name, self.store.benchmark.wording
        said = {"--data": name.removesuffix(f"-{wording}"), "--wording": wording}
        data = [word for option in said.items() if PLAIN_NAME.fullmatch(option[1]) for word in option]
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

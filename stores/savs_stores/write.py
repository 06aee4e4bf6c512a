"""Writing a store: the sample table once, then a model's vectors shard by shard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from savs_stores.errors import MismatchError, StoreError
from savs_stores.faults import faults_in_words
from savs_stores.format.checksums import BESIDE, checksums, record
from savs_stores.format.fingerprint import canonical, differences, fingerprint
from savs_stores.format.heads import HeadTable
from savs_stores.format.layout import TEXT_BYTES, Layout, check_size
from savs_stores.format.plan import ShardPlan, default_shard_samples, missing_shards
from savs_stores.format.provenance import OF_RECORD, read_provenances, to_text
from savs_stores.format.samples import BenchmarkInfo, SampleTable
from savs_stores.format.schema import (
    CODECS,
    FORMAT,
    FORMAT_VERSION,
    HEADS,
    MODEL,
    PER_HEAD,
    PER_SAMPLE,
    PER_SHARD,
    TABLE,
    TEXTS,
    TEXTS_HASH,
    ArraySpec,
    check_codec,
    check_model_name,
)
from savs_stores.format.shard import Shard
from savs_stores.format.texts import SampleTexts
from savs_stores.place.group import Group, seal, written
from savs_stores.place.keys import StorePath
from savs_stores.place.model_group import read_texts
from savs_stores.place.place import place_of
from savs_stores.read import Store, open_store
from savs_stores.vectors import ModelVectors

TABLE_COORDINATES = "sample_id task label split group slot"


def create_store(
    path: StorePath, benchmark: BenchmarkInfo, samples: SampleTable, texts: SampleTexts | None = None
) -> bool:
    """Write the sample table of a new store; return False where an equal one is already there.

    `texts` are kept beside it, unless they are too long; a store that is there keeps those it has.

    Raises `MismatchError` where another one is there: other samples, another order, other prompts; `StoreError`
    where it would lie in another store.
    """
    place = place_of(path)
    place.check_alone()
    if place.exists():
        _check_same_samples(path, benchmark, samples)
        return False
    if texts is not None and len(texts) != len(samples):
        raise StoreError(f"there are texts of {len(texts):,} samples, the table has {len(samples):,}")
    attributes = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "benchmark": benchmark.attributes(),
        "index_hash": samples.index_hash(benchmark),
        "created_by": f"savs {version('savs')}",
    }
    try:
        with faults_in_words(place), place.room("", samples.nbytes), place.building() as root:
            _create_table(root, samples, attributes, texts)
    except FileExistsError:  # another process was quicker: its table is checked like any earlier one
        _check_same_samples(path, benchmark, samples)
        return False
    return True


def add_model(
    path: StorePath,
    model: str,
    identity: Mapping[str, Any],
    heads: HeadTable,
    provenance: Mapping[str, Any] | None = None,
    shard_samples: int | None = None,
    codec: str = "none",
) -> ModelWriter:
    """Return a writer for a model's vectors, new or begun earlier.

    `identity` holds every field that must be equal for two vectors to be comparable; its hash is the
    fingerprint. `provenance` is kept beside it and never compared.
    Raises `MismatchError`, listing the differing fields, where the model is there with another identity,
    and where its shards are not of the `shard_samples` asked for.
    """
    check_model_name(model)
    check_codec(codec)
    store = open_store(path)
    count = len(store.samples)
    plan = ShardPlan(count, len(heads), heads.dim, shard_samples or default_shard_samples(count))
    if model not in store.models:
        attributes = {
            "fingerprint": fingerprint(identity),
            "identity": dict(identity),
            "provenance": dict(provenance or {}),
        }
        shape, place = (plan, store.benchmark.most_classes, codec, store.checked), store.place
        try:
            with faults_in_words(place), place.room(model, heads.nbytes), place.building(model) as group:
                _create_model(group, heads, attributes, *shape)
        except FileExistsError:  # another process was quicker: its group is checked like any earlier one
            pass
    writer = _begun_model(store, model, identity)
    if shard_samples not in (None, writer.plan.shard_samples):
        raise MismatchError(
            f"{path} holds {model!r} in shards of {writer.plan.shard_samples} samples, not {shard_samples}; "
            "resume without saying how many"
        )
    return writer


def _begun_model(store: Store, model: str, identity: Mapping[str, Any]) -> ModelWriter:
    begun = store.peek(model, check_files=False)
    # Through JSON, as it was written: a tuple has become a list.
    if lines := differences(begun.identity, json.loads(canonical(identity))):
        raise MismatchError(
            f"{store.path} already holds vectors of {model!r} that were made otherwise:\n  "
            + "\n  ".join(lines)
            + "\nharvest under another name (--as NAME) or into another store (--store PATH)"
        )
    return ModelWriter(begun)


class ModelWriter:
    """Writes a model's shards; `missing` are those still to be written. One writer a shard.

    A store of version 1 goes on as one: its shards get a record of their content, and no checksums.
    """

    def __init__(self, begun: ModelVectors) -> None:
        self.plan, self.classes = begun.plan, begun.store.benchmark.most_classes
        self._place, self._group = begun.store.place, Group(begun.store.place, begun.name, MODEL)
        self._of = begun.store.index_hash, begun.fingerprint
        self._checked = begun.store.checked
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(self._place.zarr, path=begun.name, mode="r+", zarr_format=3, use_consolidated=False)
            self._arrays = {name: group[name] for name in ("heads", *PER_SAMPLE, *PER_SHARD) if name in self._group}
        self._place.remove_leftovers(begun.name)

    @property
    def missing(self) -> list[int]:
        """Shards without a record."""
        return missing_shards(self.records)

    @property
    def records(self) -> list[int]:
        """The record of every shard, 0 where it is missing."""
        return self._group.read("shard_crc32c", PER_SHARD["shard_crc32c"]).tolist()

    @property
    def provenances(self) -> list[dict[str, Any]]:
        """How every shard was made, {} where it is missing or nothing is known, also where what is known is damaged."""
        try:
            texts = read_texts(self._group, self.missing) or [""] * self.plan.shards
            found = read_provenances(texts, f"{self._group}/shard_provenance")
            return [{name: value for name, value in made.items() if name != OF_RECORD} for made in found]
        except StoreError:  # it is there to warn: `verify` tells of it, a resume goes on
            return [{}] * self.plan.shards

    def write(self, shard: int, content: Shard, provenance: Mapping[str, Any] | None = None) -> None:
        """Write a whole shard: vectors, then what stands beside them, then the record that makes it exist.

        Each step is durable before the next begins, so that a record never speaks of lost bytes.
        """
        rows = self.plan.rows(shard)
        if content.heads.shape != (len(rows), *self.plan.shape[1:]):
            raise StoreError(
                f"shard {shard} needs vectors of shape {(len(rows), *self.plan.shape[1:])}, got {content.heads.shape}"
            )
        sums = checksums(content) if self._checked else None
        made = self._record(shard, content, sums)
        text = to_text(provenance, made if self._checked else None)
        place = range(shard, shard + 1)
        with zarr.config.set({"array.write_empty_chunks": True}):
            if self._arrays["shard_crc32c"][shard]:  # written again: it does not exist until it is whole once more
                self._put("shard_crc32c", shard, place, np.array([0], dtype=np.uint32))
            self._put("heads", shard, rows, content.heads)
            for name in PER_SAMPLE:
                self._put(name, shard, rows, getattr(content, name))
            if "shard_provenance" in self._arrays:
                self._put("shard_provenance", shard, place, np.array([text], dtype=object))
            if sums is not None:
                self._put("chunk_crc32c", shard, place, sums[None])
            self._put("shard_crc32c", shard, place, np.array([made], dtype=np.uint32))

    def record(self, shard: int, content: Shard) -> int:
        """Return the record that a shard of this content has."""
        return self._record(shard, content, checksums(content) if self._checked else None)

    def _record(self, shard: int, content: Shard, sums: np.ndarray | None) -> int:
        return content.record() if sums is None else record(*self._of, shard, sums)

    def _put(self, name: str, shard: int, rows: range, values: np.ndarray) -> None:
        array, where = self._arrays[name], f"{self._group.path}/{name}"
        key = "/".join(["c", str(shard), *["0"] * (array.ndim - 1)])
        needed = self.plan.shard_bytes if name == "heads" else values.nbytes
        with faults_in_words(f"{self._place}/{where}"), self._place.room(f"{where}/{key}", needed):
            array[rows.start : rows.stop] = values
            self._place.flush(where, key)


def _create(group: zarr.Group, name: str, spec: ArraySpec, shape: tuple[int, ...], **layout: Any) -> zarr.Array:
    item_bytes = TEXT_BYTES if spec.dtype.kind == "T" else spec.dtype.itemsize
    check_size(name, Layout(shape, layout.get("chunks", shape), (), item_bytes))  # what is made can be opened
    return group.create_array(
        name,
        shape=shape,
        dtype=spec.dtype,
        fill_value=spec.fill,
        dimension_names=spec.axes,
        config={"write_empty_chunks": True},
        **{"chunks": shape, "compressors": "auto", **layout},
    )


def _create_table(place: Any, samples: SampleTable, attributes: dict, texts: SampleTexts | None) -> None:
    group = zarr.create_group(place, zarr_format=3, attributes=attributes)
    for name, spec in TABLE.items():
        column = getattr(samples, name)
        _create(group, name, spec, column.shape)[:] = column
    for name in ("options", "image_hash", "prompt_hash"):
        group[name].attrs["coordinates"] = TABLE_COORDINATES
    if texts is not None and texts.fits:
        for name, spec in TEXTS.items():
            column = getattr(texts, name)
            _create(group, name, spec, column.shape)[...] = column
            group[name].attrs["coordinates"] = TABLE_COORDINATES
        # Readers from before there were texts know nothing of them: they are in a hash of their own.
        group.attrs[TEXTS_HASH] = texts.hash({name: written(group, f"{name}/") for name in TEXTS})
    seal(group, without=TEXTS)


def _create_model(
    place: Any, heads: HeadTable, attributes: dict, plan: ShardPlan, classes: int, codec: str, checked: bool
) -> None:
    group = zarr.create_group(place, zarr_format=3, attributes=attributes)
    lengths = {"shard": plan.shards, "chunk": plan.heads + len(BESIDE)}
    for name, spec in PER_HEAD.items():
        _create(group, name, spec, (plan.heads,))[:] = getattr(heads, name)
    for name, spec in PER_SAMPLE.items():
        shape = (plan.samples, classes)[: len(spec.axes)]
        _create(group, name, spec, shape, chunks=(plan.shard_samples, classes)[: len(spec.axes)])
    for name, spec in PER_SHARD.items():
        if name == "chunk_crc32c" and not checked:
            continue
        shape = tuple(lengths[axis] for axis in spec.axes)
        # It is in no checksum of ours.
        compressor = {"compressors": ZstdCodec(checksum=True)} if name == "shard_provenance" else {}
        _create(group, name, spec, shape, chunks=(1, *shape[1:]), **compressor)
    shard, inner = (plan.shard_samples, plan.heads, plan.dim), (plan.shard_samples, 1, plan.dim)
    check_size("heads", Layout(plan.shape, shard, (), HEADS.dtype.itemsize, inner))
    array = group.create_array(
        "heads",
        shape=plan.shape,
        dtype=HEADS.dtype,
        fill_value=HEADS.fill,
        dimension_names=HEADS.axes,
        chunks=inner,
        shards=shard,
        compressors=CODECS[codec],
        config={"write_empty_chunks": True},
    )
    array.attrs["coordinates"] = " ".join(PER_HEAD)
    if checked:
        group.attrs["head_table_hash"] = heads.hash()
        seal(group)


def _check_same_samples(path: StorePath, benchmark: BenchmarkInfo, samples: SampleTable) -> None:
    there = open_store(path)
    found, wanted = (
        {
            "samples": len(table),
            **{name: info.attributes()[name] for name in ("tasks", "metric", "answers")},
            "wording": info.wording,
        }
        for info, table in ((there.benchmark, there.samples), (benchmark, samples))
    )
    lines = differences(found, wanted)
    if not lines and there.index_hash == samples.index_hash(benchmark):
        return
    lines += [
        f"column {name}: differs" for name in TABLE if there.samples.column_hash(name) != samples.column_hash(name)
    ]
    raise MismatchError(
        f"{path} holds other samples of {there.benchmark.name!r} than those to be written:\n  "
        + "\n  ".join(lines)
        + "\nwrite into another store, or remove this one if it is not needed"
    )

"""Several stores of one definition of a benchmark become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs_stores.class_heads import class_vectors, write_class_vectors
from savs_stores.errors import MismatchError, StoreError
from savs_stores.format.fingerprint import differences
from savs_stores.format.samples import LISTS, SampleTable
from savs_stores.format.schema import PER_SAMPLE
from savs_stores.format.shard import Shard
from savs_stores.format.texts import SampleTexts, joined_texts, no_texts
from savs_stores.read import Store, open_store
from savs_stores.vectors import ModelVectors
from savs_stores.write import add_model, create_store

# What of the benchmarks must be the same: logits stand by class.
SAME = ("tasks", "metric", "answers", "wording", "prompt", "source", "revision", "licence")
# What is the same of one sample in several stores, besides its pictures and options.
ASKED = ("task", "prompt_hash", "label", "split", "slot")
Source = tuple[int, int]  # which store, and the row there


def join_stores(paths: Sequence[str | Path], out: str | Path) -> Store:
    """Write the samples of all stores, in their order, into a new one, with every model that all of them hold.

    A sample that stands in several, with the same id, pictures, prompt, label, split and slot, is taken once, from the
    first; groups that have such a sample in common become one. The same call goes on after a kill. Raises
    `MismatchError` where benchmarks, fingerprints or heads differ, where one id stands for two samples, and where a
    place in a group would be taken twice.
    """
    stores = [open_store(path) for path in paths]
    if len(stores) < 2:
        raise StoreError("name two stores or more to join")
    _check_same(stores)
    rows = _rows(stores)
    table = _table(stores, rows)
    create_store(out, stores[0].benchmark, table, _texts(stores, rows))
    for name in _models(stores):
        _write_model(out, [store[name] for store in stores], rows)
    return open_store(out)


def _check_same(stores: Sequence[Store]) -> None:
    first = stores[0]
    for store in stores[1:]:
        pairs = [{name: getattr(one.benchmark, name) for name in SAME} for one in (first, store)]
        if lines := differences(*({k: _plain(v) for k, v in pair.items()} for pair in pairs)):
            raise MismatchError(f"{store.path} has another benchmark than {first.path}:\n  " + "\n  ".join(lines))


def _plain(value: object) -> object:
    return (
        {key: list(of) if not isinstance(of, str) else of for key, of in value.items()}
        if isinstance(value, dict)
        else value
    )


def _models(stores: Sequence[Store]) -> list[str]:
    """Return the models that all stores hold. Raises `MismatchError` where there is none, or one is made otherwise."""
    common = [name for name in stores[0].models if all(name in store for store in stores)]
    if not common:
        raise MismatchError(f"{', '.join(str(store.path) for store in stores)} have no model in common")
    for name in common:
        first, *others = [store[name] for store in stores]
        for other in others:
            if lines := differences(first.identity, other.identity):
                raise MismatchError(f"{other.store.path} holds {name} harvested otherwise:\n  " + "\n  ".join(lines))
            if first.heads.hash() != other.heads.hash():
                raise MismatchError(f"{other.store.path} holds other heads of {name} than {first.store.path}")
    return common


def _rows(stores: Sequence[Store]) -> list[Source]:
    """Return which rows stand in the joined store; raises `MismatchError` where an id names two samples."""
    seen: dict[str, tuple[object, ...]] = {}
    rows = []
    for number, store in enumerate(stores):
        table = store.samples
        for row, name in enumerate(table.sample_id.tolist()):
            images = [image for image in table.image_hash[row].tolist() if image]
            asked = tuple(
                int(getattr(table, column)[row]) for column in ("task", "prompt_hash", "label", "split", "slot")
            )
            asked += (*images, *table.options[row].tolist())
            if name not in seen:
                seen[name] = asked
                rows.append((number, row))
            elif seen[name] != asked or not (images or _is_words(store, row)):
                raise MismatchError(f"{store.path}: the sample {name!r} is another one in a store before it")
    return rows


def _is_words(store: Store, row: int) -> bool:
    """Tell whether a sample without pictures is known to be words alone: not one whose picture cannot be read."""
    return store.texts is not None and not any(store.texts.image_path[row].tolist())


def _table(stores: Sequence[Store], rows: Sequence[Source]) -> SampleTable:
    places = [
        np.array([row for number, row in rows if number == place], dtype=np.int64) for place in range(len(stores))
    ]
    columns = {
        field.name: [getattr(store.samples, field.name)[chosen] for store, chosen in zip(stores, places, strict=True)]
        for field in fields(SampleTable)
    }
    table = SampleTable(**{name: _joined(name, found) for name, found in columns.items()})
    table = replace(table, group=_groups(stores, table.sample_id.tolist()))
    _check_slots(table, rows)
    return table


def _texts(stores: Sequence[Store], rows: Sequence[Source]) -> SampleTexts | None:
    """Return paths and questions of the samples of those stores that keep them; None where none does."""
    found = [store.texts for store in stores]
    if not any(found):
        return None
    of_store = [[row for number, row in rows if number == place] for place in range(len(stores))]
    parts = (no_texts(len(of)) if texts is None else texts.of(of) for texts, of in zip(found, of_store, strict=True))
    return joined_texts(parts)


def _groups(stores: Sequence[Store], names: Sequence[str]) -> np.ndarray:
    """Return the group of every sample of these names; groups of any stores that have a sample in common are one."""
    found: dict[str, list[Source]] = {name: [] for name in names}
    for number, store in enumerate(stores):
        for name, group in zip(store.samples.sample_id.tolist(), store.samples.group.tolist(), strict=True):
            found[name] += [(number, group)] if group >= 0 else []
    earlier: dict[Source, Source] = {}

    def first(group: Source) -> Source:
        while group in earlier:
            group = earlier[group]
        return group

    for of_sample in found.values():
        for other in of_sample[1:]:
            one, same = sorted((first(of_sample[0]), first(other)))
            if one != same:
                earlier[same] = one
    numbers: dict[Source, int] = {}
    return np.array(
        [numbers.setdefault(first(found[name][0]), len(numbers)) if found[name] else -1 for name in names], np.int32
    )


def _check_slots(table: SampleTable, rows: Sequence[Source]) -> None:
    """Raise `MismatchError` where samples of two stores would have one slot of one group."""
    stores: dict[tuple[int, int], int] = {}
    for (store, _), name, group, slot in zip(
        rows, table.sample_id.tolist(), table.group.tolist(), table.slot.tolist(), strict=True
    ):
        if group >= 0 <= slot and stores.setdefault((group, slot), store) != store:
            raise MismatchError(f"the sample {name!r} has a slot of its group that another store's sample has already")


def _joined(name: str, columns: Sequence[np.ndarray]) -> np.ndarray:
    if name in LISTS:
        width, fill = max(column.shape[1] for column in columns), 0 if name == "image_hash" else -1
        columns = [np.pad(column, ((0, 0), (0, width - column.shape[1])), constant_values=fill) for column in columns]
    return np.concatenate(columns)


def _write_model(out: str | Path, sources: Sequence[ModelVectors], rows: Sequence[Source]) -> None:
    first = sources[0]
    made: dict[str, Any] = {"joined": [str(source.store.path) for source in sources]}
    licence = first.provenance.get("licence")
    if licence and all(source.provenance.get("licence") == licence for source in sources):
        made["licence"] = licence
    writer = add_model(out, first.name, first.identity, first.heads, made)
    for shard in writer.missing:
        of_shard = [rows[row] for row in writer.plan.rows(shard)]
        content = Shard.empty(len(of_shard), len(first.heads), first.heads.dim, first.store.benchmark.most_classes)
        for number, source in enumerate(sources):
            places = [place for place, (of, _) in enumerate(of_shard) if of == number]
            there = [row for of, row in of_shard if of == number]
            if places:
                content.heads[places] = source.read(there)
                for name in PER_SAMPLE:
                    getattr(content, name)[places] = getattr(source, name)[there]
        writer.write(shard, content)
    _write_class_vectors(open_store(out)[first.name], sources)


def _write_class_vectors(vectors: ModelVectors, sources: Sequence[ModelVectors]) -> None:
    """Write the class vectors of the first store, where all hold those of the same texts."""
    first, *others = [class_vectors(source) for source in sources]
    if first and all(other and other.texts == first.texts for other in others):
        write_class_vectors(vectors, first.texts, first.read_all())

"""Class vectors: what a model's heads give for words that name a class, without a picture; one text a class."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Float16

from savs_stores.errors import MismatchError, StoreError
from savs_stores.faults import faults_in_words, zarr_errors_in_words
from savs_stores.format.checksums import crc32c, wrong_heads
from savs_stores.format.fingerprint import differences, fingerprint
from savs_stores.format.heads import HeadChoice
from savs_stores.format.layout import layout_of
from savs_stores.format.plan import ShardPlan
from savs_stores.format.schema import CLASS_HEADS
from savs_stores.place.group import METADATA, MOST_METADATA_BYTES, parsed, written
from savs_stores.place.keys import Place
from savs_stores.place.local import is_plain
from savs_stores.vectors import ModelVectors

NAME = "class_heads"
HASH = "hash"
# What the array says of itself: the texts of every task, the CRC-32C of every head, whose vectors these are.
TEXTS, SUMS, OF = "texts", "head_crc32c", "fingerprint"
RENEW = "remove it and run the harvest again: that makes it anew"

MOST_LINES = 3
# Texts stand in the zarr.json of the array; the rest of it is for the checksums of heads.
MOST_TEXT_BYTES = MOST_METADATA_BYTES - 2**20

ClassTexts = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """The vectors of texts that name classes: `texts` has, of a task, the text of every class that has one.

    Equal ones have an equal `hash`.
    """

    vectors: ModelVectors
    texts: ClassTexts
    sums: np.ndarray
    hash: str

    @property
    def where(self) -> str:
        return f"{self.vectors.store.path}/{self.vectors.name}/{NAME}"

    def read(
        self, task: str, heads: Iterable[HeadChoice] | None = None
    ) -> Float16[np.ndarray, "class head dim"] | None:
        """Return the vectors of a task's classes, in their order; None where a class has no text, or none that ran.

        Raises `StoreError` for vectors that are not what was written.
        """
        tasks = self.vectors.store.benchmark.tasks
        places = {text: place for place, text in enumerate(_rows(self.texts, tasks))}
        rows = [places[task, name] for name in tasks[task] if (task, name) in places]
        if not rows or len(rows) < len(tasks[task]):
            return None
        found = self.read_all(heads)[rows]
        return found if np.isfinite(found).all() else None

    def read_all(self, heads: Iterable[HeadChoice] | None = None) -> Float16[np.ndarray, "text head dim"]:
        """Return the vectors of all texts, in the order of tasks and their classes; NaN of one that did not run."""
        store, table, plan = self.vectors.store, self.vectors.heads, _plan(self.texts, self.vectors)
        wanted = table.index(range(len(table)) if heads is None else heads)
        heads_read, place = np.unique(np.array(wanted, dtype=np.int64), return_inverse=True)
        array, samples = f"{self.vectors.name}/{NAME}", np.arange(plan.samples)
        with faults_in_words(self.where):
            found = store.place.read(array, plan, samples, heads_read.tolist(), self._check)
        return found[place].transpose(1, 0, 2)

    def changed(self, texts: ClassTexts) -> list[str]:
        """Return of which classes these texts are others, a line each."""
        return differences(_flat(self.texts), _flat(texts))

    def check_texts(self, texts: ClassTexts) -> None:
        """Raise `MismatchError` where these are the vectors of other texts."""
        if lines := self.changed(texts):
            raise MismatchError("\n  ".join([f"{self.where} is of other texts:", *lines[:MOST_LINES]]) + f"\n{RENEW}")

    def _check(self, shard: int, heads: Sequence[int], chunks: Float16[np.ndarray, "head text dim"]) -> None:
        for place in wrong_heads(chunks, self.sums[list(heads)])[:1]:
            table, head = self.vectors.heads, heads[place]
            where = f"layer {table.layer[head]}, head {table.head_in_layer[head]}"
            raise StoreError(f"{self.where}: the vectors of {where} are not what was written; {RENEW}")


def class_vectors(vectors: ModelVectors) -> ClassVectors | None:
    """Return a model's class vectors, None where it has none. Raises `StoreError` where they are not as written."""
    store, key = vectors.store, f"{vectors.name}/{NAME}/{METADATA}"
    content = store.place.fetch({key: MOST_METADATA_BYTES})[key]
    if content is None:
        return None
    where = f"{store.path}/{vectors.name}/{NAME}"
    document = parsed(where, content)
    with zarr_errors_in_words(where):
        said = document["attributes"]
        if said[HASH] != _hash(document):
            raise StoreError(f"{where}: what it says of itself was changed after it was written; {RENEW}")
        if said[OF] != vectors.fingerprint:
            raise StoreError(f"{where} is of another model, or of another harvest of it; {RENEW}")
        found = ClassVectors(
            vectors, _checked(said[TEXTS], store.benchmark.tasks), np.array(said[SUMS], dtype=np.uint32), said[HASH]
        )
        plan = _plan(found.texts, vectors)
    layout = layout_of(where, document, CLASS_HEADS)
    if layout.shape != plan.shape or found.sums.shape != (plan.heads,) or not is_plain(document, plan):
        raise StoreError(
            f"{where} has shape {layout.shape}, or is compressed: its texts and heads ask for {plan.shape}"
        )
    return found


def check_class_texts(texts: ClassTexts) -> None:
    """Raise `StoreError` where a store cannot keep the class vectors of so long texts."""
    size = len(json.dumps({"attributes": {TEXTS: texts}}, indent=2))
    if size > MOST_TEXT_BYTES:
        count = sum(map(len, texts.values()))
        raise StoreError(
            f"the texts of {count:,} classes are {size:,} bytes, a store keeps {MOST_TEXT_BYTES:,}: a shorter "
            "--class-prompt, perhaps without {question}, names them in fewer words"
        )


def write_class_vectors(vectors: ModelVectors, texts: ClassTexts, heads: Float[np.ndarray, "text head dim"]) -> None:
    """Write the vectors of texts that name classes beside a model's, in the order of tasks and their classes.

    NaN stands for a text that could not be run; one with a number too large for float16 is written so in all heads.
    Raises `MismatchError` where there are class vectors of other texts, `StoreError` for a class that the store does
    not know, and for shapes that do not fit.
    """
    store, tasks = vectors.store, vectors.store.benchmark.tasks
    if wrong := [(task, name) for task in texts for name in texts[task] if name not in tasks.get(task, ())]:
        raise StoreError(f"{store.path} has no class {wrong[0][1]!r} in a task {wrong[0][0]!r}")
    texts = {task: dict(texts[task]) for task in texts if texts[task]}
    shape = (len(_rows(texts, tasks)), len(vectors.heads), vectors.heads.dim)
    if heads.shape != shape or not shape[0]:
        raise StoreError(f"class vectors need shape {shape}, of texts, heads and their width, got {heads.shape}")
    check_class_texts(texts)
    if found := class_vectors(vectors):
        found.check_texts(texts)
        return
    with np.errstate(over="ignore"):
        content = heads.astype(np.float16)
    content[~np.isfinite(content).all(axis=(1, 2))] = np.nan
    with faults_in_words(store.place), store.place.room(f"{vectors.name}/{NAME}", content.nbytes):
        created = _create(
            store.place, vectors.name, _plan(texts, vectors), content, {TEXTS: texts, OF: vectors.fingerprint}
        )
    if not created and class_vectors(vectors) is None:
        raise StoreError(f"{store.path}/{vectors.name}/{NAME} is there without its {METADATA}; {RENEW}")


def _create(
    place: Place, model: str, plan: ShardPlan, content: Float16[np.ndarray, "text head dim"], said: dict[str, Any]
) -> bool:
    """Say whether it is made now; else something lies there: of another process, that was quicker, or a remainder."""
    try:
        with place.building(f"{model}/{NAME}") as root:
            array = zarr.create_array(
                root,
                shape=plan.shape,
                dtype=content.dtype,
                chunks=(plan.shard_samples, 1, plan.dim),
                shards=plan.shape,
                compressors=None,
                fill_value=CLASS_HEADS.fill,
                dimension_names=CLASS_HEADS.axes,
                config={"write_empty_chunks": True},
                attributes=said | {SUMS: [crc32c(content[:, head]) for head in range(plan.heads)]},
                zarr_format=3,
            )
            array[:] = content
            array.attrs[HASH] = _hash(written(array, ""))
    except FileExistsError:
        return False
    return True


def _checked(texts: Any, tasks: Mapping[str, Sequence[str]]) -> ClassTexts:
    """Return texts of classes of these tasks; raises TypeError for anything else."""
    known = {(task, name) for task, names in tasks.items() for name in names}
    for task, of_task in texts.items():
        if not of_task or not all((task, name) in known and isinstance(of_task[name], str) for name in of_task):
            raise TypeError("its texts are none, or of no class of the store")
    return texts


def _flat(texts: ClassTexts) -> dict[str, str]:
    return {f"{task}, {name}": words for task, of_task in texts.items() for name, words in of_task.items()}


def _rows(texts: ClassTexts, tasks: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return task and class of every row: the classes that have a text, in the order of the benchmark."""
    return [(task, name) for task, classes in tasks.items() for name in classes if name in texts.get(task, ())]


def _plan(texts: ClassTexts, vectors: ModelVectors) -> ShardPlan:
    count = len(_rows(texts, vectors.store.benchmark.tasks))
    return ShardPlan(count, len(vectors.heads), vectors.heads.dim, count)


def _hash(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all that the zarr.json of the array says, but this hash itself."""
    said = {name: value for name, value in document["attributes"].items() if name != HASH}
    return fingerprint({**document, "attributes": said})

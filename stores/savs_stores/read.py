"""Opening a store: the sample table, the models in it, and their vectors `[sample, head, dim]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from html import escape

import numpy as np
from jaxtyping import Float16

from savs_moved import names
from savs_stores.class_heads import class_vectors
from savs_stores.errors import StoreError
from savs_stores.format.provenance import describe_provenance
from savs_stores.format.samples import BenchmarkInfo, SampleTable
from savs_stores.format.schema import (
    FORMAT,
    MODEL_NAME,
    SPLITS,
    TABLE,
    TEXTS,
    TEXTS_HASH,
    VERSIONS,
)
from savs_stores.format.texts import SampleTexts
from savs_stores.place.group import METADATA, Group
from savs_stores.place.keys import StorePath
from savs_stores.place.model_group import is_changed
from savs_stores.place.place import place_of
from savs_stores.terminal import counted, printable
from savs_stores.vectors import RESTORE, ModelVectors, SampleChoice

# Characters of a command from elsewhere.
MOST_SHOWN = 1000
UNCHECKED = (
    "what is read from a store of version 1 is not checked: it has no checksums to compare with "
    "('savs-analyze verify' reads and checks all of it)"
)
__getattr__ = names(__name__)  # what stood here in 0.1.0


def open_store(path: StorePath, allow_partial: bool = False, strict: bool = True) -> Store:
    """Open a store for reading; `store[model]` gives a model's vectors.

    `allow_partial` also opens models whose harvest is not finished, with the finished samples only. What is not
    `strict` opens also where the sample table or the attributes are not what was written, for `verify` to tell of.
    Raises `StoreError` where there is no store, one that this version cannot read, or one that was changed.
    """
    place = place_of(path)
    group = Group(place, "", TABLE)
    if not group.exists:
        raise StoreError(f"{path} is no store: there is no Zarr group at that place")
    return Store(path, group, allow_partial, strict)


class Store:
    """One benchmark's samples and any number of models' vectors of them.

    `faults` are in words what was changed after it was written; a store that is opened strictly has none.
    """

    def __init__(self, path: StorePath, group: Group, allow_partial: bool = False, strict: bool = True) -> None:
        self.path = path
        self.place = group.place
        self.allow_partial = allow_partial
        self.strict = strict
        attributes = group.attributes
        if attributes.get("format") != FORMAT:
            raise StoreError(f"{path} is a Zarr group but no savs store: its attribute 'format' is not {FORMAT!r}")
        version = attributes.get("format_version")
        if type(version) is not int or version not in VERSIONS:
            made_by = printable(str(attributes.get("created_by"))[:40])
            raise StoreError(
                f"{path} has format version {printable(str(version)[:20])}, this savs reads versions "
                f"{' and '.join(map(str, VERSIONS))}: install the savs that wrote it ({made_by})"
            )
        self.version: int = version
        try:
            self.index_hash: str = attributes["index_hash"]
            self.benchmark = BenchmarkInfo.from_attributes(attributes["benchmark"])
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} lacks attributes that the format asks for: {error}") from None
        self.samples = SampleTable(**group.read_all(TABLE)).of(self.benchmark)
        self.faults = list(self._faults(group))
        if self.faults and strict:
            raise StoreError(f"{path}: {self.faults[0]}; {RESTORE}")

    def _faults(self, group: Group) -> Iterator[str]:
        if is_changed(group, self.version):
            yield "the attributes of the store, or what it says of its arrays, were changed after they were written"
        if self.samples.index_hash(self.benchmark) != self.index_hash:
            yield "the sample table does not give the index hash of the store: it was changed after it was written"
        if fault := self.samples.fault(self.benchmark):
            yield fault

    @property
    def checked(self) -> bool:
        """Whether everything that is read is compared with a checksum; stores of version 1 have none."""
        return self.version != 1

    @cached_property
    def texts(self) -> SampleTexts | None:
        """The paths of pictures and the questions, read when they are asked for; None where the store keeps none.

        Raises `StoreError` where they are not what was written.
        """
        root = Group(self.place, "", TEXTS)
        if TEXTS_HASH not in root.attributes:
            return None
        found = SampleTexts(**{name: root.read(name, spec) for name, spec in TEXTS.items()})
        if len(found) != len(self.samples) or found.hash(root.documents) != root.attributes[TEXTS_HASH]:
            raise StoreError(f"{self.path}: the paths and questions of its samples were changed; {RESTORE}")
        return found

    @property
    def models(self) -> list[str]:
        known = {METADATA, *TABLE}
        names = [name for name in sorted(self.place.names() - known) if MODEL_NAME.fullmatch(name)]
        return [name for name in names if Group(self.place, name, ()).exists]

    def __getitem__(self, model: str) -> ModelVectors:
        if model not in self.models:
            held = ", ".join(self.models) or "none yet"
            raise StoreError(f"{self.path} holds no vectors of model {model!r}; it holds: {held}")
        return ModelVectors(self, model)

    def __contains__(self, model: object) -> bool:
        return model in self.models

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def read(
        self, models: Iterable[str] | None = None, samples: SampleChoice | None = None
    ) -> dict[str, Float16[np.ndarray, "sample head dim"]]:
        """Return the vectors of several models, by default all, of the same samples side by side.

        By default of the samples that all of them have finished. Raises as `ModelVectors.read`.
        """
        chosen = [self[model] for model in (self.models if models is None else models)]
        finished = np.logical_and.reduce([vectors.finished for vectors in chosen]) if chosen else None
        return {vectors.name: vectors.read(finished if samples is None else samples) for vectors in chosen}

    def peek(self, model: str, check_files: bool = True) -> ModelVectors:
        """Return a model's vectors whether finished or not, to look at its state."""
        return ModelVectors(self, model, allow_partial=True, check_files=check_files)

    def __repr__(self) -> str:
        benchmark, table = self.benchmark, self.samples
        counts = [(name, int(table.in_split(name).sum())) for name in SPLITS]
        tasks = ", ".join(
            f"{task} ({counted(len(classes), 'class', 'classes')})" for task, classes in benchmark.tasks.items()
        )
        lines = [
            f"<savs store {self.path}, format {self.version}>",
            f"benchmark  {benchmark.name}: tasks {tasks}; metric {benchmark.metric}",
            f"source     {benchmark.source or 'unknown'} {benchmark.revision}".rstrip(),
            f"licence    {benchmark.licence or 'unknown'}",
            f"samples    {len(table):,}: " + ", ".join(f"{name} {count:,}" for name, count in counts if count),
        ]
        lines += [f"split      {benchmark.split}"] if benchmark.split else []
        lines += [f"wording    {benchmark.wording}"] if benchmark.wording else []
        lines += [f"check      {found['kind']}: {found['words']}" for found in benchmark.checks]
        for vectors in (self.peek(model) for model in self.models):
            lines.append(f"model      {vectors.describe()}")
            lines += [f"           {line}" for line in _class_texts(vectors)]
            if vectors.partial and (began := vectors.provenance.get("command")):
                lines.append(f"           begun, in the store's own words, with {str(began)[:MOST_SHOWN]!r}")
            if licence := vectors.provenance.get("licence"):
                lines.append(f"           licence {str(licence)[:MOST_SHOWN]}")
            remarks = vectors.provenance.get("remarks")
            lines += (
                [f"           {str(remark)[:MOST_SHOWN]}" for remark in remarks] if isinstance(remarks, list) else []
            )
            try:
                lines += [f"           {line}" for line in describe_provenance(vectors.shard_provenance)]
            except StoreError as error:  # the vectors are none the worse
                lines.append(f"           {error}")
        lines += [] if self.models else ["model      none yet"]
        lines += [] if self.checked else [f"warning    {UNCHECKED}"]
        lines.append('read       store["MODEL"].read(samples=..., heads=[(layer, head), ...]) -> [sample, head, dim]')
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        """Return what `print` shows as a table, for notebooks; nothing of a store is markup."""
        first, *lines = repr(self).splitlines()
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(line[:11].strip())}</th>"
            f"<td style='text-align:left'>{escape(line[11:])}</td></tr>"
            for line in lines
        )
        return f"<b>{escape(first)}</b><table>{rows}</table>"


def _class_texts(vectors: ModelVectors) -> Iterator[str]:
    """Yield in words of what texts there are class vectors, or why they cannot be read."""
    try:
        found = class_vectors(vectors)
    except StoreError as error:
        yield str(error)
        return
    for task, texts in found.texts.items() if found else ():
        [first, *_] = texts.values()
        yield f"class vectors of {counted(len(texts), 'text')} in task {task}: {first[:MOST_SHOWN]!r} ..."

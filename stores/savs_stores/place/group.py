"""A group as it lies there: what its files are, and what they say, is looked at before a value is read.

No file is believed here: not its kind, nor its size, nor the sizes that it declares.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import zarr
from zarr.api.asynchronous import open_array
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from savs_stores.errors import StoreError
from savs_stores.faults import zarr_errors_in_words
from savs_stores.format.fingerprint import fingerprint
from savs_stores.format.layout import MOST_BYTES, Layout, check_inflated, layout_of
from savs_stores.format.schema import ADDED, ArraySpec
from savs_stores.place.keys import Place

METADATA = "zarr.json"
METADATA_HASH = "metadata_hash"
MOST_METADATA_BYTES = 16 * 2**20
AT_ONCE = 1024


class Group:
    """The root of a store or a model's group, with the zarr.json files of all arrays that the format knows there."""

    def __init__(self, place: Place, path: str, names: Iterable[str]) -> None:
        self.place = place
        self.path = path
        self._prefix = f"{path}/" if path else ""
        keys = {name: f"{self._prefix}{name}/{METADATA}" for name in names}
        found = place.fetch(dict.fromkeys([self._prefix + METADATA, *keys.values()], MOST_METADATA_BYTES))
        self._own = found[self._prefix + METADATA]
        self._contents = {name: content for name, key in keys.items() if (content := found[key]) is not None}

    def __str__(self) -> str:
        return f"{self.place}/{self.path}".removesuffix("/")

    def __contains__(self, name: str) -> bool:
        return name in self._contents

    @cached_property
    def exists(self) -> bool:
        """Whether there is a group at all, be it damaged."""
        if self._own is None:
            return False
        try:
            document = parsed(str(self), self._own)
        except StoreError:
            return True
        return document.get("zarr_format") == 3 and document.get("node_type") == "group"

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What the group says of itself. Raises `StoreError` where that is no JSON object."""
        found = parsed(str(self), self._own or b"").get("attributes", {})
        if not isinstance(found, dict):
            raise StoreError(f"the attributes of {self} are no JSON object: this is no savs store")
        return found

    @cached_property
    def documents(self) -> dict[str, dict[str, Any]]:
        """What the zarr.json of each array says."""
        return {name: parsed(f"{self}/{name}", content) for name, content in self._contents.items()}

    @property
    def changed(self) -> bool:
        """Whether its zarr.json files say something else than when they were written."""
        try:
            return self.attributes.get(METADATA_HASH) != metadata_hash(self.attributes, self.documents)
        except (ValueError, RecursionError):
            return True

    def layout(self, name: str, spec: ArraySpec) -> Layout:
        """Return how an array is cut. Raises `StoreError` where it is missing, or not what the format says."""
        where = f"{self}/{name}"
        document = parsed(where, self._contents[name]) if name in self else {}
        if document.get("node_type") != "array":
            raise StoreError(f"{where} is missing: this is not a complete savs store")
        return layout_of(where, document, spec)

    def read(
        self, name: str, spec: ArraySpec, unwritten: Collection[int] = (), most: int | None = MOST_BYTES
    ) -> np.ndarray:
        """Return all values of an array; chunks that are not there hold fill values.

        It has at most so many bytes (None: any number). Chunks of `unwritten` shards are not looked at. Raises
        `StoreError` for what is damaged, or not what the format says, before memory is taken for it.
        """
        return self._read({name: spec}, unwritten, most)[name]

    def read_all(self, specs: Mapping[str, ArraySpec]) -> dict[str, np.ndarray]:
        """Return all values of arrays of equal length; one that came later into the format may be missing."""
        found = self._read({name: spec for name, spec in specs.items() if name in self or name not in ADDED})
        lengths = {name: len(values) for name, values in found.items()}
        if len(set(lengths.values())) > 1:
            raise StoreError(f"the arrays of {self} have different lengths: {lengths}")
        length = next(iter(lengths.values()))
        return {name: found.get(name, np.full(length, spec.fill, spec.dtype)) for name, spec in specs.items()}

    def _read(
        self, specs: Mapping[str, ArraySpec], unwritten: Collection[int] = (), most: int | None = MOST_BYTES
    ) -> dict[str, np.ndarray]:
        layouts = {name: self.layout(name, spec) for name, spec in specs.items()}
        files: dict[str, dict[str, bytes]] = {name: {METADATA: self._contents[name]} for name in specs}
        for name, layout in layouts.items():
            if most is not None and layout.total_bytes > most:
                shape = " x ".join(f"{length:,}" for length in layout.shape)
                raise StoreError(
                    f"{self}/{name} declares {shape} values: more than the {most:,} bytes a store may have"
                )
        lacking = frozenset(unwritten)
        wanted = (
            (name, key) for name, layout in layouts.items() for row, key in layout.chunk_keys() if row not in lacking
        )
        while some := list(islice(wanted, AT_ONCE)):
            largest = {f"{self._prefix}{name}/{key}": layouts[name].most_packed for name, key in some}
            for (name, key), content in zip(some, self.place.fetch(largest).values(), strict=True):
                if content is not None:
                    check_inflated(f"{self}/{name}/{key}", layouts[name], content)
                    files[name][key] = content
        return sync(_decoded(str(self), files))


def metadata_hash(attributes: Mapping[str, Any], documents: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all attributes of a group but this one, and of the zarr.json files of its arrays."""
    others = {name: value for name, value in attributes.items() if name != METADATA_HASH}
    return fingerprint({"attributes": others, "arrays": documents})


def parsed(where: str, content: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises `StoreError` naming the place."""
    with zarr_errors_in_words(where):
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
    return document


def seal(group: zarr.Group, without: Collection[str] = ()) -> None:
    """Write the hash over a group's metadata, when all its arrays are there."""
    arrays = {name: written(group, f"{name}/") for name in sorted(group.array_keys()) if name not in without}
    group.attrs[METADATA_HASH] = metadata_hash(written(group, "")["attributes"], arrays)


def written(group: zarr.Group | zarr.Array, prefix: str) -> dict[str, Any]:
    """Return the zarr.json of a root that is being written, or, `prefix` being "NAME/", of an array in it."""
    content = sync(group.store.get(f"{prefix}{METADATA}", default_buffer_prototype()))
    return parsed(prefix, content.to_bytes())


async def _decoded(where: str, files: Mapping[str, Mapping[str, bytes]]) -> dict[str, np.ndarray]:
    """Return the values of arrays whose files have been brought into memory."""
    buffer, found = default_buffer_prototype().buffer, {}
    for name, of_array in files.items():
        with zarr_errors_in_words(f"{where}/{name}"):
            kept = MemoryStore({key: buffer.from_bytes(content) for key, content in of_array.items()}, read_only=True)
            array = await open_array(store=kept, mode="r", zarr_format=3)
            found[name] = np.asarray(await array.getitem(...))
    return found

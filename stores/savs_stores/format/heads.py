"""The head table: which layer and place each number on the flat head axis stands for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt

from savs_stores.errors import StoreError
from savs_stores.format.schema import HEAD_KINDS, PER_HEAD

HeadChoice = int | tuple[int, int]


@dataclass(frozen=True)
class HeadTable:
    """Layer, place in the layer, width and kind of every head, in order of (layer, place)."""

    layer: Int[np.ndarray, " head"]
    head_in_layer: Int[np.ndarray, " head"]
    head_dim: Int[np.ndarray, " head"]
    kind: UInt[np.ndarray, " head"]

    def __len__(self) -> int:
        return len(self.layer)

    @classmethod
    def from_layers(cls, layers: Iterable[tuple[int, int, int] | tuple[int, int, int, str]]) -> HeadTable:
        """Build the table from (layer, heads, head_dim) or (layer, heads, head_dim, kind) of all that has heads.

        A layer that occurs again, with heads of another kind, goes on counting its heads.
        """
        rows = []
        counted: Counter[int] = Counter()
        for number, heads, width, *kind in layers:
            code = HEAD_KINDS.index(kind[0]) if kind else 0
            rows += [(number, counted[number] + head, width, code) for head in range(heads)]
            counted[number] += heads
        layer, head_in_layer, head_dim, kinds = np.array(rows, dtype=np.int16).reshape(-1, 4).T
        return cls(layer, head_in_layer, head_dim, kinds.astype(np.uint8))

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in PER_HEAD)

    def hash(self) -> str:
        """Return the SHA-256 of all columns: equal means that every place stands for the same head."""
        digest = hashlib.sha256()
        for name, spec in PER_HEAD.items():
            column = np.ascontiguousarray(getattr(self, name), dtype=spec.dtype.newbyteorder("<"))
            digest.update(f"{name} {column.shape}".encode() + column.tobytes())
        return digest.hexdigest()

    @property
    def dim(self) -> int:
        """Width of the widest head; narrower ones are zero-padded to it."""
        return int(self.head_dim.max())

    @property
    def layers(self) -> list[int]:
        return sorted(set(self.layer.tolist()))

    def index(self, heads: Iterable[HeadChoice]) -> list[int]:
        """Return flat indices of heads given as flat indices or (layer, head in layer) pairs.

        Raises `StoreError` naming a head that does not exist.
        """
        place = {pair: i for i, pair in enumerate(zip(self.layer.tolist(), self.head_in_layer.tolist(), strict=True))}
        flat = []
        for head in heads:
            found = place.get((int(head[0]), int(head[1]))) if isinstance(head, tuple) else int(head)
            if found is None or not 0 <= found < len(self):
                raise StoreError(f"there is no head {head}; {self.describe()}")
            flat.append(found)
        return flat

    def in_layers(self, layers: Sequence[int]) -> list[int]:
        """Return flat indices of all heads of the layers, in the order of the head axis."""
        if unknown := set(layers) - set(self.layers):
            raise StoreError(f"there are no layers {sorted(unknown)}; {self.describe()}")
        return np.flatnonzero(np.isin(self.layer, list(layers))).tolist()

    def describe(self) -> str:
        """Return the shape in words: `28 layers x 28 heads x 128`, and what is no plain attention to the prompt."""
        counts = sorted({int((self.layer == layer).sum()) for layer in self.layers})
        widths = sorted(set(self.head_dim.tolist()))
        shape = f"{len(self.layers)} layers x {'/'.join(map(str, counts))} heads x {'/'.join(map(str, widths))}"
        special = {kind: len(set(self.layer[self.kind == HEAD_KINDS.index(kind)])) for kind in HEAD_KINDS[2:]}
        words = ", ".join(f"{layers} layers {kind}" for kind, layers in special.items() if layers)
        return f"{shape} ({words})" if words else shape

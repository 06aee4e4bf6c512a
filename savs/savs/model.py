"""A model that gives the vectors of pictures in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float16

from savs.extras import needing_harvest

if TYPE_CHECKING:
    from savs_harvest.models.loading import LoadedModel
    from savs_harvest.run.encoding import Shown
    from savs_stores import HeadTable


@dataclass(frozen=True)
class Model:
    """A frozen vision-language model, or language model; `loaded` is what the harvest knows of it."""

    loaded: LoadedModel

    @property
    def heads(self) -> HeadTable:
        """Layer, place in the layer, width and kind of every head."""
        from savs_harvest.run.writing import head_table

        return head_table(self.loaded)

    def encode(
        self, images: Sequence[Shown | Sequence[Shown]], question: str | Sequence[str]
    ) -> Float16[np.ndarray, "sample head dim"]:
        """Return what every head gives at the last token of each prompt, as a store keeps it.

        A picture is a PIL image, an array `[height, width, 3]` of bytes, or a path; a sample may show a list of them,
        or none (`[]`: words alone, all that a language model reads). `question` is asked of all, or there is one for
        each. Raises ValueError naming the first sample that a harvest would refuse, and why.
        """
        from savs_harvest.run.encoding import encode

        return encode(self.loaded, images, question)

    def encode_blocks(
        self, images: Sequence[Shown | Sequence[Shown]], question: str | Sequence[str]
    ) -> Iterator[Float16[np.ndarray, "sample head dim"]]:
        """Yield the same, at most 256 samples at a time."""
        from savs_harvest.run.encoding import Encoder, encode_blocks

        return encode_blocks(Encoder(self.loaded), images, question)

    def __repr__(self) -> str:
        heads = self.heads
        layers = len(np.unique(heads.layer))
        return f"<savs model {self.loaded.name}: {len(heads)} heads in {layers} layers, {self.loaded.device}>"


def load_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str | None = None,
    revision: str | None = None,
    adapter: str | None = None,
    quantize: str | None = None,
    device_map: str | None = None,
) -> Model:
    """Load a model by its short name, hub id `owner/name` or folder, as `savs-harvest run --model` does.

    `quantize` is `bnb4` or `bnb8`; `device_map` puts its layers on several devices: `auto`, `balanced` or a file.
    Raises ImportError where the extra `harvest` is not installed, `ModelError` for a model that cannot be harvested.
    """
    with needing_harvest("load_model"):
        from savs_harvest.batches.layout_check import load_model as load
        from savs_harvest.models.loading import quiet_libraries
        from savs_harvest.models.specs import check_scheme, find_model, quantized

    quiet_libraries()
    check_scheme(quantize)
    return Model(load(quantized(find_model(name, adapter), quantize), device, dtype, revision, device_map=device_map))

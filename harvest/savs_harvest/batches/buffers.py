"""What the model gives for a shard, on its device until the shard is whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from savs_harvest.models.loading import LoadedModel
from savs_stores import Shard, Status


@dataclass
class Buffers:
    """Vectors [sample, head, dim], logits [sample, class] and what became of each sample of a shard.

    `batches` are the samples of each call, `halved` how many calls did not fit into memory.
    """

    vectors: Tensor
    logits: Tensor
    n_tokens: np.ndarray
    status: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    halved: int = 0

    @classmethod
    def empty(cls, model: LoadedModel, samples: int, shape: tuple[int, int], classes: int) -> Buffers:
        vectors = torch.zeros((samples, *shape), dtype=model.model.dtype, device=model.device)
        logits = torch.full((samples, classes), torch.nan, device=model.device)
        return cls(vectors, logits, np.full(samples, -1, np.int32), np.full(samples, Status.PENDING, np.uint8))

    def refuse(self, place: int, status: Status, reason: str) -> None:
        self.status[place] = status
        self.reasons[place] = reason

    def fetch(self) -> Buffers:
        """Return the same in the memory of the processor, copied at once."""
        return replace(self, vectors=self.vectors.cpu(), logits=self.logits.cpu())

    def shard(self) -> Shard:
        """Return the shard to be written. A sample that was refused keeps its row and has no vectors."""
        samples, heads, dim = self.vectors.shape
        content = Shard.empty(samples, heads, dim, self.logits.shape[1])
        content.status[:] = self.status
        for place in np.flatnonzero(self.status == Status.PENDING).tolist():
            content.put(place, self.vectors[place].float().numpy())
            content.n_tokens[place] = self.n_tokens[place]
            content.logits[place] = self.logits[place].numpy()
        return content

"""Questions with their answers, as a model is tuned on them: the loss is of the answer alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from savs_harvest.asking.preparing import Refused
from savs_harvest.errors import ModelError
from savs_harvest.models.answers import answer_tokens
from savs_harvest.models.inputs import Inputs, ended_with
from savs_harvest.run.work import Work

HELD_OUT = 4  # a quarter of the support chooses


@dataclass(frozen=True)
class Example:
    """A prompt with its answer behind it, and the answer's tokens, the one that ends the turn included."""

    row: int
    inputs: Inputs
    answer: tuple[int, ...]

    def loss(self, model: torch.nn.Module, device: torch.device) -> Tensor:
        """Return the mean cross-entropy of the answer's tokens."""
        placed = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        count = len(self.answer)
        logits = model(**placed, use_cache=False).logits[0, -count - 1 : -1].float()
        return torch.nn.functional.cross_entropy(logits, torch.tensor(self.answer, device=device))


def make_examples(work: Work, rows: Sequence[int]) -> list[Example]:
    """Return the examples of some rows. Raises `ModelError` naming the first that the processor refuses."""
    answers = {task: answer_tokens(work.model.processor, work.benchmark, task) for task in work.benchmark.tasks}
    found = []
    for row in rows:
        sample = work.samples[row]
        prepared = work.preparer.inputs(work.question(row))
        if isinstance(prepared, Refused):
            raise ModelError(f"sample {sample.sample_id} cannot be learnt from: {prepared.reason}")
        tokens = answers[sample.task][sample.label]
        found.append(Example(row, ended_with(tokens, prepared, work.model.family.answer_type), tokens))
    return found


def divided(
    labels: Int[np.ndarray, " example"], seed: int
) -> tuple[Int[np.ndarray, " learnt"], Int[np.ndarray, " held_out"]]:
    """Return the places of the examples to learn from and of those that choose: of each class a quarter, if it can."""
    held: list[int] = []
    for label in np.unique(labels):
        of_class = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        held += of_class[: len(of_class) // HELD_OUT].tolist()
    chosen = np.array(sorted(held), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def batches(count: int, size: int, seed: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of an epoch's examples, so many at a time, in an order that the seed decides."""
    order = np.random.default_rng(list(seed)).permutation(count)
    yield from (order[start : start + size].tolist() for start in range(0, count, size))

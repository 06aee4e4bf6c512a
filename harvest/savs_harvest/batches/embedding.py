"""Running an encoder: pictures by the fixed number, texts beside them, zero-shot by similarity to texts of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from savs_harvest.batches.batching import Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.runner import Failure, failure_of, run_in_halves
from savs_harvest.models.encoder_processors import PICTURE_INPUTS
from savs_harvest.models.encoders import PICTURE, TEXT, LoadedEncoder
from savs_harvest.models.families import Family
from savs_harvest.models.inputs import Inputs

PICTURES_A_CALL = 32


@dataclass(frozen=True)
class NamedClasses:
    """The classes of a task by the embeddings [class, dim] of their texts; `way` says of which texts."""

    vectors: Tensor
    way: str


@dataclass(frozen=True)
class EncoderBatching:
    """How many pictures a call may have; a sample that shows more of them has a call of its own."""

    pictures: int = PICTURES_A_CALL

    def plan(
        self, _family: Family, lengths: Sequence[tuple[int, int]], _pictures: Sequence[tuple[int, ...]]
    ) -> list[Groups]:
        """Return the batches of a shard, samples in their order; `lengths` begin with how many pictures each shows."""
        batches: list[Groups] = []
        room = 0
        for place, (shown, _) in enumerate(lengths):
            if shown > room:
                batches.append([])
                room = self.pictures
            batches[-1].append([place])
            room -= shown
        return batches

    def describe(self, _family: Family) -> dict[str, str]:
        """Return the fields of the identity that say how a sample was run together with others."""
        return {"batching": f"at most {self.pictures} pictures", "padding": "texts right"}


class EncoderRunner:
    """Runs batches of prepared samples; what fails or does not fit is run in halves, down to one sample."""

    def __init__(self, model: LoadedEncoder, batching: EncoderBatching) -> None:
        self.model, self.batching = model, batching

    def run(
        self,
        groups: Groups,
        inputs: Mapping[int, Inputs],
        answers: Mapping[int, NamedClasses | None],
        buffers: Buffers,
    ) -> None:
        """Run all groups and put embeddings, logits and lengths of texts at their places in the buffers."""
        run_in_halves(groups, lambda part: self._failure(part, inputs, answers, buffers), buffers)

    def _failure(
        self,
        groups: Groups,
        inputs: Mapping[int, Inputs],
        answers: Mapping[int, NamedClasses | None],
        buffers: Buffers,
    ) -> Failure | None:
        """Run groups in one call of each tower; return what became of it, and why, where it failed."""
        places = [place for group in groups for place in group]
        try:
            with torch.inference_mode():
                self._show({place: inputs[place] for place in places if PICTURE_INPUTS[0] in inputs[place]}, buffers)
                if self.model.reads_texts:
                    self._read({place: inputs[place]["input_ids"][0] for place in places}, buffers)
                for place in places:
                    if (named := answers[place]) and PICTURE_INPUTS[0] in inputs[place]:
                        self._answer(place, named, buffers)
        except (RuntimeError, ValueError) as error:
            return failure_of(error)
        buffers.batches.append(len(places))
        return None

    def _show(self, shown: Mapping[int, Inputs], buffers: Buffers) -> None:
        """Put embeddings of pictures into their head: of one picture its own, of several their units' mean."""
        if not shown:
            return
        joined = {
            name: torch.cat([each[name] for each in shown.values()])
            for name in PICTURE_INPUTS
            if name in next(iter(shown.values()))
        }
        counts = [len(each[PICTURE_INPUTS[0]]) for each in shown.values()]
        for place, found in zip(shown, self.model.of_pictures(joined).split(counts), strict=True):
            vector = found[0] if len(found) == 1 else normalize(found.float(), dim=-1).mean(0)
            buffers.vectors[place, PICTURE, : len(vector)] = vector
            buffers.n_tokens[place] = 0

    def _read(self, words: Mapping[int, Tensor], buffers: Buffers) -> None:
        """Put embeddings of texts into their head; samples of a call that are asked the same are read once."""
        texts = {tuple(tokens.tolist()): tokens for tokens in words.values()}
        found = dict(zip(texts, self.model.of_texts(list(texts.values())), strict=True))
        for place, tokens in words.items():
            vector = found[tuple(tokens.tolist())]
            buffers.vectors[place, TEXT, : len(vector)] = vector
            buffers.n_tokens[place] = len(tokens)

    def _answer(self, place: int, named: NamedClasses, buffers: Buffers) -> None:
        picture = buffers.vectors[place, PICTURE, : named.vectors.shape[1]][None]
        buffers.logits[place, : len(named.vectors)] = self.model.log_probabilities(picture, named.vectors)[0]

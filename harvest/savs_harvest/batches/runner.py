"""Running batches: samples in their layout through the model, into the buffers of a shard on the device."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from savs_harvest.batches.batching import Batching, Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.layouts import (
    POSITIONS,
    Layout,
    branch_masks,
    packed,
    padded,
    positions,
    rope_positions,
    shared,
)
from savs_harvest.batches.packing import segments
from savs_harvest.batches.whole_answers import score_answers
from savs_harvest.errors import ModelError
from savs_harvest.models.answers import WHOLE, Answers
from savs_harvest.models.checkpoints import in_words
from savs_harvest.models.families import most_positions
from savs_harvest.models.heads import capture_heads
from savs_harvest.models.inputs import Inputs, shows_pictures
from savs_harvest.models.last_position import last_position_only, token_wise_rest
from savs_harvest.models.loading import LoadedModel
from savs_stores import Status

# What is said where memory is full, but for torch's own error: by CUDA's libraries, and without a GPU.
FULL = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory", "DefaultCPUAllocator")
ALONE = "out_of_memory: does not fit, even alone"
# What a model raises in its own code that was never asked without a picture.
NEVER_ASKED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)
# What became of a call, and why.
Failure = tuple[Status, str]


class Runner:
    """Runs batches of prepared samples; what fails or does not fit is run in halves, down to one sample."""

    def __init__(self, model: LoadedModel, batching: Batching) -> None:
        self.model, self.batching = model, batching
        self.family = model.family
        self.most_positions = most_positions(model.model.config)
        self.pad_token = model.processor.tokenizer.pad_token_id or 0
        config = model.model.config
        self.image_token = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
        self.token_wise = [] if self.family.mixes else token_wise_rest(model.model, model.projections[-1].module)

    @property
    def shares(self) -> bool:
        """Whether samples may be branches of one row."""
        batching = self.batching
        return batching.share and not batching.pack and self.family.shares and self.image_token is not None

    def run(
        self, groups: Groups, inputs: Mapping[int, Inputs], answers: Mapping[int, Answers | None], buffers: Buffers
    ) -> None:
        """Run all groups and put vectors, logits and lengths at their places in the buffers.

        A prompt that is longer than the positions the model was made for, with its answers where those are read whole,
        is not run: it would answer, but wrongly.
        """
        inputs = self._placed(inputs, answers, buffers)
        left = [kept for group in groups if (kept := [place for place in group if place in inputs])]
        run_in_halves(left, lambda part: self._failure(part, inputs, answers, buffers), buffers)

    def _placed(
        self, inputs: Mapping[int, Inputs], answers: Mapping[int, Answers | None], buffers: Buffers
    ) -> dict[int, Inputs]:
        """Return the samples that can be run, with their positions; the others get their status."""
        placed: dict[int, Inputs] = {}
        for place, sample in inputs.items():
            try:
                found = self.with_positions(sample)
            except (RuntimeError, ValueError) as error:
                buffers.refuse(place, Status.REJECTED, f"rejected: {error}")
                continue
            behind = answered.behind if (answered := answers[place]) else 0
            if (count := positions(found) + behind) > self.most_positions:
                of_it = f", {behind:,} of them its answers'" if behind else ""
                reason = f"too_long: {count:,} positions{of_it}, the model has {self.most_positions:,}"
                buffers.refuse(place, Status.TOO_LONG, reason)
            else:
                placed[place] = found
        return placed

    def once(self, groups: Groups, inputs: Mapping[int, Inputs], buffers: Buffers) -> None:
        """Run all groups in one call, without logits; what cannot run so leaves the buffers as they are.

        Raises `ModelError` where there is no memory for it, which says nothing of the model.
        """
        ready = {place: self.with_positions(sample) for place, sample in inputs.items()}
        failure = self._failure(groups, ready, dict.fromkeys(inputs), buffers)
        if failure and failure[0] is Status.OUT_OF_MEMORY:
            raise ModelError(f"{self.model.device} has no memory for a few small prompts: is another process using it?")

    def _failure(
        self, groups: Groups, inputs: Mapping[int, Inputs], answers: Mapping[int, Answers | None], buffers: Buffers
    ) -> Failure | None:
        """Run groups in one call; return what became of it, and why, where it failed."""
        ran = []
        try:
            for part, layout in self._layouts(groups, inputs):
                places = [place for group in part for place in group]
                first = [found.first if (found := answers[place]) else None for place in places]
                self._run_layout(layout, places, first, buffers)
                self._score_whole(places, inputs, answers, buffers)
                buffers.n_tokens[places] = [inputs[place]["input_ids"].shape[1] for place in places]
                ran.append(len(places))
            buffers.batches += ran  # where a later call fails, all are run again
        except (RuntimeError, ValueError) as error:
            return failure_of(error)
        except NEVER_ASKED as error:
            if any(shows_pictures(inputs[place]) for group in groups for place in group):
                raise
            return Status.REJECTED, f"rejected: without a picture the model fails: {in_words(error)}"
        return None

    def _score_whole(
        self,
        places: Sequence[int],
        inputs: Mapping[int, Inputs],
        answers: Mapping[int, Answers | None],
        buffers: Buffers,
    ) -> None:
        for place in places:
            if (found := answers[place]) and found.way == WHOLE:
                buffers.logits[place, : len(found.tokens)] = score_answers(self, inputs[place], found.tokens)

    def _layouts(self, groups: Groups, inputs: Mapping[int, Inputs]) -> Iterator[tuple[Groups, Layout]]:
        samples = [[inputs[place] for place in group] for group in groups]
        flat = [sample for group in samples for sample in group]
        if self.batching.pack:
            yield groups, packed(flat)
            return
        together = None
        if len(flat) > len(groups) and self.image_token is not None:
            together = shared(samples, self.pad_token, self.image_token)
        if together is not None or len(flat) == len(groups):
            yield groups, together or padded(flat, self.pad_token, mask=not self.family.causal)
            return
        for group, members in zip(groups, samples, strict=True):  # the pictures come last in these prompts
            yield [group], padded(members, self.pad_token, mask=not self.family.causal)

    def with_positions(self, sample: Inputs) -> Inputs:
        """Return a sample with the positions of its tokens, where its model does not simply count them."""
        positions = rope_positions(self.model.model, sample)
        return sample if positions is None else {**sample, POSITIONS: positions}

    def _run_layout(self, layout: Layout, places: list[int], answers: list[list[int] | None], buffers: Buffers) -> None:
        """Run one call. Nothing of ours waits for the device: the next batch is laid out while this one runs."""
        place = partial(_move, device=buffers.vectors.device)
        rows, last, where = place(layout.rows), place(layout.last), place(torch.tensor(places))
        asked = place(_words_of_answers(answers, buffers.logits.shape[1]))
        wanted = any(answer is not None for answer in answers)
        with self.ready(layout) as inputs:
            with ExitStack() as around:
                vectors = around.enter_context(capture_heads(self.model.projections, last, rows, stop=not wanted))
                if wanted:
                    around.enter_context(last_position_only(self.model.model, last, rows, self.token_wise))
                output = self.model.model(**inputs, use_cache=False)
                words = output.logits[:, -1].float().log_softmax(-1)
                buffers.logits[where] = _of_answers(words, asked)
            buffers.vectors[where] = vectors

    @contextmanager
    def ready(self, layout: Layout) -> Iterator[dict[str, Tensor]]:
        """Give a layout's inputs on the model's device, with its mask, and with attention by segments where it asks."""
        place = partial(_move, device=self.model.device)
        inputs = {name: place(tensor) for name, tensor in layout.inputs.items()}
        if layout.branches is not None:
            inputs["attention_mask"] = branch_masks(place(layout.branches))
        with ExitStack() as around:
            around.enter_context(torch.inference_mode())
            if layout.segments:
                bounds = torch.tensor(layout.segments, dtype=torch.int32)
                around.enter_context(segments(layout.segments, place(bounds)))
            yield inputs


def run_in_halves(groups: Groups, attempt: Callable[[Groups], Failure | None], buffers: Buffers) -> None:
    """Run groups in one call, and what fails or does not fit in halves, down to one sample, which then is refused."""
    waiting = [groups] if groups else []
    while waiting:
        part = waiting.pop(0)
        if not (failure := attempt(part)):
            continue
        # Only here, where the failed call and all it held are gone, is there memory for another.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        buffers.halved += failure[0] is Status.OUT_OF_MEMORY
        halves = list(_halves(part))
        if not halves:
            buffers.refuse(part[0][0], *failure)
        waiting = [*halves, *waiting]


def failure_of(error: RuntimeError | ValueError) -> Failure:
    """Return what became of a call that raised this.

    Some models refuse in the call itself what their processors let through. Nothing runs after an error of CUDA,
    and a compiler that is missing is no sample's fault: these are raised.
    """
    if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in FULL):
        return Status.OUT_OF_MEMORY, ALONE
    if isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA" in str(error):
        raise error
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        raise ModelError(f"this model cannot be compiled here, leave out --compile: {error}") from error
    return Status.REJECTED, f"rejected: {error}"


def _move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on the device. Only out of pinned memory does a GPU copy while the processor goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _words_of_answers(answers: list[list[int] | None], classes: int) -> Int[Tensor, "sample class"]:
    """Return the first word of each answer, -1 where there is none."""
    return torch.tensor([[*(answer or ()), *[-1] * (classes - len(answer or ()))] for answer in answers])


def _of_answers(
    words: Float[Tensor, "sample word"], asked: Int[Tensor, "sample class"]
) -> Float[Tensor, "sample class"]:
    """Return the log-probability of each answer's first word, NaN where there is none."""
    return words.gather(1, asked.clamp(min=0)).masked_fill(asked < 0, torch.nan)


def _halves(groups: Groups) -> Iterator[Groups]:
    """Yield both halves of a batch, or of its only group; nothing where there is one sample."""
    if len(groups) > 1:
        yield groups[: len(groups) // 2]
        yield groups[len(groups) // 2 :]
    elif len(groups[0]) > 1:
        yield [groups[0][: len(groups[0]) // 2]]
        yield [groups[0][len(groups[0]) // 2 :]]

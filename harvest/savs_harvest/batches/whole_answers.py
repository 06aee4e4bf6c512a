"""Log-probabilities of whole answers: one more pass over a prompt, with every answer behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from savs_harvest.batches.layouts import Layout, common_prefix, packed, padded, shared
from savs_harvest.models.inputs import Inputs, ended_with
from savs_harvest.models.last_position import last_position_only

if TYPE_CHECKING:
    from savs_harvest.batches.runner import Runner

# Words whose probabilities are computed in one call: each needs a number for every word the model knows.
MOST_WORDS = 256


def score_answers(runner: Runner, sample: Inputs, answers: Sequence[tuple[int, ...]]) -> Tensor:
    """Return the summed log-probability [class] of the tokens of each answer behind a sample's prompt."""
    prompt, each = sample["input_ids"].shape[1], [range(number, number + 1) for number in range(len(answers))]
    together = chunks(answers, prompt, runner.batching.token_budget, runner.shares)
    parts = each if runner.family.alone else together
    return torch.cat([_score(runner, sample, [answers[number] for number in part]) for part in parts])


def chunks(answers: Sequence[Sequence[int]], prompt: int, token_budget: int, shares: bool) -> Iterator[range]:
    """Yield runs of answers that fit into one call: within the budget, with the prompt once or before each of them.

    Where the prompt comes once and alone fills most of the budget, they are within twice the prompt, see `plan_groups`.
    """
    start, token_budget = 0, max(token_budget, 2 * prompt) if shares else token_budget
    while start < len(answers):
        stop, words, tokens = start, 0, prompt if shares else 0
        while stop < len(answers):
            words += len(answers[stop])
            tokens += len(answers[stop]) + (0 if shares else prompt)
            if stop > start and (words > MOST_WORDS or tokens > token_budget):
                break
            stop += 1
        yield range(start, stop)
        start = stop


def _score(runner: Runner, sample: Inputs, answers: Sequence[tuple[int, ...]]) -> Tensor:
    prompt = sample["input_ids"].shape[1]
    # Answers that differ in their last words only are read behind the same ones.
    begun = {begin: number for number, begin in enumerate(dict.fromkeys(answer[:-1] for answer in answers))}
    samples = [runner.with_positions(ended_with(begin, sample, runner.family.answer_type)) for begin in begun]
    layout, begins = _laid_out(runner, samples)
    # The word j of an answer is read where the word before it stands: behind the prompt's last for the first.
    reads = [(begun[answer[:-1]], prompt - 1 + j) for answer in answers for j in range(len(answer))]
    device = runner.model.device
    rows, places = torch.tensor([begins(number, token) for number, token in reads], device=device).unbind(1)
    words = torch.tensor([word for answer in answers for word in answer], device=device)
    with runner.ready(layout) as inputs, last_position_only(runner.model.model, places, rows, runner.token_wise):
        logits = runner.model.model(**inputs, use_cache=False).logits[:, -1]
        each = logits.float().log_softmax(-1).gather(1, words[:, None])[:, 0]
    return torch.stack([part.sum() for part in each.split([len(answer) for answer in answers])])


def _laid_out(runner: Runner, samples: Sequence[Inputs]) -> tuple[Layout, Callable[[int, int], tuple[int, int]]]:
    """Return the samples' layout, and what says of (sample, token) in which row and place it lies."""
    lengths = [sample["input_ids"].shape[1] for sample in samples]
    if runner.batching.pack:
        starts = [0, *accumulate(lengths)]
        return packed(samples), lambda number, token: (0, starts[number] + token)
    if runner.shares and runner.image_token is not None and len(samples) > 1:
        prefix = common_prefix(samples)
        starts = [prefix, *accumulate((length - prefix for length in lengths), initial=prefix)][1:]
        layout = shared([samples], runner.pad_token, runner.image_token)
        assert layout is not None, "what the prompts differ in is answers, which show no pictures"
        return layout, lambda number, token: (0, token if token < prefix else starts[number] + token - prefix)
    return padded(samples, runner.pad_token, mask=not runner.family.causal), lambda number, token: (number, token)

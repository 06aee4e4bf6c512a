"""Batches: every sample once, within the budget; side by side they are what the processor itself would make."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from savs_harvest.batches import plan_batches
from savs_harvest.layouts import collate
from savs_harvest.prompts import conversation


@given(st.lists(st.integers(1, 3000), max_size=200), st.integers(1, 10_000))
def test_every_sample_runs_once_within_the_budget_longest_first(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert sorted(sample for batch in batches for sample in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[sample] for sample in batch) <= budget
    order = [lengths[sample] for batch in batches for sample in batch]
    assert order == sorted(order, reverse=True)


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=200), st.integers(1, 10_000))
def test_no_batch_ends_before_it_is_full(lengths, budget):
    batches = plan_batches(lengths, budget)
    for first, _ in pairwise(batches):
        assert (len(first) + 1) * max(lengths[sample] for sample in first) > budget


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 2)), max_size=50), st.integers(1, 10_000))
def test_a_batch_has_one_kind_of_sample(samples, budget):
    lengths, kinds = [length for length, _ in samples], [kind for _, kind in samples]
    batches = plan_batches(lengths, budget, kinds)
    assert sorted(sample for batch in batches for sample in batch) == list(range(len(lengths)))
    assert all(len({kinds[sample] for sample in batch}) == 1 for batch in batches)


@given(st.lists(st.integers(1, 3000), max_size=50), st.integers(1, 10_000))
def test_batches_are_the_same_each_time(lengths, budget):
    assert plan_batches(lengths, budget) == plan_batches(list(lengths), budget)


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_for_nothing_is_refused(budget):
    with pytest.raises(ValueError, match="holds no sample"):
        plan_batches([3], budget)


def test_collated_singles_are_the_processors_own_batch(model, singles, prompts):
    own = model.processor.apply_chat_template(
        [conversation(pictures, question) for pictures, question in prompts],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    batch = collate(singles, model.processor.tokenizer.pad_token_id)
    assert set(batch) == set(own)
    assert {"input_ids", "attention_mask", "pixel_values"} < set(batch)
    for name, tensor in batch.items():
        assert tensor.dtype == own[name].dtype
        assert torch.equal(tensor, own[name]), name


def test_tokens_are_padded_with_the_pad_token_and_tiles_with_zero():
    short = {
        "input_ids": torch.tensor([[1, 2]]),
        "attention_mask": torch.tensor([[1, 1]]),
        "pixels": torch.ones(1, 1, 2),
    }
    long = {
        "input_ids": torch.tensor([[3] * 4]),
        "attention_mask": torch.ones(1, 4).long(),
        "pixels": torch.ones(1, 3, 2),
    }
    batch = collate([short, long], pad_token=9)
    assert batch["input_ids"].tolist() == [[1, 2, 9, 9], [3, 3, 3, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["pixels"].tolist() == [[[1, 1], [0, 0], [0, 0]], [[1, 1]] * 3]


def test_one_sample_alone_is_not_changed(model, singles):
    batch = collate(singles[:1], 0)
    assert set(batch) == set(singles[0])
    assert all(torch.equal(batch[name], tensor) for name, tensor in singles[0].items())


def test_samples_with_different_kinds_of_input_are_refused(singles):
    without = {name: tensor for name, tensor in singles[1].items() if name != "pixel_values"}
    for pair in ([singles[0], without], [without, singles[0]]):
        with pytest.raises(KeyError):
            collate(pair, 0)

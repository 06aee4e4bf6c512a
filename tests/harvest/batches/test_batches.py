"""Batches: every sample once, within the budget; side by side they are what the processor itself would make."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from savs_harvest.batches.layouts import branch_masks, branch_numbers, collate, common_prefix, shared
from savs_harvest.batches.plan import plan_batches, plan_groups, plan_packs
from savs_harvest.models.prompts import conversation


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


@given(st.lists(st.tuples(st.integers(1, 3000), st.booleans()), max_size=50), st.integers(1, 10_000))
def test_a_packed_row_has_one_kind_of_sample(samples, budget):
    lengths, kinds = [length for length, _ in samples], [kind for _, kind in samples]
    packs = plan_packs(lengths, budget, kinds)
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    assert all(len({kinds[sample] for sample in pack}) == 1 for pack in packs)
    assert all(len(pack) == 1 or sum(lengths[sample] for sample in pack) <= budget for pack in packs)


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


# What is shared: few pictures, each with a length of its own.
samples_of_pictures = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=40)


@given(samples_of_pictures, st.lists(st.integers(1, 400), min_size=4, max_size=4), st.integers(1, 500))
def test_a_group_shows_the_same_pictures_and_stays_within_bounds(samples, sizes, budget):
    pictures = [picture for picture, _ in samples]
    own = [sizes[picture] for picture in pictures]
    lengths = [sizes[picture] + words for picture, words in samples]
    groups = plan_groups(pictures, lengths, own, budget)
    assert sorted(sample for group in groups for sample in group) == list(range(len(samples)))
    for group in groups:
        assert len({pictures[sample] for sample in group}) == 1
        assert group == sorted(group)
        cost = own[group[0]] + sum(samples[sample][1] for sample in group)
        assert len(group) == 1 or cost <= max(budget, 2 * own[group[0]])


def test_one_picture_larger_than_the_budget_is_still_shared():
    assert plan_groups(["a", "b", "a", "a"], [110, 20, 110, 110], [100, 10, 100, 100], 50) == [[0, 2, 3], [1]]


@given(st.lists(st.integers(1, 3000), max_size=200), st.integers(1, 10_000))
def test_a_pack_holds_no_padding_and_none_has_room_for_the_next(lengths, budget):
    packs = plan_packs(lengths, budget)
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    totals = [sum(lengths[sample] for sample in pack) for pack in packs]
    assert all(total <= budget or len(pack) == 1 for total, pack in zip(totals, packs, strict=True))
    for first in range(len(packs)):
        for later in packs[first + 1 :]:
            assert totals[first] + lengths[later[0]] > budget


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 6), st.integers(0, 4))
def test_a_branch_sees_the_prefix_and_itself_and_padding_itself_only(branches, prefix, padding):
    bounds = [prefix + sum(branches[:number]) for number in range(len(branches) + 1)]
    width = max(1, bounds[-1] + padding)
    owner = [-1] * prefix + [number for number, size in enumerate(branches) for _ in range(size)]
    owner += ["padding"] * (width - len(owner))

    def sees(query, key):
        if query == key:
            return True
        return key < query and "padding" not in (owner[query], owner[key]) and owner[key] in (-1, owner[query])

    expected = [[sees(query, key) for key in range(width)] for query in range(width)]
    assert branch_masks(branch_numbers(bounds, width)[None])[0, 0].tolist() == expected


def test_what_prompts_have_in_common_is_their_longest_common_beginning():
    prompts = [{"input_ids": torch.tensor([ids])} for ids in ([5, 1, 2, 3], [5, 1, 9], [5, 1, 2, 4])]
    assert common_prefix(prompts) == 2
    assert common_prefix([prompts[0], prompts[2]]) == 3
    assert common_prefix(prompts[:1]) == 4


def test_a_picture_behind_differing_words_is_not_shared():
    def sample(*ids):
        return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}

    assert shared([[sample(1, 7, 7, 2), sample(3, 7, 7, 2)]], 0, image_token=7) is None
    together = shared([[sample(1, 7, 7, 2), sample(1, 7, 7, 3, 4), sample(1, 7, 7)]], 0, image_token=7)
    assert together.inputs["input_ids"].tolist() == [[1, 7, 7, 2, 3, 4]]
    assert together.inputs["position_ids"].tolist() == [[0, 1, 2, 3, 3, 4]]
    assert (together.rows.tolist(), together.last.tolist()) == ([0, 0, 0], [3, 5, 2])

"""Samples of a family that no rule knows run together only where every layer is seen to be told what it should."""

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3MoeConfig

from kit.families import FAMILIES as BY_HAND
from kit.families import build_processor, new_model, randomize, save
from savs_harvest.batches import layout_check
from savs_harvest.batches.experts import flips, told
from savs_harvest.batches.layout_check import load_model, verified
from savs_harvest.batches.proof import Told, may_share_rows
from savs_harvest.models.families import FAMILIES, changes_far_away
from savs_harvest.models.specs import ModelSpec

BEFORE = torch.ones(3, 3, dtype=torch.bool).tril()[None, None]
LEAST = torch.finfo(torch.float32).min


@pytest.mark.parametrize(
    ("mask", "causal", "seen"),
    [
        (None, True, BEFORE),
        (None, False, torch.ones_like(BEFORE)),
        (BEFORE, True, BEFORE),
        (torch.zeros(1, 1, 3, 3).masked_fill(~BEFORE, LEAST), True, BEFORE),
        (torch.zeros(1, 1, 3, 3).masked_fill(~BEFORE, -torch.inf), True, BEFORE),
        (torch.full((1, 1, 3, 3), 0.5).masked_fill(~BEFORE, LEAST), True, None),  # it adds something of its own
    ],
)
def test_what_a_token_sees_is_read_from_any_form_of_mask(mask, causal, seen):
    found = Told(None, mask, causal, 3).seen()
    assert (found is None) if seen is None else torch.equal(found, seen)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (LlamaConfig(), False),
        (Qwen2Config(sliding_window=4096, use_sliding_window=False), False),
        (Qwen2Config(sliding_window=4096, use_sliding_window=True, max_window_layers=0), True),
        (Qwen3MoeConfig(decoder_sparse_step=1), False),
        (MistralConfig(sliding_window=10**6), True),
        (MistralConfig(sliding_window=None), False),
        (LlamaConfig(attention_chunk_size=8192), True),
        (LlamaConfig(index_topk=2048), True),
        (LlamaConfig(index_topk=0), False),
        (LlamaConfig(layer_types=["full_attention", "linear_attention"], num_hidden_layers=2), True),
    ],
)
def test_what_shows_behind_many_tokens_only_is_known_by_the_configuration(config, changes):
    assert changes_far_away(config) == changes


@pytest.fixture
def unknown(monkeypatch, tmp_path):
    """Return a function that loads a family as if no rule knew it, with another language model if one is given."""

    def load(family, text=None):
        monkeypatch.delitem(FAMILIES, family)
        if text is None:
            folder = save(family, tmp_path / "it")
        else:
            folder = tmp_path / "it"
            randomize(new_model(family, {**BY_HAND[family][0], "text_config": text})).save_pretrained(folder)
            build_processor(family).save_pretrained(folder)
        return load_model(ModelSpec("it", str(folder), "float32"), "cpu")

    return load


@pytest.mark.parametrize(
    ("family", "together"), [("qwen2_vl", True), ("llava", True), ("gemma3", False), ("qwen3_5", False)]
)
def test_a_family_without_rules_is_proven_to_allow_what_its_rules_say(family, together, unknown):
    loaded = unknown(family)
    assert (loaded.family.shares, loaded.family.packs, loaded.family.causal) == (together, together, False)
    assert loaded.remarks == ()


@pytest.mark.parametrize(("window", "shares"), [(None, True), (10**5, False)])
def test_a_window_far_longer_than_the_trial_never_shares(window, shares, unknown):
    text = BY_HAND["llava"][0]["text_config"]
    loaded = unknown("llava", {**text, "model_type": "mistral", "head_dim": 8, "sliding_window": window})
    assert may_share_rows(loaded) == loaded.family.shares == loaded.family.packs == shares


@pytest.mark.parametrize("layer", [0, 1])
def test_one_layer_that_sees_more_than_its_branch_is_enough_to_share_nothing(layer, unknown, monkeypatch):
    """However far from itself a model may be in half precision: what it is told does not round."""
    loaded = unknown("llava")
    attention = loaded.model.get_decoder().layers[layer].self_attn
    original = attention.forward

    def forward(*args, attention_mask=None, **named):
        return original(*args, attention_mask=None, **named)

    attention.forward = forward
    monkeypatch.setitem(layout_check.FARTHEST, torch.float32, torch.inf)
    assert not verified(loaded).family.shares


def test_choices_of_experts_are_compared_token_by_token():
    """Two samples of two tokens and of one, two layers; in one place the batch goes elsewhere."""
    alone = [[torch.tensor([[0, 1], [1, 2]])] * 2, [torch.tensor([[2, 3]])] * 2]
    same = torch.tensor([[0, 1], [1, 2], [2, 3], [0, 3]])  # the last one is padding
    other = torch.tensor([[0, 1], [1, 3], [2, 3], [0, 3]])
    assert flips(alone, [same, same]) == (0, 6)
    assert flips(alone, [same, other]) == (1, 6)
    assert told(0, 6) == ()
    assert told(1, 6)[0].startswith("1 of 6 choices of experts")

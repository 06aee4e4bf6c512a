"""What is captured is every head's output at the last real token, whatever the padding, and nothing stays behind."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from kit.families import FAMILIES, TEXT, build_processor, new_model, randomize
from savs_harvest.batches.layout_check import load_model
from savs_harvest.batches.layouts import collate
from savs_harvest.errors import ModelError
from savs_harvest.models.heads import (
    COUNT_NAMES,
    WIDTH_NAMES,
    capture_heads,
    check_capture,
    find_projections,
    last_real_token,
)
from savs_harvest.models.last_position import last_position_only, token_wise_rest
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec

ROUNDING = 1e-5
PER_TOKEN = {"input_ids", "attention_mask", "mm_token_type_ids"}


@pytest.mark.parametrize(
    ("mask", "last"),
    [
        ([1, 1, 1, 1], 3),
        ([1, 1, 0, 0], 1),
        ([0, 0, 1, 1], 3),
        ([1, 0, 0, 0], 0),
        ([0, 0, 0, 1], 3),
        ([0, 1, 1, 0], 2),
        ([1], 0),
    ],
)
def test_the_last_real_token_is_found_on_either_side_of_padding(mask, last):
    assert last_real_token(torch.tensor([mask, [1] * len(mask)])).tolist() == [last, len(mask) - 1]


def right_padded(model, singles):
    return collate(singles, model.processor.tokenizer.pad_token_id)


def left_padded(model, singles):
    batch = right_padded(model, singles)
    padding = (batch["attention_mask"] == 0).sum(1).tolist()
    for name in PER_TOKEN & set(batch):
        batch[name] = torch.stack([row.roll(places) for row, places in zip(batch[name], padding, strict=True)])
    return batch


SIDES = {"right": right_padded, "left": left_padded}


@pytest.fixture(params=SIDES)
def batch(request, model, singles):
    padded = SIDES[request.param](model, singles)
    assert (padded["attention_mask"] == 0).any()
    return padded


def captured(model, inputs):
    with capture_heads(model.projections, last_real_token(inputs["attention_mask"])) as vectors, torch.inference_mode():
        model.model(**inputs, use_cache=False)
    return vectors


def our_hooks(model):
    hooks = [hook for m in model.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    return sum(hook.__module__.startswith("savs_harvest") for hook in hooks)


def test_every_layer_of_both_families_is_found(model):
    assert [(p.layer, p.heads, p.head_dim) for p in model.projections] == [(0, 4, 8), (1, 4, 8)]
    assert all(p.module is p.attention.o_proj for p in model.projections)
    assert "vision" not in "".join(p.name for p in model.projections)


# Families whose heads do not follow from hidden size / heads, or are not the same in every layer.
SHAPES = {
    "qwen3_vl": ({"head_dim": 96, "hidden_size": 1024, "num_attention_heads": 16}, {96: 32}, 16),
    "gemma3": ({}, {256: 26}, 8),
    "gemma4": ({}, {256: 25, 512: 5}, 8),
    "mllama": ({}, {128: 40}, 32),
    "qwen3_5": ({}, {256: 8}, 16),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_come_from_the_modules_not_from_the_configuration(name):
    changes, layers_by_width, heads = SHAPES[name]
    config = CONFIG_MAPPING[name]()
    for field, value in changes.items():
        setattr(config.text_config, field, value)
    with torch.device("meta"):
        projections = find_projections(AutoModelForImageTextToText.from_config(config))
    widths = [p.head_dim for p in projections]
    assert {width: widths.count(width) for width in widths} == layers_by_width
    assert {p.heads for p in projections} == {heads}
    layers = [p.layer for p in projections]
    assert layers == sorted(set(layers))


class Attention(nn.Module):
    """Attention of one token only: the heads' outputs are the values."""

    def __init__(self, layer, heads, head_dim, names=("q_proj", "o_proj")):
        super().__init__()
        self.layer_idx, self.head_dim = layer, head_dim
        for name in names:
            self.add_module(name, nn.Linear(heads * head_dim, heads * head_dim, bias=False))

    def forward(self, hidden):
        return list(self.children())[-1](hidden)


def test_narrow_heads_are_zero_padded_and_layers_are_in_order():
    torch.manual_seed(0)
    model = nn.Sequential(Attention(1, heads=2, head_dim=6, names=("c_attn", "c_proj")), Attention(0, 4, 3))
    projections = find_projections(model)
    assert [(p.layer, p.heads, p.head_dim) for p in projections] == [(0, 4, 3), (1, 2, 6)]
    hidden = torch.randn(2, 5, 12)
    with capture_heads(projections, torch.tensor([4, 1])) as vectors, torch.inference_mode():
        model(hidden)
        second = model[0](hidden)
    assert vectors.shape == (2, 6, 6)
    assert torch.equal(vectors[0, 4:], hidden[0, 4].view(2, 6))
    assert torch.equal(vectors[1, 4:], hidden[1, 1].view(2, 6))
    assert torch.equal(vectors[0, :4, :3], second[0, 4].view(4, 3))
    assert not vectors[:, :4, 3:].any()


def test_a_model_without_attention_is_refused():
    with pytest.raises(ModelError, match="no attention output projection was found in Sequential"):
        find_projections(nn.Sequential(nn.Linear(3, 3)))
    broken = nn.Sequential(Attention(0, 4, 3))
    broken[0].head_dim = 5
    with pytest.raises(ModelError, match="does not hold heads 5 wide"):
        find_projections(broken)


def test_the_projection_of_captured_heads_is_the_attentions_own_output(model, batch):
    outputs = {}
    handles = [
        p.attention.register_forward_hook(lambda _m, _i, output, layer=p.layer: outputs.update({layer: output[0]}))
        for p in model.projections
    ]
    vectors = captured(model, batch)
    for handle in handles:
        handle.remove()
    last = last_real_token(batch["attention_mask"])
    for p in model.projections:
        projected = p.module(vectors[:, 4 * p.layer : 4 * p.layer + 4].flatten(1))
        torch.testing.assert_close(projected, outputs[p.layer][range(len(last)), last], rtol=0, atol=ROUNDING)


def test_captured_heads_are_attention_weights_times_values(load, family, batch, model):
    """Recompute every head from the weights of eager attention and the output of the value projection."""
    eager = load(family)
    eager.model.set_attn_implementation("eager")
    values = {}
    for p in eager.projections:
        keep = lambda _m, _i, output, layer=p.layer: values.update({layer: output})  # noqa: E731
        p.attention.v_proj.register_forward_hook(keep)
    with torch.inference_mode():
        weights = eager.model(**batch, use_cache=False, output_attentions=True).attentions
    last = last_real_token(batch["attention_mask"])
    heads = []
    for p in eager.projections:
        shared = values[p.layer].unflatten(-1, (-1, p.head_dim))  # [sample, token, key-value head, dim]
        each = shared.repeat_interleave(p.heads // shared.shape[2], dim=2)
        heads.append(torch.einsum("sht,sthd->shd", weights[p.layer][range(len(last)), :, last], each))
    expected = torch.cat(heads, dim=1)
    assert expected.std() > 0.1
    torch.testing.assert_close(captured(eager, batch), expected, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(captured(model, batch), expected, rtol=0, atol=ROUNDING)


def test_a_padded_batch_gives_what_each_sample_gives_alone(model, singles, batch):
    alone = torch.cat([captured(model, single) for single in singles])
    torch.testing.assert_close(captured(model, batch), alone, rtol=0, atol=ROUNDING)
    distances = torch.cdist(alone.flatten(1), alone.flatten(1)) + torch.eye(len(alone))
    assert distances.min() > 0.1  # no sample could be mistaken for another


def test_captured_heads_depend_on_the_picture_and_the_question(model, singles):
    first = captured(model, singles[0])
    for name in ("pixel_values", "input_ids"):
        changed = dict(singles[0])
        if name == "input_ids":
            changed[name] = changed[name].clone()
            changed[name][0, -8] += 1
        else:
            changed[name] = -changed[name]
        assert (captured(model, changed) - first).abs().max() > 1e-3


def test_no_hook_stays_behind(model, singles):
    last = last_real_token(singles[0]["attention_mask"])

    def fail_inside(context):
        with context:
            raise RuntimeError(f"{our_hooks(model.model)} hooks")

    captured(model, singles[0])
    assert our_hooks(model.model) == 0
    with pytest.raises(RuntimeError, match="2 hooks"):
        fail_inside(capture_heads(model.projections, last))
    assert our_hooks(model.model) == 0
    with pytest.raises(RuntimeError, match="1 hooks"):
        fail_inside(last_position_only(model.model, last))
    assert our_hooks(model.model) == 0
    check_capture(model.model, model.projections, singles[0])
    assert our_hooks(model.model) == 0


def test_logits_of_the_last_position_are_those_of_the_full_array(model, batch):
    last = last_real_token(batch["attention_mask"])
    with torch.inference_mode():
        full = model.model(**batch, use_cache=False).logits
        with last_position_only(model.model, last):
            cut = model.model(**batch, use_cache=False).logits
    assert cut.shape == (len(last), 1, full.shape[-1])
    torch.testing.assert_close(cut[:, 0], full[range(len(last)), last], rtol=0, atol=ROUNDING)


def test_behind_the_last_heads_only_the_last_tokens_are_computed(model, batch):
    last = last_real_token(batch["attention_mask"])
    layer = model.model.get_decoder().layers[-1]
    rest = token_wise_rest(model.model, model.projections[-1].module)
    assert rest == [layer.self_attn.o_proj, layer.mlp]
    tokens = []
    counts = [m.register_forward_hook(lambda _m, inputs, _o: tokens.append(inputs[0].shape[:-1].numel())) for m in rest]
    with torch.inference_mode():
        full = model.model(**batch, use_cache=False).logits
        with last_position_only(model.model, last, token_wise=rest):
            cut = model.model(**batch, use_cache=False).logits
    for handle in counts:
        handle.remove()
    assert tokens == [batch["input_ids"].numel()] * 2 + [len(last)] * 2
    torch.testing.assert_close(cut[:, 0], full[range(len(last)), last], rtol=0, atol=ROUNDING)


def test_nothing_is_left_out_that_a_later_layer_reads(model):
    assert token_wise_rest(model.model, model.projections[0].module) == []


def test_a_mixture_of_experts_computes_all_tokens(load):
    changed = load("qwen2vl")
    layer = changed.model.get_decoder().layers[-1]
    layer.mlp.experts = nn.ParameterList([nn.Parameter(torch.ones(2, 2))])
    assert token_wise_rest(changed.model, changed.projections[-1].module) == [layer.self_attn.o_proj]


def test_the_self_check_passes_on_both_families(model, batch):
    assert {found.kind for found in check_capture(model.model, model.projections, batch)} == {"self"}


@pytest.mark.parametrize("change", [lambda output: output * 0.9, lambda output: output.flip(-1)], ids=["gate", "mix"])
def test_the_self_check_names_a_layer_that_goes_on_after_its_projection(load, family, singles, change):
    changed = load(family)
    attention = changed.projections[1].attention
    original = attention.forward

    def gated(*args, **kwargs):
        output, *rest = original(*args, **kwargs)
        return change(output), *rest

    attention.forward = gated
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn.*cannot be captured"):
        check_capture(changed.model, changed.projections, singles[0])
    assert our_hooks(changed.model) == 0


# How many heads a layer has.

NEOX = {
    "model_type": "gpt_neox",
    **{name: TEXT[name] for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")},
    "num_attention_heads": 4,
    "hidden_size": 64,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def test_heads_of_a_layer_that_names_neither_width_nor_number_are_its_configurations(tmp_path):
    """GPT-NeoX in a llava: four heads of 16 were kept as one of 64."""
    config = {**FAMILIES["llava"][0], "text_config": NEOX}
    randomize(new_model("llava", config)).save_pretrained(tmp_path / "mine")
    build_processor("llava").save_pretrained(tmp_path / "mine")
    loaded = load_model(ModelSpec("mine", str(tmp_path / "mine"), "float32"), "cpu")
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in loaded.projections] == [
        (0, 4, 16, "self"),
        (1, 4, 16, "self"),
    ]
    attention = loaded.projections[0].attention
    for name in ("head_size", "head_dim", "num_heads", "num_attention_heads"):
        attention.__dict__.pop(name, None)
    assert [(p.heads, p.head_dim) for p in find_projections(loaded.model)] == [(4, 16), (4, 16)]


def nothing_known(attention):
    for name in (*WIDTH_NAMES, *COUNT_NAMES, "head_size", "config"):
        attention.__dict__.pop(name, None)


def test_heads_that_nobody_counts_are_refused(load):
    loaded = load("llava-ov")
    for projection in loaded.projections:
        nothing_known(projection.attention)
    assert [p.heads for p in find_projections(loaded.model)] == [4, 4]  # of the decoder's configuration
    decoder = loaded.model.get_decoder()
    decoder.config = None
    with pytest.raises(
        ModelError, match=r"layers\.0\.self_attn: neither the layer nor its configuration says how many"
    ):
        find_projections(loaded.model)


@pytest.mark.parametrize(("heads", "width"), [(8, 4), (2, 16), (1, 32)])
def test_heads_must_be_those_that_attention_returned(load, heads, width):
    loaded = load("llava-ov")
    claimed = [replace(p, heads=heads, head_dim=width) for p in loaded.projections]
    inputs = prepare(loaded.processor, [Image.new("RGB", (32, 32))], "yes")
    with pytest.raises(ModelError, match=f"returned 4 heads of 8, but {heads} heads of {width} were found"):
        check_capture(loaded.model, claimed, inputs)


INKLING2 = {
    "text_config": {
        **{name: value for name, value in TEXT.items() if name != "intermediate_size"},
        "unpadded_vocab_size": TEXT["vocab_size"],
        "num_hidden_layers": 3,
        "layer_types": ["hybrid_sliding", "hybrid", "hybrid"],
        "head_dim": 16,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 8,
        "sliding_window_size": 8,
        "rel_extent": 8,
        "d_rel": 4,
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
    },
    "vision_config": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 4,
        "projection_hidden_dim": 16,
        "text_hidden_size": TEXT["hidden_size"],
        "posemb_grid_size": 4,
    },
}


def test_an_output_projection_that_gates_first_is_captured_behind_its_gate():
    """Inkling 2: its `o_proj` had no `weight`."""
    model = randomize(new_model("inkling2", INKLING2)).eval()
    words = torch.arange(20, 31)[None]
    found = check_capture(
        model, find_projections(model), {"input_ids": words, "attention_mask": torch.ones_like(words)}
    )
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in found] == [
        (0, 4, 8, "gated"),
        (1, 4, 16, "gated"),
        (2, 4, 16, "gated"),
    ]
    assert {type(p.module) for p in found} == {nn.Linear}


class Experts(nn.Module):
    """Weights of several experts in one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 32, 32))


@pytest.mark.parametrize("output", [nn.Identity(), nn.Sequential(nn.Linear(32, 32)), Experts()])
def test_an_output_projection_without_one_matrix_is_refused_in_words(load, output):
    loaded = load("llava-ov")
    loaded.projections[1].attention.o_proj = output
    words = rf"layers\.1\.self_attn: its output projection, a {type(output).__name__}, has no single matrix"
    with pytest.raises(ModelError, match=words):
        find_projections(loaded.model)

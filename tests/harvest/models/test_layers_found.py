"""Layers of any make: what computes a head is told by its parts, and what gives no one vector a head is refused."""

import pytest
import torch
from torch import nn

from kit.zoo.build import save
from kit.zoo.trial import spec
from savs_harvest.asking.preparing import Preparer, Question, Refused
from savs_harvest.batches.layout_check import QUESTIONS, load_model, verified
from savs_harvest.errors import ModelError
from savs_harvest.models.heads import check_capture, find_projections
from savs_harvest.models.layers import decoder_of
from savs_harvest.models.prompts import prepare, sample_pictures
from savs_harvest.run.encoding import Encoder


class Attention(nn.Module):
    """Attention of one head, with these parts in front of its projection."""

    def __init__(self, *parts, shared=False, layer=0):
        super().__init__()
        self.layer_idx, self.head_dim, self.is_kv_shared_layer = layer, 4, shared
        for part in (*parts, "o_proj"):
            self.add_module(part, nn.Linear(4, 4))


class CrossAttention(Attention):
    pass


@pytest.mark.parametrize(
    ("attention", "kind"),
    [
        (Attention("q_proj", "k_proj", "v_proj"), "unknown"),
        (Attention("query_key_value"), "unknown"),
        (Attention("c_attn"), "unknown"),
        (Attention("q_proj", "k_proj", "v_proj", shared=True), "shared"),
        (Attention("q_proj", "q_norm", "k_norm"), "shared"),
        (Attention("q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"), "latent"),
        (Attention("q_proj", "kv_b_proj", shared=True), "shared"),
        (CrossAttention("q_proj", "k_proj", "v_proj"), "cross"),
    ],
)
def test_the_kind_of_a_head_is_told_by_the_parts_of_its_layer(attention, kind):
    [found] = find_projections(nn.Sequential(attention))
    assert found.kind == kind


class Wrapped(nn.Module):
    """A model around another, as many deep as asked."""

    def __init__(self, inner):
        super().__init__()
        self.language_model = inner

    def get_decoder(self):
        return self.language_model


@pytest.mark.parametrize("deep", [0, 1, 3])
def test_the_decoder_is_found_however_deep_it_lies(deep):
    inner = nn.ModuleDict({"layers": nn.ModuleList()})
    model = inner
    for _ in range(deep):
        model = Wrapped(model)
    assert decoder_of(model) is inner


@pytest.fixture
def inputs(load):
    """A model, and the inputs of a prompt about a picture."""
    loaded = load("llava-ov")
    return loaded, prepare(loaded.processor, sample_pictures(loaded.processor), "yes")


def wrapped(module, change):
    original = module.forward
    module.forward = lambda *given, **named: change(original, *given, **named)


def test_a_layer_that_runs_twice_is_refused(inputs):
    loaded, asked = inputs
    attention = loaded.projections[0].attention
    wrapped(attention, lambda run, *given, **named: (run(*given, **named), run(*given, **named))[1])
    with pytest.raises(ModelError, match=r"layers\.0\.self_attn: this layer runs 2 times for a prompt"):
        check_capture(loaded.model, loaded.projections, asked)


def test_a_layer_that_does_not_run_is_refused(inputs):
    loaded, asked = inputs
    attention = loaded.projections[1].attention
    attention.forward = lambda hidden_states, **_: (torch.zeros_like(hidden_states), None)
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn: this layer runs not at all for a prompt"):
        check_capture(loaded.model, loaded.projections, asked)


def test_a_model_that_computes_more_places_than_tokens_is_refused(inputs):
    """As GIT does, which lays the picture in front of the prompt: the last token's place would be another one."""
    loaded, asked = inputs
    projection = loaded.projections[0].attention.o_proj
    wrapped(projection, lambda run, states: run(states))
    projection.register_forward_pre_hook(lambda _, given: (torch.cat([given[0], given[0]], dim=1),), prepend=True)
    tokens = asked["input_ids"].shape[1]
    with pytest.raises(ModelError, match=f"it computes {2 * tokens} places of a prompt of {tokens} tokens"):
        check_capture(loaded.model, loaded.projections, asked)


def test_words_alone_that_break_a_models_code_cost_their_sample_only(load):
    loaded = load("llava-ov")

    def picky(run, *given, pixel_values=None, **named):
        if pixel_values is None:
            raise TypeError("forward() misses pixel_values")
        return run(*given, pixel_values=pixel_values, **named)

    wrapped(loaded.model, picky)
    shown = tuple(sample_pictures(loaded.processor))
    found = Encoder(loaded).run([Question(shown, "yes"), Question((), "yes"), Question(shown, "is it yes")])
    assert found.failed == [1]
    assert found.reason(1) == "rejected: without a picture the model fails: TypeError: forward() misses pixel_values"


def test_a_model_that_reads_the_first_picture_only_is_asked_about_one(load):
    loaded = load("llava-ov")
    preparer = Preparer(loaded.folder, torch.float32, (), False, loaded.processor, one_picture=True)
    one, two = (tuple(sample_pictures(loaded.processor) * count) for count in (1, 2))
    assert "input_ids" in preparer.inputs(Question(one, "yes"))
    refused = preparer.inputs(Question(two, "yes"))
    assert isinstance(refused, Refused)
    assert refused.reason == "rejected: 2 pictures, of which this model reads the first only"


def test_tokens_that_go_to_other_experts_beside_other_samples_are_told(tmp_path):
    loaded = load_model(spec(save("qwen3_vl_moe", tmp_path / "it")), "cpu")
    assert loaded.remarks == ()
    experts = loaded.model.get_decoder().layers[0].mlp.experts
    asked = [prepare(loaded.processor, sample_pictures(loaded.processor, size), words) for size, words in QUESTIONS]
    longest = max(each["input_ids"].shape[1] for each in asked)

    def elsewhere(_module, given):
        hidden, numbers, *rest = given
        changed = numbers.clone()
        changed[0] = (changed[0] + 1) % 4  # of the first token only, where there are several prompts
        return (hidden, changed if len(hidden) > longest else numbers, *rest)

    experts.register_forward_pre_hook(elsewhere)
    [remark] = verified(loaded).remarks
    assert remark.startswith("1 of ")
    assert "choices of experts" in remark

"""A model that ends early gives, to the bit, what the whole one gives of the layers that stay."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from kit.families import FAMILIES, save
from savs_harvest.asking.preparing import Question
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.checkpoints import load_config
from savs_harvest.models.families import FAMILIES as RULES
from savs_harvest.models.loading import load_checkpoint
from savs_harvest.models.shortened import shorten
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.encoding import Encoder

UNTESTED = {"minicpmv4_7"}  # the random checkpoints have no such family


def weights(model):
    return sum(parameter.numel() for parameter in model.model.parameters())


def vectors(model):
    pictures = [Image.radial_gradient("L").resize(size).convert("RGB") for size in ((64, 48), (48, 72))]
    questions = ("yes", "is it yes or no ?")
    found = Encoder(model).run(
        [Question((picture,), words) for picture, words in zip(pictures, questions, strict=True)]
    )
    assert not found.failed
    return found.vectors


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_that_stay_give_the_same_to_the_bit(family, tmp_path):
    spec = ModelSpec(family, str(save(family, tmp_path)), "float32")
    whole = load_checkpoint(spec, "cpu")
    depths = [projection.layer + 1 for projection in whole.projections]
    for layers in depths:
        until = replace(whole, projections=[p for p in whole.projections if p.layer < layers])
        part = load_checkpoint(spec, "cpu", layers=layers)
        assert part.remarks == whole.remarks
        assert [p.layer for p in part.projections] == [p.layer for p in until.projections]
        dim = vectors(part).shape[2]
        assert (vectors(part) == vectors(until)[:, :, :dim]).all()
        assert (weights(part) < weights(whole)) == (layers < depths[-1])


def test_every_family_that_is_shortened_is_tested():
    assert {name for name, rules in RULES.items() if rules.shortens} == set(FAMILIES)
    assert set(RULES) - set(FAMILIES) == UNTESTED


@pytest.mark.parametrize(
    ("changed", "adapter"),
    [({"num_kv_shared_layers": 1}, None), ({"hidden_size_per_layer_input": 8}, None), ({}, "lora")],
)
def test_a_model_whose_first_layers_depend_on_the_others_stays_whole(checkpoints, changed, adapter):
    config = load_config(checkpoints["qwen2vl"], "it")
    for name, value in changed.items():
        setattr(config.get_text_config(), name, value)
    assert "2 " in shorten(config, 1, adapter)
    assert config.get_text_config().num_hidden_layers == 2


def test_an_unknown_family_is_loaded_whole_and_says_so(checkpoints, monkeypatch):
    monkeypatch.delitem(RULES, "qwen2_vl")
    model = load_model(ModelSpec("it", str(checkpoints["qwen2vl"]), "float32"), "cpu", layers=1)
    assert "qwen2_vl has to be loaded whole: 2 layers where 1 would do" in model.remarks
    assert [projection.layer for projection in model.projections] == [0]
    assert len(model.model.get_decoder().layers) == 2


def test_the_call_ends_at_the_last_layer_that_is_wanted(checkpoints, monkeypatch):
    monkeypatch.delitem(RULES, "qwen2_vl")
    model = load_model(ModelSpec("it", str(checkpoints["qwen2vl"]), "float32"), "cpu", layers=1)
    ran = []
    model.model.get_decoder().layers[1].register_forward_pre_hook(lambda *_: ran.append(1))
    vectors(model)
    assert not ran


def test_only_the_heads_that_are_wanted_leave_the_device(loaded):
    model = loaded["qwen2vl"]
    asked = [Question((Image.radial_gradient("L").convert("RGB"),), "yes")]
    every, some = Encoder(model).run(asked).vectors, Encoder(model, heads=[6, 1]).run(asked).vectors
    assert some.shape == (1, 2, every.shape[2])
    assert (some == every[:, [6, 1]]).all()
    assert torch.is_tensor(Encoder(model, heads=[1]).heads)

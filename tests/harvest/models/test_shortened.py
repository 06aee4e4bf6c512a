"""A model that ends early gives, to the bit, what the whole one gives of the layers that stay."""

import json
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from fnmatch import fnmatch

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from kit.families import FAMILIES, LANGUAGE, SHORTENED, save
from savs_harvest.asking.preparing import Question
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.checkpoints import load_config
from savs_harvest.models.families import FAMILIES as RULES
from savs_harvest.models.loading import load_checkpoint
from savs_harvest.models.shards import is_behind
from savs_harvest.models.shortened import shorten
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.encoding import Encoder
from savs_harvest.run.expected import is_here

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


@pytest.fixture
def sharded(checkpoints, family, tmp_path, monkeypatch):
    """A hub of one model with a file for each layer, one for what is behind them, one for the rest; what is fetched."""
    remote, cache, fetched = tmp_path / "remote", tmp_path / ("c" * 40), set()
    shutil.copytree(checkpoints[family], remote)
    weights, files = load_file(remote / "model.safetensors"), defaultdict(dict)
    (remote / "model.safetensors").unlink()
    for name, weight in weights.items():
        layer = re.search(r"(?<!encoder\.)layers\.(\d)", name)
        end = name in ("model.norm.weight", "language_model.model.norm.weight", "model.language_model.norm.weight")
        kind = layer[1] if layer else "end" if end or "lm_head" in name else "rest"
        files[f"model-{kind}.safetensors"][name] = weight
    for file, content in files.items():
        save_file(content, remote / file, {"format": "pt"})
    index = {name: file for file, content in files.items() for name in content}
    (remote / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))

    def download(_name, revision=None, allow_patterns=None, ignore_patterns=None, local_files_only=False):
        cache.mkdir(exist_ok=True)
        for path in [] if local_files_only else remote.iterdir():
            allowed, ignored = (
                any(fnmatch(path.name, one) for one in ones or ()) for ones in (allow_patterns, ignore_patterns)
            )
            if allowed and not ignored and path.name not in fetched:
                fetched.add(path.name)
                shutil.copy(path, cache)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return ModelSpec("m", "owner/name", "float32"), fetched


def test_files_that_hold_only_what_is_behind_the_last_layer_are_not_fetched(sharded, checkpoints, family):
    """All of a model's files were downloaded once, where a few layers of it were needed."""
    spec, fetched = sharded
    part = load_checkpoint(spec, "cpu", layers=1)
    weights = {name for name in fetched if name.endswith(".safetensors")}
    assert weights == {"model-0.safetensors", "model-rest.safetensors"}
    assert is_here(spec, 1)
    assert not is_here(spec, 2)
    whole = load_checkpoint(replace(spec, checkpoint=str(checkpoints[family])), "cpu")
    until = replace(whole, projections=[p for p in whole.projections if p.layer < 1])
    assert (vectors(part) == vectors(until)).all()
    load_checkpoint(spec, "cpu")
    assert {"model-1.safetensors", "model-end.safetensors"} <= fetched
    assert is_here(spec)


def test_a_model_with_an_adapter_is_here_with_all_its_files_only(sharded):
    """An adapter changes every layer, so that files were downloaded without consent that a shorter model lacks."""
    spec, _ = sharded
    load_checkpoint(spec, "cpu", layers=1)
    assert is_here(spec, 1)
    assert not is_here(replace(spec, adapter="mine"), 1)


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("model.layers.3.mlp.up_proj.weight", True),
        ("model.layers.2.mlp.up_proj.weight", False),
        ("model.language_model.layers.11.self_attn.q_proj.weight", True),
        ("language_model.model.layers.3.self_attn.o_proj.weight", True),
        ("language_model.model.norm.weight", True),
        ("language_model.lm_head.weight", True),
        ("model.embed_tokens.weight", False),
        ("model.vision_tower.encoder.layers.7.mlp.weight", False),
        ("vision_tower.vision_model.encoder.layers.7.mlp.weight", False),
        ("visual.blocks.7.norm1.weight", False),
        ("model.visual.merger.norm.weight", False),
        ("model.image_newline", False),
    ],
)
def test_what_is_behind_is_known_by_its_name_in_files_of_old_and_new(name, behind):
    assert is_behind(name, 3) == behind


def test_every_family_that_is_shortened_is_tested():
    assert {name for name, rules in RULES.items() if rules.shortens} == {*FAMILIES, *SHORTENED}
    assert set(RULES) - {*FAMILIES, *LANGUAGE} == UNTESTED


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

"""However samples run together, it is tried on the loaded model first: what is not exact there is not done."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kit.alone import ROUNDING, check_store, shared_pictures
from kit.families import FAMILIES, save
from savs_benchmarks import load_jsonl
from savs_harvest.batches.layout_check import load_model, verified
from savs_harvest.errors import ModelError
from savs_harvest.models.families import PLAIN, Family, rules
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store


def load_family(family, folder):
    return load_model(ModelSpec(family.replace("_", "-"), str(save(family, folder)), "float32"), "cpu")


@pytest.mark.parametrize(
    "family",
    [
        f if f in ("qwen2_vl", "llava_onevision", "gemma3") else pytest.param(f, marks=pytest.mark.slow)
        for f in FAMILIES
    ],
)
def test_what_a_family_is_said_to_allow_holds(family, tmp_path):
    loaded = load_family(family, tmp_path / "mine")
    assert loaded.family == rules(loaded.model.config)
    assert loaded.remarks == ()


# Rules that a model does not keep, what is left of them, and what is said.
WRONG = [
    ("gemma3", PLAIN, Family(causal=True, shortens=True), ["questions that share a picture", "packed samples differ"]),
    (
        "paligemma",
        PLAIN,
        Family(shortens=True),
        ["without a mask", "questions that share a picture", "packed samples differ"],
    ),
    ("qwen3_5", PLAIN, Family(causal=True, shortens=True), ["questions that share a picture", "packed samples differ"]),
]


@pytest.mark.parametrize(
    ("family", "said", "left", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_rules_that_do_not_hold_are_left_out_and_told(family, said, left, words, tmp_path):
    found = verified(replace(load_family(family, tmp_path / "mine"), family=said))
    assert found.family == left
    assert len(found.remarks) == len(words)
    assert all(word in remark for word, remark in zip(words, found.remarks, strict=True))


class LooksAside(torch.nn.Module):
    """A feed-forward part that mixes what stands beside it into every token: no sample is safe beside another."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, states):
        return self.part(states) + states.mean((0, 1))


def test_where_nothing_is_exact_every_sample_runs_alone(load, write_benchmark, lines, tmp_path):
    loaded = load("llava-ov")
    layer = loaded.model.get_decoder().layers[0]
    layer.mlp = LooksAside(layer.mlp)
    found = verified(loaded)
    assert found.family == Family(alone=True, tiles_one_picture=True, shortens=True, parity=("system-turn", "anyres"))
    assert "every sample runs alone" in found.remarks[-1]
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(found, benchmark, tmp_path / "s.zarr")
    harvest(found, benchmark, tmp_path / "t.zarr", Settings(token_budget=1, share=False))
    assert open_store(tmp_path / "s.zarr")["llava-ov"].identity["batching"] == "one sample"
    first, second = (open_store(tmp_path / name)["llava-ov"].read() for name in ("s.zarr", "t.zarr"))
    np.testing.assert_allclose(first.astype(np.float32), second.astype(np.float32), **ROUNDING)


class Overflows(torch.nn.Module):
    """A projection that gives every token one number too large for its type, as those of some half models."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, states):
        return torch.cat([torch.full_like(states[..., :1], torch.inf), self.part(states)[..., 1:]], -1)


def test_what_overflows_in_every_sample_hides_no_wrong_layout(load):
    loaded = load("llava-ov")
    loaded.model.set_attn_implementation("eager")
    attention = loaded.model.get_decoder().layers[-1].self_attn
    attention.v_proj = Overflows(attention.v_proj)
    assert not verified(loaded).family.shares


def test_a_full_device_is_no_fault_of_the_layouts(load):
    loaded = load("llava-ov")

    def full(*_arguments, **_options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    loaded.model.get_decoder().layers[0].mlp.forward = full
    with pytest.raises(ModelError, match="cpu has no memory for a few small prompts"):
        verified(loaded)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "llava_onevision", "idefics3"])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_attention_that_a_configuration_names_spoils_no_shared_picture(family, key, write_benchmark, lines, tmp_path):
    """A boolean mask was added to the scores: cosines down to -0.2."""
    folder = save(family, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part[key] = "eager"
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load_model(ModelSpec(family.replace("_", "-"), str(folder), "float32"), "cpu")
    benchmark = load_jsonl(write_benchmark(shared_pictures(lines)))
    harvest(loaded, benchmark, tmp_path / "s.zarr")
    check_store(loaded, benchmark, tmp_path / "s.zarr")


def test_a_model_that_attends_eagerly_shares_no_row(load, write_benchmark, lines, tmp_path):
    loaded = load("qwen2vl")
    loaded.model.set_attn_implementation("eager")
    found = verified(loaded)
    assert not found.family.shares
    assert found.remarks == ("questions that share a picture differ from single ones: each runs with its own",)
    harvest(found, load_jsonl(write_benchmark(shared_pictures(lines))), tmp_path / "s.zarr")
    stored = open_store(tmp_path / "s.zarr")["qwen2vl"]
    assert stored.provenance["remarks"] == list(found.remarks)
    assert "same pictures" not in stored.identity["batching"]
    harvest(load("qwen2vl"), load_jsonl(write_benchmark(shared_pictures(lines))), tmp_path / "t.zarr")
    expected = open_store(tmp_path / "t.zarr")["qwen2vl"].read()
    np.testing.assert_allclose(stored.read().astype(np.float32), expected.astype(np.float32), rtol=2**-10, atol=1e-4)

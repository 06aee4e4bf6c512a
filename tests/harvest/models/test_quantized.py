"""Quantised models: captured as they compute, each sample as it is alone; refused in words where they cannot run."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText
from typer.testing import CliRunner

import savs
from kit.families import save, save_language_model
from kit.folders import edit_json, edit_weights
from savs_benchmarks import load_jsonl
from savs_harvest.asking.preparing import Question
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import commands as cli
from savs_harvest.errors import ModelError
from savs_harvest.models.heads import capture_heads, check_capture, find_projections, last_real_token
from savs_harvest.models.loading import empty_model, load_checkpoint
from savs_harvest.models.prompts import prepare, sample_pictures
from savs_harvest.models.quantized import Quantization, held, memory_of, on_load
from savs_harvest.models.specs import BNB4, BNB8, SCHEMES, ModelSpec, find_model, quantized
from savs_harvest.run.encoding import Encoder
from savs_harvest.run.expected import Expected
from savs_harvest.run.forecast import weight_bytes
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store

needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
pytestmark = [
    # Said by bitsandbytes of its own casts, and by peft while an adapter is made.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
]
ROUNDING = 1e-5
SEVERAL = (
    *("qwen2_vl", "qwen3_5"),
    *(pytest.param(family, marks=pytest.mark.slow) for family in ("llava_onevision", "gemma3", "mllama")),
)
# Of mllama, bitsandbytes computes nothing in 8 bits.
BOTH = [
    *product(("qwen2_vl", "qwen3_5"), SCHEMES),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in product(("llava_onevision", "gemma3"), SCHEMES)),
    pytest.param("mllama", BNB4, marks=pytest.mark.slow),
]
PICTURES = [Image.radial_gradient("L").resize(size).convert("RGB") for size in ((64, 48), (48, 72), (40, 40))]
WORDS = ("yes", "is it yes or no ? say yes or no", "say what it is")


def spec_of(folder, scheme=None, **fields):
    return quantized(ModelSpec("mine", str(folder), "float32", **fields), scheme)


def vectors_of(model, together=True):
    asked = [Question((picture,), words) for picture, words in zip(PICTURES, WORDS, strict=True)]
    encoder = Encoder(model)
    blocks = [encoder.run(asked)] if together else [encoder.run([one]) for one in asked]
    assert not any(block.failed for block in blocks)
    return np.concatenate([block.vectors for block in blocks]).astype(np.float32)


def probe_of(model):
    inputs = prepare(model.processor, sample_pictures(model.processor, (64, 48)), "say what it is")
    return {name: t.to(model.model.dtype) if t.is_floating_point() else t for name, t in inputs.items()}


def dequantised(model):
    """Return the same model with plain layers in the place of its 4-bit ones, of the weights that they stand for."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    plain = deepcopy(model)
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            layer = nn.Linear(module.in_features, module.out_features, module.bias is not None)
            layer.weight = nn.Parameter(dequantize_4bit(module.weight.data, module.weight.quant_state).float())
            if module.bias is not None:
                layer.bias = nn.Parameter(module.bias.data.clone())
            plain.set_submodule(name, layer)
    return plain


@needs_bitsandbytes
@pytest.mark.parametrize("family", SEVERAL)
def test_heads_of_4_bits_are_those_of_the_plain_model_with_the_weights_they_stand_for(family, tmp_path):
    model = load_checkpoint(spec_of(save(family, tmp_path), BNB4), "cpu")
    assert type(model.projections[0].module).__name__ == "Linear4bit"
    inputs = probe_of(model)
    last = last_real_token(inputs["attention_mask"])
    found = []
    for one in (model.model, dequantised(model.model)):
        with capture_heads(find_projections(one), last) as vectors, torch.inference_mode():
            one(**inputs, use_cache=False)
        found.append(vectors)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(*found, rtol=ROUNDING, atol=ROUNDING)
    whole = load_checkpoint(spec_of(tmp_path), "cpu")
    assert model.layers == whole.layers  # of packed weights no shape tells them


@needs_bitsandbytes
@pytest.mark.parametrize(("family", "scheme"), BOTH)
def test_the_self_check_adds_nothing_for_quantisation(family, scheme, tmp_path):
    """Its tolerance is for rounding between calls; here the same layer gets the same input, and there is none."""
    model = load_checkpoint(spec_of(save(family, tmp_path), scheme), "cpu")
    inputs = probe_of(model)
    assert check_capture(model.model, model.projections, inputs, tolerance=0.0)
    attention = model.projections[-1].attention
    original = attention.forward

    def gated(*args, **kwargs):
        output, *rest = original(*args, **kwargs)
        return output * 0.9, *rest

    attention.forward = gated
    with pytest.raises(ModelError, match="cannot be captured at its output projection"):
        check_capture(model.model, model.projections, inputs)


@needs_bitsandbytes
def test_what_bitsandbytes_cannot_compute_is_told_when_the_model_is_loaded(tmp_path):
    """The vision tower of mllama hands its layers four dimensions, which LLM.int8 of bitsandbytes does not take."""
    with pytest.raises(ModelError, match="cannot be run: RuntimeError: The size of tensor"):
        load_checkpoint(spec_of(save("mllama", tmp_path), BNB8), "cpu")


@needs_bitsandbytes
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["qwen2_vl", pytest.param("llava_onevision", marks=pytest.mark.slow)])
def test_a_sample_among_others_is_what_it_is_alone(family, scheme, tmp_path):
    """LLM.int8 looks for large columns in all tokens of a call: two samples in one call would change each other."""
    model = load_model(spec_of(save(family, tmp_path), scheme), "cpu")
    together, alone = vectors_of(model), vectors_of(model, together=False)
    if scheme == BNB8:
        assert model.family.alone
        assert (model.family.shares, model.family.packs) == (False, False)
        assert any("every sample runs alone" in remark for remark in model.remarks)
        np.testing.assert_array_equal(together, alone)
    else:
        assert (model.family.shares, model.remarks) == (True, ())
        np.testing.assert_allclose(together, alone, rtol=2**-10, atol=1e-3)


@needs_bitsandbytes
def test_logits_of_8_bits_are_those_of_the_sample_alone_in_one_plain_call(
    checkpoints, write_benchmark, lines, tmp_path
):
    model = load_model(spec_of(checkpoints["qwen2vl"], BNB8), "cpu")
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(model, benchmark, tmp_path / "s.zarr", Settings(class_prompt=""))
    store = open_store(tmp_path / "s.zarr")["mine-bnb8"]
    tokens = [model.processor.tokenizer(word)["input_ids"] for word in benchmark.tasks[next(iter(benchmark.tasks))]]
    for row, sample in list(enumerate(benchmark.samples()))[:3]:
        inputs = prepare(model.processor, [Image.open(one).convert("RGB") for one in sample.images], sample.question)
        with torch.inference_mode():
            words = model.model(**inputs, use_cache=False).logits[0, -1].float().log_softmax(-1)
        expected = [float(words[token[-1]]) for token in tokens]
        np.testing.assert_allclose(np.asarray(store.logits)[row, : len(tokens)], expected, rtol=1e-4)


@needs_bitsandbytes
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_checkpoint_that_was_quantised_before_is_the_same_model(checkpoints, scheme, tmp_path):
    first = load_model(spec_of(checkpoints["qwen2vl"], scheme), "cpu")
    first.model.save_pretrained(tmp_path / "kept")
    first.processor.save_pretrained(tmp_path / "kept")
    weights = load_file(tmp_path / "kept" / "model.safetensors")
    assert any(weight.dtype in (torch.uint8, torch.int8) for weight in weights.values())
    again = load_model(spec_of(tmp_path / "kept"), "cpu")
    np.testing.assert_array_equal(vectors_of(again), vectors_of(first))
    assert first.identity["quantization"] == on_load(scheme).identity()
    found = again.identity["quantization"]
    assert (found["method"], found["made"]) == ("bitsandbytes", "in the checkpoint")
    assert json.loads(json.dumps(found)) == found
    assert {"bitsandbytes", "accelerate"} == set(again.made_with)
    assert "quantization" not in load_checkpoint(spec_of(checkpoints["qwen2vl"]), "cpu").identity


@needs_bitsandbytes
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_shortened_quantised_model_gives_the_same_to_the_bit(checkpoints, scheme):
    whole = load_checkpoint(spec_of(checkpoints["qwen2vl"], scheme), "cpu")
    part = load_checkpoint(spec_of(checkpoints["qwen2vl"], scheme), "cpu", layers=1)
    assert len(list(part.model.parameters())) < len(list(whole.model.parameters()))
    np.testing.assert_array_equal(vectors_of(part), vectors_of(whole)[:, :4])


@needs_bitsandbytes
def test_an_adapter_computes_beside_quantised_weights(checkpoints, tmp_path):
    """In them it would be quantised again: the model would not be the one that was tuned."""
    from peft import LoraConfig, get_peft_model

    base = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4), "cpu")
    adapted = get_peft_model(base.model, LoraConfig(target_modules=r".*language_model.*\.(q_proj|o_proj)"))
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            nn.init.normal_(weight, std=0.2)
    adapted.save_pretrained(tmp_path / "lora")
    model = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4, adapter=str(tmp_path / "lora")), "cpu")
    weights = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    bare = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4), "cpu")
    plain = dequantised(bare.model)
    for name, module in plain.named_modules():
        key = f"base_model.model.{name}.lora_"
        if f"{key}A.weight" in weights:
            module.weight.data += weights[f"{key}B.weight"] @ weights[f"{key}A.weight"]  # alpha / r is 1
    inputs = probe_of(model)
    last = last_real_token(inputs["attention_mask"])
    found = []
    for one, projections in ((model.model, model.projections), (plain, find_projections(plain))):
        with capture_heads(projections, last) as vectors, torch.inference_mode():
            one(**inputs, use_cache=False)
        found.append(vectors)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    with capture_heads(bare.projections, last) as without, torch.inference_mode():
        bare.model(**inputs, use_cache=False)
    assert (found[0] - without).abs().max() > 0.1


@needs_bitsandbytes
def test_4_bit_layers_compute_in_the_models_type_on_every_processor(checkpoints):
    """On some, bitsandbytes packs weights anew at the first call, and computes in bfloat16 from then on."""
    model = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4), "cpu")
    layer = model.projections[0].module
    before = layer.weight.data.clone()
    given = torch.randn(3, layer.in_features)
    with torch.inference_mode():
        found = layer(given)
    from bitsandbytes.functional import dequantize_4bit

    expected = given @ dequantize_4bit(before, layer.weight.quant_state).T
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(layer.weight.data, before)
    half = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4), "cpu", "bfloat16")
    assert half.projections[0].module.compute_dtype == torch.bfloat16
    assert vectors_of(half).shape == vectors_of(model).shape


@needs_bitsandbytes
def test_no_kernel_is_fetched_from_the_hub(tmp_path):
    (tmp_path / "kernels.py").write_text("raise SystemExit('code of the hub would run')")
    code = (
        "from savs_harvest.models.quantized import import_bitsandbytes as load; load()\n"
        "import sys; assert 'bitsandbytes' in sys.modules and 'kernels' not in sys.modules"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


@needs_bitsandbytes
@pytest.mark.gpu
@pytest.mark.parametrize("scheme", SCHEMES)
def test_on_a_gpu_it_is_captured_and_each_sample_is_what_it_is_alone(checkpoints, scheme):
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    model = load_model(spec_of(checkpoints["qwen2vl"], scheme), "cuda", "bfloat16")
    together, alone = vectors_of(model), vectors_of(model, together=False)
    distance = np.linalg.norm(together - alone, axis=(1, 2)) / np.linalg.norm(alone, axis=(1, 2))
    assert distance.max() <= (0.0 if scheme == BNB8 else 0.05)


@needs_bitsandbytes
@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_language_models_are_quantised_too(name, tmp_path):
    model = load_model(spec_of(save_language_model(name, tmp_path), BNB4), "cpu")
    block = Encoder(model).run([Question((), "is it yes or no ?")])
    assert not block.failed
    assert model.layers == load_checkpoint(spec_of(tmp_path), "cpu").layers


FP8_BLOCK = 16


def to_fp8(folder):
    """Write the language model's projections in FP8 with a scale a block of 16 x 16; return the weights they are."""
    meant = {}

    def pack(weights):
        for name, weight in list(weights.items()):
            if not name.endswith("_proj.weight") or "visual" in name:
                continue
            blocks = weight.unfold(0, FP8_BLOCK, FP8_BLOCK).unfold(1, FP8_BLOCK, FP8_BLOCK)
            scale = blocks.abs().amax((2, 3)) / 448
            spread = scale.repeat_interleave(FP8_BLOCK, 0).repeat_interleave(FP8_BLOCK, 1)
            weights[name] = (weight / spread).to(torch.float8_e4m3fn)
            weights[f"{name}_scale_inv"] = scale
            meant[name.removesuffix(".weight").split("layers.")[1]] = weights[name].float() * spread

    edit_weights(folder, pack)
    settings = {"quant_method": "fp8", "weight_block_size": [FP8_BLOCK, FP8_BLOCK], "activation_scheme": "dynamic"}
    settings["modules_to_not_convert"] = ["visual", "lm_head"]
    edit_json(folder / "config.json", lambda config: config.update(quantization_config=settings))
    return meant


def test_weights_in_fp8_are_back_in_the_models_type(copy):
    """Products in FP8 need kernels of the hub, and round what they are given."""
    meant = to_fp8(folder := copy("qwen2vl"))
    model = load_model(spec_of(folder), "cpu")
    assert model.identity["quantization"]["method"] == "fp8"
    layers = model.model.get_decoder().layers
    for name, weight in meant.items():
        number, path = name.split(".", 1)
        found = layers[int(number)].get_submodule(path).weight
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.data, weight, rtol=1e-6, atol=0)
    assert model.family.shares
    assert vectors_of(model).any()


GROUP = 16


def to_compressed(folder, plain):
    """Pack the language model's projections to 4 bits as compressed-tensors does; `plain` gets the weights they are.

    Eight numbers from 0 to 15 lie in an integer, the first in its lowest bits; they stand for -8 to 7, times a scale a
    group of 16.
    """

    def quantised(weight):
        groups = weight.unflatten(1, (-1, GROUP))
        scale = groups.abs().amax(2, keepdim=True) / 7
        return (groups / scale).round().clamp(-8, 7).flatten(1), scale

    def pack(weights):
        for name, weight in list(weights.items()):
            if name.endswith("_proj.weight") and "visual" not in name:
                numbers, scale = quantised(weight)
                shifts = torch.arange(0, 32, 4)
                whole = ((numbers.long() + 8).unflatten(1, (-1, 8)) << shifts).sum(2)
                stem = name.removesuffix(".weight")
                del weights[name]
                weights[f"{stem}.weight_packed"] = (whole - (whole >= 2**31) * 2**32).int()
                weights[f"{stem}.weight_scale"] = scale[..., 0].contiguous()
                weights[f"{stem}.weight_shape"] = torch.tensor(weight.shape)

    def stand_for(weights):
        for name, weight in weights.items():
            if name.endswith("_proj.weight") and "visual" not in name:
                numbers, scale = quantised(weight)
                weights[name] = (numbers.unflatten(1, (-1, GROUP)) * scale).flatten(1)

    edit_weights(plain, stand_for)
    edit_weights(folder, pack)
    scheme = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}
    settings = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": scheme}},
        "ignore": ["lm_head", "re:.*visual.*"],
    }
    edit_json(folder / "config.json", lambda config: config.update(quantization_config=settings))


# What torchao and compressed-tensors say when they are imported.
@pytest.mark.filterwarnings("ignore")
def test_compressed_tensors_are_the_weights_that_they_stand_for(copy):
    pytest.importorskip("compressed_tensors")
    to_compressed(folder := copy("qwen2vl"), plain := copy("qwen2vl", "plain"))
    model, whole = load_model(spec_of(folder), "cpu"), load_model(spec_of(plain), "cpu")
    assert model.identity["quantization"]["method"] == "compressed-tensors"
    assert model.layers == whole.layers
    np.testing.assert_allclose(vectors_of(model), vectors_of(whole), rtol=2**-10, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_torchao_is_the_weights_that_it_stands_for(checkpoints, tmp_path):
    pytest.importorskip("torchao")
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    quantised = AutoModelForImageTextToText.from_pretrained(
        checkpoints["qwen2vl"],
        quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
        dtype=torch.float32,
        device_map={"": "cpu"},
    )
    processor = load_checkpoint(spec_of(checkpoints["qwen2vl"]), "cpu").processor
    for model, place in ((quantised, "kept"), (_dequantised_by_torchao(quantised), "plain")):
        model.save_pretrained(tmp_path / place)
        processor.save_pretrained(tmp_path / place)
    model, whole = (load_model(spec_of(tmp_path / place), "cpu") for place in ("kept", "plain"))
    assert model.identity["quantization"]["method"] == "torchao"
    assert model.layers == whole.layers
    np.testing.assert_allclose(vectors_of(model), vectors_of(whole), rtol=2**-10, atol=1e-3)


def _dequantised_by_torchao(model):
    plain = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**_without_quantization(model.config)))
    weights = {
        name: weight.dequantize() if hasattr(weight, "dequantize") and type(weight) is not torch.Tensor else weight
        for name, weight in model.state_dict().items()
    }
    plain.load_state_dict(weights)
    return plain


def _without_quantization(config):
    return {name: value for name, value in config.to_dict().items() if name != "quantization_config"}


def put_quantization(**settings):
    return lambda config: config.update(quantization_config=settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"quant_method": "awq", "bits": 4},
            r"by awq .config.json., which needs gptqmodel and accelerate: pip install gptqmodel accelerate",
        ),
        (
            {"quant_method": "gptq", "bits": 4},
            r"by gptq .config.json., which needs gptqmodel and optimum and accelerate: pip install gptqmodel",
        ),
        (
            {"quant_method": "torchao"},
            r"by torchao .config.json., which needs torchao and accelerate: pip install torchao accelerate",
        ),
        (
            {"quant_method": "compressed-tensors"},
            "needs compressed-tensors and accelerate: pip install compressed-tensors accelerate",
        ),
        ({"quant_method": "bitsandbytes"}, "needs bitsandbytes and accelerate: pip install 'savs.harvest,quantized.'"),
        ({"load_in_4bit": True}, r"quantised by bitsandbytes \(config.json\), which needs bitsandbytes"),
        (
            {"quant_method": "mxfp4"},
            r"quantised by 'mxfp4' \(config.json\): savs reads bitsandbytes, torchao, compressed-tensors",
        ),
        ({"quant_method": "made-up"}, r"quantised by 'made-up' \(config.json\): savs"),
        ({"bits": 4}, r"quantised by None \(config.json\): savs reads"),
    ],
)
def test_what_cannot_run_is_refused_with_the_package_that_it_needs(copy, monkeypatch, settings, words):
    """Of a method that it does not know, transformers takes the packed numbers for weights."""
    monkeypatch.setattr("savs_harvest.models.quantized.find_spec", lambda name: None)
    edit_json((folder := copy()) / "config.json", put_quantization(**settings))
    with pytest.raises(ModelError, match=words):
        load_checkpoint(spec_of(folder), "cpu")


@needs_bitsandbytes
def test_what_is_quantised_is_not_quantised_again(copy):
    edit_json((folder := copy()) / "config.json", put_quantization(quant_method="bitsandbytes", load_in_8bit=True))
    for load in (lambda spec: load_checkpoint(spec, "cpu"), lambda spec: weight_bytes(spec, empty_model(spec))):
        with pytest.raises(ModelError, match=r"is quantised already, by bitsandbytes: leave out --quantize"):
            load(spec_of(folder, BNB4))


@pytest.mark.slow
@needs_bitsandbytes
def test_a_classifier_answers_by_the_model_as_it_was_quantised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        result = CliRunner().invoke(cli.app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    asked = ["--model", "tiny", "--data", "digits", "--limit", "40", "--quantize", BNB4]
    run("fit", *asked, "--shots", "2", "--out", "c.safetensors")
    for number, picture in enumerate(PICTURES):
        picture.save(f"{number}.png")
    names = [f"{number}.png" for number in range(len(PICTURES))]
    loaded = []
    original = load_checkpoint

    def noted(spec, *args, **kwargs):
        loaded.append(spec.quantize)
        return original(spec, *args, **kwargs)

    monkeypatch.setattr("savs_harvest.batches.layout_check.load_checkpoint", noted)
    answers = run("predict", "c.safetensors", *names)
    assert answers == run("predict", "c.safetensors", *names, "--model", "tiny")
    assert len(answers.splitlines()) == 1 + len(names)
    assert loaded == [BNB4, BNB4]


@pytest.mark.parametrize("scheme", [None, *SCHEMES])
def test_a_classifier_knows_how_its_model_was_quantised(scheme):
    said = {"quantization": on_load(scheme).identity()} if scheme else {}
    kept = json.loads(json.dumps({"hook": "input of the attention output projection", **said}))
    assert Expected("m", kept, [(0, 0)], 8).scheme == scheme
    of_files = {"quantization": Quantization("bitsandbytes", {"load_in_8bit": True}).identity()}
    assert Expected("m", of_files, [(0, 0)], 8).scheme is None


@needs_bitsandbytes
def test_the_door_for_python_quantises_too():
    model = savs.load_model("tiny", quantize=BNB4, device_map="auto")
    assert (model.loaded.name, type(model.loaded.projections[0].module).__name__) == ("tiny-bnb4", "Linear4bit")
    assert model.encode(PICTURES[:1], "What number is written here?").shape == (1, 48, 8)
    with pytest.raises(ModelError, match="unknown way to quantise 'int4'"):
        savs.load_model("tiny", quantize="int4")


def test_encoders_are_not_quantised():
    with pytest.raises(ModelError, match="tiny-clip-bnb4 is an encoder: --quantize is for models that answer"):
        load_model(quantized(find_model("tiny-clip"), BNB4), "cpu")


class Packed(nn.Module):
    """As AWQ and GPTQ pack a layer: no weight, but integers, scales and the widths."""

    def __init__(self, width):
        super().__init__()
        self.in_features, self.out_features = width, width
        self.register_buffer("qweight", torch.zeros(width, width // 8, dtype=torch.int32))
        self.register_buffer("scales", torch.ones(1, width, dtype=torch.float16))

    def forward(self, hidden):
        return hidden * 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_idx, self.head_dim = 0, 4
        self.q_proj, self.o_proj = Packed(24), Packed(24)

    def forward(self, hidden):
        return self.o_proj(hidden)


def test_a_projection_without_a_matrix_of_weights_is_as_wide_as_it_says():
    class Model(nn.Sequential):
        dtype = torch.float16

    model = Model(Attention())
    [projection] = find_projections(model)
    assert (projection.heads, projection.head_dim) == (6, 4)
    hidden = torch.randn(2, 3, 24).half()
    with capture_heads([projection], torch.tensor([2, 0])) as vectors:
        model(hidden)
    assert vectors.dtype == torch.float16
    assert torch.equal(vectors.flatten(1), hidden[[0, 1], [2, 0]])


COMPRESSED = {"config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4}}}}


def activations(**settings):
    group = COMPRESSED["config_groups"]["group_0"]
    return {"config_groups": {"group_0": {**group, "input_activations": settings}}}


@pytest.mark.parametrize(
    ("method", "settings", "mixes"),
    [
        ("bitsandbytes", {"load_in_4bit": True}, False),
        ("bitsandbytes", {"load_in_8bit": True}, True),
        ("bitsandbytes", {"load_in_8bit": True, "llm_int8_threshold": 0.0}, False),
        ("awq", {"bits": 4}, False),
        ("gptq", {"bits": 4}, False),
        ("fp8", {"activation_scheme": "dynamic"}, False),
        ("torchao", {"quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}}, False),
        ("torchao", {"quant_type": {"default": {"_type": "Float8DynamicActivationFloat8WeightConfig"}}}, True),
        ("compressed-tensors", COMPRESSED, False),
        ("compressed-tensors", activations(dynamic=True, strategy="token"), False),
        ("compressed-tensors", activations(dynamic=False, strategy="tensor"), False),
        ("compressed-tensors", activations(dynamic=True, strategy="tensor"), True),
    ],
)
def test_schemes_that_look_at_all_tokens_of_a_call_run_sample_by_sample(method, settings, mixes):
    assert Quantization(method, settings).mixes_tokens == mixes


@pytest.mark.parametrize(
    ("dtype", "packed", "weights"),
    [
        ("BF16", False, 100),
        ("U8", False, 100),
        ("F8_E4M3", True, 100),
        ("U8", True, 400),
        ("I8", True, 400),
        ("I32", True, 1600),
    ],
)
def test_integers_hold_as_many_weights_as_fit_into_them(dtype, packed, weights):
    assert held(dtype, 100, packed) == weights


@needs_bitsandbytes
def test_a_far_larger_model_than_its_packed_files_hold_is_refused(checkpoints, tmp_path):
    first = load_checkpoint(spec_of(checkpoints["qwen2vl"], BNB4), "cpu")
    first.model.save_pretrained(tmp_path)
    first.processor.save_pretrained(tmp_path)
    edit_json(tmp_path / "config.json", lambda config: config["text_config"].update(intermediate_size=10**6))
    with pytest.raises(
        ModelError, match=r"is a model of [\d,]+ weights by its config.json, and its files hold at most"
    ):
        load_checkpoint(spec_of(tmp_path), "cpu")


@needs_bitsandbytes
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_forecast_of_memory_is_that_of_the_loaded_model(scheme):
    """Of the scales, which are few beside large weights, and many beside those of `tiny`, a part is left out."""
    model = load_checkpoint(quantized(find_model("tiny"), scheme), "cpu").model
    taken = sum(weight.nbytes for weight in model.parameters())
    plain = memory_of(empty_model(find_model("tiny")), None)
    forecast = weight_bytes(quantized(find_model("tiny"), scheme), empty_model(find_model("tiny")))
    assert plain == sum(weight.nbytes for weight in load_checkpoint(find_model("tiny"), "cpu").model.parameters())
    assert forecast == pytest.approx(taken, rel=0.03)
    assert forecast < plain / 2


@pytest.mark.parametrize("command", ["run", "generate", "vqascore", "plan", "tune lora"])
def test_an_unknown_scheme_is_refused_before_a_model_is_read(command):
    words = [*command.split(), "--model", "tiny", "--data", "digits", "--quantize", "bnb3"]
    result = CliRunner().invoke(cli.app, words)
    assert isinstance(result.exception, ModelError)
    assert str(result.exception) == "unknown way to quantise 'bnb3'; there are bnb4, bnb8"

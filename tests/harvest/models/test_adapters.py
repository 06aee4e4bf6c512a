"""A LoRA adapter is a named part of a model: merged as written, in the identity, never applied by itself."""

import json
import re
import shutil
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from kit.folders import edit_json
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import commands as cli
from savs_harvest.errors import ModelError
from savs_harvest.models.adapters import find_adapter
from savs_harvest.models.loading import empty_model
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec, find_model
from savs_stores import open_store

# What peft says while an adapter is made.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*save_embedding_layers:UserWarning"),
]
LANGUAGE = r".*language_model.*\.(q_proj|o_proj|up_proj)"


def spec_of(folder, adapter=None):
    return ModelSpec("mine", str(folder), "float32", adapter=adapter and str(adapter))


def load(folder, adapter=None, **options):
    return load_model(spec_of(folder, adapter), "cpu", **options)


@pytest.fixture(scope="module")
def base(checkpoints):
    return checkpoints["qwen2vl"]


@pytest.fixture(scope="module")
def bare(base):
    """The model without an adapter; no test changes it."""
    return load(base)


@pytest.fixture
def write_adapter(checkpoints, tmp_path):
    """Return a function that makes an adapter of random weights as training would leave it; gives its folder."""

    def write(family="qwen2vl", **settings):
        base = checkpoints[family]
        model = load(base).model
        torch.manual_seed(1)
        wrapped = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": LANGUAGE} | settings))
        with torch.no_grad():
            for name_of, weight in wrapped.named_parameters():
                if "lora_" in name_of or "modules_to_save" in name_of:
                    weight.normal_(std=0.2)
        wrapped.peft_config["default"].base_model_name_or_path = str(base)
        wrapped.save_pretrained(tmp_path / "lora")
        return tmp_path / "lora"

    return write


def edit_adapter(folder, change):
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(change(weights), folder / "adapter_model.safetensors")


def inputs_of(loaded):
    return prepare(loaded.processor, [benchmark_pictures("pool", 3)[0]], "which digit is this ?")


def heads(model, inputs):
    """Return what every output projection of the language model is given, and the logits, of one prompt."""
    kept, handles = [], []
    for name, module in model.named_modules():
        if name.endswith("self_attn.o_proj"):
            handles.append(module.register_forward_pre_hook(lambda _m, given: kept.append(given[0][0, -1])))
    with torch.inference_mode():
        logits = model(**inputs).logits[0, -1]
    for handle in handles:
        handle.remove()
    return torch.stack(kept), logits


# What training leaves, from plain to odd.
SETTINGS = {
    "plain": {},
    "rank-stabilized": {"use_rslora": True},
    "dora": {"use_dora": True},
    "ranks of their own": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"o_proj": 3}},
    "by name, towers too": {"target_modules": ["q_proj", "v_proj", "fc1"]},
    "one layer": {"target_modules": ["q_proj", "o_proj"], "layers_to_transform": [1]},
    "all linear": {"target_modules": "all-linear"},
    "a whole module": {"modules_to_save": ["merger"]},
    "embeddings": {"modules_to_save": ["embed_tokens"]},
    "biases": {"bias": "lora_only", "target_modules": ["q_proj"]},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_merged_adapter_gives_what_peft_gives_unmerged(base, bare, write_adapter, kind):
    folder = write_adapter(**SETTINGS[kind])
    merged, inputs = load(base, folder), inputs_of(bare)
    expected = heads(PeftModel.from_pretrained(load(base).model, folder).eval(), inputs)
    found = heads(merged.model, inputs)
    for one, other, plain in zip(found, expected, heads(bare.model, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-4)
        assert (one - plain).abs().max() > 0.01
    assert {type(p.module) for p in merged.projections} == {torch.nn.Linear}


def test_an_adapter_is_the_product_of_its_matrices(base, bare, write_adapter, tmp_path):
    """By hand, without peft: W + alpha / r * B A."""
    folder = write_adapter()
    whole = shutil.copytree(base, tmp_path / "whole")
    weights, lora = load_file(whole / "model.safetensors"), load_file(folder / "adapter_model.safetensors")
    for name, low in lora.items():
        if ".lora_A." in name:
            module = re.search(r"layers\.\d+\.[a-z_.]+(?=\.lora_A)", name)[0]
            place = next(one for one in weights if one.endswith(f"{module}.weight"))
            weights[place] += 6 / 4 * lora[name.replace("lora_A", "lora_B")] @ low
    save_file(weights, whole / "model.safetensors", metadata={"format": "pt"})
    inputs = inputs_of(bare)
    for one, other in zip(heads(load(base, folder).model, inputs), heads(load(whole).model, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


# How the modules of the language models were called when most adapters were made: name today, name then.
NAMES_OF_2024 = {
    "qwen2vl": ("model.model.language_model.", "model.model."),
    "llava-ov": ("model.model.language_model.", "model.language_model.model."),
}


def test_an_adapter_made_by_the_names_of_2024_is_the_same(checkpoints, loaded, write_adapter, family):
    folder = write_adapter(family, target_modules=LANGUAGE)
    inputs = inputs_of(loaded[family])
    now = heads(load(checkpoints[family], folder).model, inputs)
    today, then = NAMES_OF_2024[family]
    edit_adapter(folder, lambda found: {name.replace(today, then): weight for name, weight in found.items()})
    for one, other in zip(heads(load(checkpoints[family], folder).model, inputs), now, strict=True):
        assert torch.equal(one, other)


def test_weights_by_old_and_new_names_are_refused(base, write_adapter):
    folder = write_adapter(target_modules=LANGUAGE)
    today, then = NAMES_OF_2024["qwen2vl"]
    edit_adapter(folder, lambda found: found | {name.replace(today, then): -weight for name, weight in found.items()})
    with pytest.raises(ModelError, match="two of its weights have one name"):
        load(base, folder)


def test_merging_keeps_the_models_type(base, write_adapter):
    loaded = load(base, write_adapter(), dtype="bfloat16")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}


# --- identity ---


def differing(first, second):
    return [name for name in first if first[name] != second[name]]


def test_the_identity_names_the_adapter_and_nothing_else_differs(base, bare, write_adapter):
    folder = write_adapter()
    first = load(base, folder).identity
    assert bare.identity["adapter"] is None
    assert differing(bare.identity, first) == ["adapter"]
    assert load(base, folder.rename(folder.with_name("elsewhere"))).identity == first
    assert str(folder.parent) not in json.dumps(first)


@pytest.mark.parametrize("what", ["weights", "scale"])
def test_another_adapter_is_another_identity(base, write_adapter, what):
    folder = write_adapter()
    first = load(base, folder).identity
    if what == "weights":
        edit_adapter(folder, lambda weights: {name: -weight for name, weight in weights.items()})
    else:
        edit_json(folder / "adapter_config.json", lambda content: content.update(lora_alpha=7))
    assert differing(first, load(base, folder).identity) == ["adapter"]


def test_a_model_is_named_after_its_adapter(tmp_path):
    (tmp_path / "My-LoRA").mkdir()
    spec = find_model("tiny", str(tmp_path / "My-LoRA"))
    assert (spec.name, spec.adapter) == ("tiny-my-lora", str(tmp_path / "My-LoRA"))
    assert find_model("qwen2vl", "owner/name").name == "qwen2vl-name"
    assert find_model("tiny").adapter is None


def test_an_adapter_for_a_model_of_another_name_is_remarked(base, bare, write_adapter):
    folder = write_adapter()
    assert load(base, folder).remarks == bare.remarks
    edit_json(folder / "adapter_config.json", lambda content: content.update(base_model_name_or_path="owner/Other"))
    assert load(base, folder).remarks == (
        *bare.remarks,
        "the adapter lora was made for owner/Other, and is merged into qwen2vl",
    )


# --- where it lies ---


@pytest.mark.parametrize("use", [load, lambda folder: empty_model(spec_of(folder))])
def test_an_adapter_beside_weights_is_refused(base, write_adapter, tmp_path, use):
    """With peft, transformers applies it by itself; without, it does not."""
    folder = shutil.copytree(base, tmp_path / "both")
    for file in write_adapter().glob("adapter_*"):
        shutil.copy(file, folder)
    with pytest.raises(ModelError, match=r"adapter_config\.json beside its weights.*--adapter FOLDER"):
        use(folder)


@pytest.mark.parametrize("use", [load, lambda folder: empty_model(spec_of(folder))])
def test_an_adapter_alone_is_no_model_and_names_its_base(base, write_adapter, use):
    folder = write_adapter()
    with pytest.raises(
        ModelError, match=rf"adapter only.*--model {re.escape(str(base))} --adapter {re.escape(str(folder))}"
    ):
        use(folder)


def test_a_model_is_no_adapter(base):
    with pytest.raises(ModelError, match=r"is no adapter: it has no adapter_config\.json"):
        load(base, base)


# --- what is refused ---

REFUSED = {
    "another kind": ({"peft_type": "IA3"}, "is of type 'IA3'"),
    "no kind": ({"peft_type": None}, "is of type None"),
    "a module to import": ({"megatron_config": {"x": 1}, "megatron_core": "theirs"}, "asks for megatron_config"),
    "layers twice": ({"layer_replication": [[0, 2], [0, 2]]}, "asks for layer_replication"),
    "invocation": ({"alora_invocation_tokens": [1]}, "asks for alora_invocation_tokens"),
    "new tokens": ({"trainable_token_indices": [1]}, "asks for trainable_token_indices"),
    "tied by peft": ({"ensure_weight_tying": True}, "asks for ensure_weight_tying"),
    "what is to come": ({"use_of_tomorrow": True}, "asks for use_of_tomorrow"),
    "weights split in two": ({"init_lora_weights": "pissa"}, "begun by 'pissa'"),
    "weights of quantization": ({"init_lora_weights": "loftq", "loftq_config": {"a": 1}}, "begun by 'loftq'"),
    "no rank": ({"r": 0}, "`r` should be a positive integer"),
    "rank in words": ({"r": "four"}, "adapter_model.safetensors, adapter_config.json"),
    "no such modules": ({"target_modules": ["nowhere"]}, "not found in the base model"),
    "fewer modules": ({"target_modules": ["q_proj"]}, "has 8 weights that fit no module of the model"),
    "more modules": ({"target_modules": ["q_proj", "o_proj", "up_proj", "down_proj"]}, "lacks 4 weights"),
    "another rank": ({"r": 2}, "size mismatch"),
    "tied embeddings": ({"target_modules": ["lm_head"]}, "has 12 weights that fit no module"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_adapter_that_cannot_be_merged_as_it_is_is_refused(base, write_adapter, kind):
    change, words = REFUSED[kind]
    folder = write_adapter()
    edit_json(folder / "adapter_config.json", lambda content: content.update(change))
    with pytest.raises(ModelError, match=re.escape(words)) as raised:
        load(base, folder)
    assert str(folder) in str(raised.value)


def test_a_module_that_a_configuration_names_is_never_imported(base, bare, write_adapter, monkeypatch, tmp_path):
    (tmp_path / "theirs.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    folder = write_adapter()
    named = {"megatron_core": "theirs", "auto_mapping": {"base_model_class": "X", "parent_library": "theirs"}}
    before = heads(load(base, folder).model, inputs_of(bare))
    edit_json(folder / "adapter_config.json", lambda content: content.update(named))
    assert torch.equal(heads(load(base, folder).model, inputs_of(bare))[0], before[0])
    assert not (tmp_path / "it ran").exists()
    assert "theirs" not in sys.modules


def test_an_adapter_of_tied_embeddings_is_refused(base, write_adapter):
    """Merged into the one weight, it would change the embeddings as well, which it does not do unmerged."""
    with pytest.raises(ModelError, match=r"changes 1 weights that another module shares, first lm_head"):
        load(base, write_adapter(target_modules=["lm_head"]))


def test_weights_that_are_no_numbers_are_refused(base, write_adapter):
    folder = write_adapter()
    edit_adapter(folder, lambda weights: {name: weight * torch.nan for name, weight in weights.items()})
    with pytest.raises(ModelError, match="NaNs detected"):
        load(base, folder)


def test_weights_as_pickle_are_never_read(base, write_adapter):
    folder = write_adapter()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors \(adapter_model\.bin is a pickle"):
        load(base, folder)
    with pytest.raises(ModelError, match="pickle"):
        empty_model(spec_of(base, folder))


@pytest.mark.parametrize("text", ["[]", "{", "null"])
def test_a_configuration_that_is_no_json_object_is_named(base, write_adapter, text):
    folder = write_adapter()
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"adapter_config\.json (holds no|is not) JSON"):
        load(base, folder)


def test_without_peft_the_command_is_named(base, write_adapter, monkeypatch):
    folder = write_adapter()
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'savs\[harvest,adapter\]'"):
        load(base, folder)


def test_an_adapter_of_the_hub_is_its_two_files(write_adapter, monkeypatch):
    asked = {}
    folder = write_adapter()
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **options: asked.update(options, name=name) or str(folder)
    )
    adapter = find_adapter("owner/name")
    assert (asked["name"], adapter.folder) == ("owner/name", folder)
    assert asked["allow_patterns"] == ["adapter_config.json", "adapter_model.safetensors"]


# --- the command line ---


def test_the_command_line_names_the_adapter(write_benchmark, lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    wrapped = get_peft_model(load_model(find_model("tiny"), "cpu").model, LoraConfig(target_modules=["q_proj"]))
    wrapped.save_pretrained(tmp_path / "lora")
    asked = ["--model", "tiny", "--data", str(write_benchmark(lines[:4])), "--store", "s.zarr"]
    for adapter in ([], ["--adapter", "lora"]):
        assert CliRunner().invoke(cli.app, ["run", *asked, *adapter]).exit_code == 0
    store = open_store(tmp_path / "s.zarr")
    assert set(store.models) == {"tiny", "tiny-lora"}
    first, second = (store[name].identity for name in ("tiny", "tiny-lora"))
    assert differing(first, second) == ["adapter"]
    assert store["tiny-lora"].provenance["command"].endswith("parity.jsonl --adapter lora")
    plan = CliRunner().invoke(cli.app, ["plan", *asked, "--adapter", "lora"])
    assert "tiny-lora: 6 layers" in plan.stdout
    assert "nothing, the store is complete" in plan.stdout
    mixed = CliRunner().invoke(cli.app, ["run", *asked, "--adapter", "lora", "--as", "tiny"])
    assert "adapter" in str(mixed.exception)
    nowhere = CliRunner().invoke(cli.app, ["plan", *asked, "--adapter", "./nowhere"])
    assert "is neither a folder nor an id" in str(nowhere.exception)

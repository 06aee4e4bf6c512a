"""A checkpoint is data: no file of it is run, no kernel fetched for it, and what is odd in it is told by its name."""

import io
import json
import re
from functools import partial

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoProcessor, dynamic_module_utils
from transformers.integrations import hub_kernels
from transformers.utils import is_torchvision_available

from kit.folders import edit_json, load_folder
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.errors import ModelError
from savs_harvest.models import loading as models
from savs_harvest.models.checkpoints import JSON_BYTES, JSON_DEPTH, checkpoint_folder, load_config, read_json
from savs_harvest.models.heads import capture_heads, last_real_token
from savs_harvest.models.loading import empty_model
from savs_harvest.models.processors import load_processor
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec


def spec_of(folder):
    return ModelSpec("mine", str(folder), "float32")


# Everything that reads a checkpoint: a harvest, a plan, and `data show`.
USES = {
    "run": load_folder,
    "plan": lambda folder: empty_model(spec_of(folder)),
    "show": lambda folder: load_processor(checkpoint_folder(spec_of(folder))),
}
EVERY_USE = pytest.mark.parametrize("use", USES)


def captured(loaded):
    """Return the heads of one prompt."""
    inputs = prepare(loaded.processor, [benchmark_pictures("pool", 1)[0]], "which digit is this ?")
    with (
        capture_heads(loaded.projections, last_real_token(inputs["attention_mask"])) as vectors,
        torch.inference_mode(),
    ):
        loaded.model(**inputs)
    return vectors


# --- code ---

THEIRS = ("Config", "Model", "Processor", "ImageProcessor", "Tokenizer", "VideoProcessor")
MAP = {
    "AutoConfig": "theirs.TheirConfig",
    "AutoModel": "theirs.TheirModel",
    "AutoModelForImageTextToText": "theirs.TheirModel",
    "AutoProcessor": "theirs.TheirProcessor",
    "AutoImageProcessor": "theirs.TheirImageProcessor",
    "AutoTokenizer": ["theirs.TheirTokenizer", None],
    "AutoVideoProcessor": "theirs.TheirVideoProcessor",
}


@pytest.fixture
def trapped(copy, monkeypatch, tmp_path):
    """Return a function that copies a checkpoint with a Python file that leaves a mark when it is run; stdin says y."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    mark = tmp_path / "it ran"

    def make(family="qwen2vl"):
        folder = copy(family)
        lines = [
            "from pathlib import Path",
            f"Path({str(mark)!r}).touch()",
            "from transformers import PreTrainedConfig",
        ]
        lines += [f"class Their{name}(PreTrainedConfig): pass" for name in THEIRS]
        (folder / "theirs.py").write_text("\n".join(lines))
        (folder / "custom_generate").mkdir()
        (folder / "custom_generate" / "generate.py").write_text("\n".join([*lines, "def generate(**_): pass"]))
        return folder

    make.mark = mark
    return make


def test_the_trap_springs_where_transformers_is_left_alone(trapped):
    folder = trapped()
    edit_json(folder / "config.json", lambda content: content.update(auto_map=MAP, model_type="theirs"))
    AutoConfig.from_pretrained(folder)
    assert trapped.mark.exists()


def test_the_trap_of_a_processor_springs_where_transformers_is_left_alone(trapped):
    folder = trapped()
    edit_json(folder / "processor_config.json", name_image_processor_nowhere)
    edit_json(folder / "processor_config.json", lambda content: content.update(auto_map=MAP))
    with pytest.raises(Exception, match=r"."):
        AutoProcessor.from_pretrained(folder)
    assert trapped.mark.exists()


def put_auto_map(*inside):
    def change(content):
        for name in inside:
            content = content[name]
        content["auto_map"] = MAP

    return change


def preprocessor_of_old(folder):
    """Move the image processor's settings to where they lay in 2024."""
    content = json.loads((folder / "processor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(content.pop("image_processor")))
    (folder / "processor_config.json").write_text(json.dumps(content))


def with_17_megabytes(content):
    content |= {"padding": "x" * 17_000_000, "auto_map": MAP}


# Where an auto_map may stand: family, file, change of the file.
PLACES = {
    "config": ("qwen2vl", "config.json", put_auto_map()),
    "config of 17 MB": ("qwen2vl", "config.json", with_17_megabytes),
    "config, language model": ("llava-ov", "config.json", put_auto_map("text_config")),
    "config, vision tower": ("llava-ov", "config.json", put_auto_map("vision_config")),
    "processor": ("qwen2vl", "processor_config.json", put_auto_map()),
    "processor, image processor": ("qwen2vl", "processor_config.json", put_auto_map("image_processor")),
    "image processor of old": ("qwen2vl", "preprocessor_config.json", put_auto_map()),
    "tokenizer": ("qwen2vl", "tokenizer_config.json", put_auto_map()),
    "tokenizer, as a list": (
        "llava-ov",
        "tokenizer_config.json",
        lambda content: content.update(auto_map=MAP["AutoTokenizer"]),
    ),
    "generation": ("qwen2vl", "generation_config.json", put_auto_map()),
}


@pytest.mark.parametrize("place", PLACES)
def test_code_beside_a_native_model_is_never_run(trapped, loaded, place):
    family, file, change = PLACES[place]
    folder = trapped(family)
    if file == "preprocessor_config.json":
        preprocessor_of_old(folder)
    edit_json(folder / file, change)
    found = {name: use(folder) for name, use in USES.items()}
    assert not trapped.mark.exists()
    assert torch.equal(captured(found["run"]), captured(loaded[family]))
    assert type(found["plan"]) is type(loaded[family].model)
    assert type(found["show"].tokenizer) is type(loaded[family].processor.tokenizer)


def name_image_processor_nowhere(content):
    content["image_processor"] |= {"auto_map": MAP, "image_processor_type": "TheirImageProcessor"}


def image_processor_by_map_only(content):
    content["image_processor"].pop("image_processor_type")
    content["image_processor"]["auto_map"] = MAP


# Where code would be needed: file, change, the class that is asked for.
NEEDED = {
    "model": ("config.json", lambda c: c.update(auto_map=MAP, model_type="theirs"), "theirs.TheirConfig"),
    "model without a type": ("config.json", lambda c: c.update(auto_map=MAP, model_type=None), "theirs.TheirConfig"),
    "model of an odd type": ("config.json", lambda c: c.update(auto_map=MAP, model_type=[]), "theirs.TheirConfig"),
    "language model": (
        "config.json",
        lambda c: c["text_config"].update(auto_map=MAP, model_type="theirs"),
        "theirs.TheirConfig",
    ),
    "processor": (
        "processor_config.json",
        lambda c: c.update(auto_map=MAP, processor_class="TheirProcessor"),
        "theirs.TheirProcessor",
    ),
    "image processor": ("processor_config.json", name_image_processor_nowhere, "theirs.TheirImageProcessor"),
    "image processor, by the map": ("processor_config.json", image_processor_by_map_only, "theirs.TheirImageProcessor"),
    "tokenizer": (
        "tokenizer_config.json",
        lambda c: c.update(auto_map=MAP, tokenizer_class="TheirTokenizer"),
        "theirs.TheirTokenizer",
    ),
    "tokenizer, as a list": (
        "tokenizer_config.json",
        lambda c: c.update(auto_map=["theirs.TheirTokenizer"], tokenizer_class=None),
        "theirs.TheirTokenizer",
    ),
}


@EVERY_USE
@pytest.mark.parametrize("place", NEEDED)
def test_code_that_would_be_needed_is_refused_by_file_and_class(trapped, place, use):
    file, change, asked = NEEDED[place]
    folder = trapped()
    edit_json(folder / file, change)
    with pytest.raises(ModelError, match=rf"{re.escape(file)} asks for {re.escape(asked)} .*never run") as raised:
        USES[use](folder)
    assert "trust" not in str(raised.value)
    assert not trapped.mark.exists()


def test_advice_to_trust_is_not_passed_on(trapped):
    """Nothing is asked for twice: what the look at the files lets pass, transformers refuses by itself."""
    folder = trapped()
    edit_json(folder / "config.json", lambda content: content.update(auto_map=MAP, model_type="theirs"))
    with pytest.raises(ModelError, match="asks to run code of its own, which savs never does") as raised:
        load_config(folder, "mine")
    assert "trust" not in str(raised.value)
    assert not trapped.mark.exists()


# --- kernels ---

WORDS = ("owner/kernel", "kernels-community/flash-attn2", "flash_attention_2", "eager", {"text_config": "owner/kernel"})
NAMES = ("_attn_implementation", "attn_implementation", "experts_implementation", "_experts_implementation")


@pytest.fixture
def no_kernels(monkeypatch):
    """Let a test fail where a kernel is asked for."""

    def fetch(*asked, **_):
        raise AssertionError(f"a kernel was asked for: {asked}")

    for name in ("load_and_register_attn_kernel", "get_kernel"):
        monkeypatch.setattr(hub_kernels, name, fetch)
    monkeypatch.setattr("transformers.modeling_utils.lazy_import_flash_attention", fetch)


@pytest.mark.parametrize("inside", [None, "text_config", "vision_config"])
@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_has_no_say_in_how_attention_is_computed(copy, no_kernels, family, name, inside):
    folder = copy(family)
    for words in WORDS:
        edit_json(folder / "config.json", lambda c, words=words: (c[inside] if inside else c).update({name: words}))
        model = empty_model(spec_of(folder))
        computed = {module.config._attn_implementation for module in model.modules() if hasattr(module, "config")}
        assert computed == {"sdpa"}


def test_a_kernel_that_a_checkpoint_names_changes_no_vector(copy, no_kernels, loaded):
    folder = copy("llava-ov")

    def change(content):
        for part in (content, content["text_config"], content["vision_config"]):
            part |= {"_attn_implementation": "owner/kernel", "attn_implementation": "flash_attention_2"}

    edit_json(folder / "config.json", change)
    found = load_folder(folder)
    assert found.identity["attention"] == "sdpa"
    assert torch.equal(captured(found), captured(loaded["llava-ov"]))


def test_attention_that_is_not_pytorchs_own_is_refused(copy, monkeypatch):
    def with_another(folder, name):
        config = load_config(folder, name)
        config.text_config._attn_implementation = "paged|eager"
        return config

    monkeypatch.setattr(models, "load_config", with_another)
    with pytest.raises(ModelError, match=r"computes attention by 'paged\|eager'; there are sdpa, eager"):
        load_folder(copy())


# --- odd files ---

FILES = ("config.json", "generation_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
ODD = {
    "a list": "[]",
    "null": "null",
    "a number": "3",
    "a text": '"x"',
    "nothing": "",
    "cut short": '{"a": ',
    "too deep": '{"a": ' + "[" * JSON_DEPTH + "]" * JSON_DEPTH + "}",
    "far too deep": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a number without end": '{"a": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_no_json_object_is_named(copy, file, kind):
    folder = copy()
    (folder / file).write_text(ODD[kind])
    for use in USES.values():
        with pytest.raises(ModelError, match=rf"{re.escape(str(folder / file))} (holds no|is not|is nested)"):
            use(folder)


def test_bytes_that_are_no_text_are_named(copy):
    folder = copy()
    (folder / "tokenizer.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json is not JSON"):
        load_folder(folder)


def test_a_file_that_leads_nowhere_is_named(copy):
    """As files of a hub's cache that was copied without its blobs."""
    folder = copy()
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").symlink_to(folder / "blobs" / "0123")
    with pytest.raises(ModelError, match=r"generation_config\.json cannot be read: No such file"):
        load_folder(folder)


def test_a_json_file_has_its_bounds(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text('{"a": ' + "[" * (JSON_DEPTH - 1) + "]" * (JSON_DEPTH - 1) + "}")
    assert list(read_json(file)) == ["a"]
    with file.open("wb") as sparse:
        sparse.truncate(JSON_BYTES + 1)
    with pytest.raises(ModelError, match=r"tokenizer\.json has 268,435,457 bytes"):
        read_json(file)


def put(*path, value):
    def change(content):
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


# Fields that transformers meets with a TypeError, an AttributeError, a ZeroDivisionError, an ImportError ...
FIELDS = [
    ("config.json", put("text_config", value=3)),
    ("config.json", put("text_config", value=None)),  # the defaults of the family: a model of 73 billion weights
    ("config.json", put("vision_config", value=[])),
    ("config.json", put("text_config", "num_attention_heads", value=0)),
    ("config.json", put("text_config", "rope_parameters", value=[])),
    ("config.json", put("text_config", "hidden_act", value="owner/activation")),
    ("config.json", put("text_config", "layer_types", value=["x", "y"])),
    ("config.json", put("image_token_id", value=5)),
    ("config.json", put("dtype", value="x")),
    ("config.json", put("model_type", value=[])),
    ("config.json", put("auto_map", value=3)),
    ("config.json", put("quantization_config", value=3)),
    ("config.json", put("quantization_config", value={"quant_method": "awq"})),
    ("config.json", put("quantization_config", value={"quant_method": "bitsandbytes", "load_in_8bit": True})),
    ("config.json", put("configuration_files", value=3)),
    ("config.json", put("transformers_weights", value="../theirs.safetensors")),
    ("config.json", put("fusion_config", value={"x": True})),
    ("processor_config.json", put("image_processor", value=[])),
    ("processor_config.json", put("image_processor", "size", value=3)),
    ("processor_config.json", put("image_processor", "patch_size", value=0)),
    ("processor_config.json", put("image_processor", "image_processor_type", value=3)),
    ("processor_config.json", put("processor_class", value=3)),
    ("processor_config.json", put("processor_class", value="TheirProcessor")),
    ("tokenizer.json", put("model", value={})),
    ("tokenizer.json", put("added_tokens", value=3)),
    ("tokenizer_config.json", put("tokenizer_class", value=3)),
    ("tokenizer_config.json", put("added_tokens_decoder", value=[])),
    ("tokenizer_config.json", put("eos_token", value=[])),
    ("tokenizer_config.json", put("model_max_length", value="x")),
]


@pytest.mark.parametrize(("file", "change"), FIELDS)
def test_a_field_that_cannot_be_is_told_in_words_with_its_file(copy, file, change):
    folder = copy()
    edit_json(folder / file, change)
    with pytest.raises(ModelError, match=rf"{re.escape(str(folder))}.*{re.escape(file)}"):
        load_folder(folder)


@pytest.mark.skipif(is_torchvision_available(), reason="it is there")
@pytest.mark.parametrize("use", ["run", "show"])
def test_a_family_whose_pictures_only_torchvision_prepares_is_refused_in_words(copy, use):
    """As Inkling 2, which has no image processor of Pillow."""
    folder = copy()
    change = put("image_processor", "image_processor_type", value="Inkling2ImageProcessor")
    edit_json(folder / "processor_config.json", change)
    with pytest.raises(ModelError, match=r"its processor \(processor_config\.json.*dependencies: torchvision"):
        USES[use](folder)


@EVERY_USE
@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), torch.OutOfMemoryError("no memory left")])
def test_want_of_memory_and_interruptions_are_passed_on(copy, monkeypatch, use, error):
    def fail(*_, **__):
        raise error

    for auto_class in ("AutoConfig", "AutoImageProcessor"):
        monkeypatch.setattr(getattr(transformers, auto_class), "from_pretrained", fail)
    with pytest.raises(type(error)):
        USES[use](copy())


# --- weights ---


def index_of(folder, **weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


ELSEWHERE = {
    "above": partial(index_of, **{"lm_head.weight": "../other/model.safetensors"}),
    "anywhere": partial(index_of, **{"lm_head.weight": "/tmp/model.safetensors"}),
    "below": partial(index_of, **{"lm_head.weight": "more/model.safetensors"}),
    "nowhere": partial(index_of, **{"lm_head.weight": 3}),
    "no map": lambda folder: (folder / "model.safetensors.index.json").write_text("{}"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_weights_out_of_the_folder_are_refused(copy, kind):
    """They are not in the hash of the folder's weights: other vectors would have the same fingerprint."""
    folder = copy()
    ELSEWHERE[kind](folder)
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json (names weights|has no weight_map)"):
        load_folder(folder)


AUDIO = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": "owner/name"}


@EVERY_USE
@pytest.mark.parametrize("beside", [False, True])
def test_a_model_of_another_checkpoint_is_never_fetched(copy, use, beside):
    folder = copy()
    if beside:
        (folder / "audio_tokenizer_config.json").write_text(json.dumps(AUDIO))
    else:
        edit_json(folder / "processor_config.json", put("audio_tokenizer", value=AUDIO))
    with pytest.raises(ModelError, match="asks for an audio tokenizer"):
        USES[use](folder)


def test_parts_of_a_training_run_are_no_weights(copy):
    folder = copy()
    (folder / "model.safetensors").rename(folder / "shard-00001-model-00001-of-00001.safetensors")
    with pytest.raises(ModelError, match="one process's part of a training run"):
        load_folder(folder)

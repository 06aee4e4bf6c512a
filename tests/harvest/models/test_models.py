"""A model is loaded whole or not at all, and its identity changes with everything that changes a vector."""

import json
import re
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file

from kit.folders import edit_json, edit_weights, load_folder
from savs_benchmarks import BENCHMARKS
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import HubError, ModelError
from savs_harvest.models.checkpoints import checkpoint_folder
from savs_harvest.models.loading import empty_model
from savs_harvest.models.specs import MODELS, ModelSpec, find_model
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.run.forecast import forecast


@pytest.mark.parametrize("name", MODELS)
def test_a_short_name_finds_its_model(name):
    assert find_model(name) is MODELS[name]


def test_tiny_is_shipped():
    assert checkpoint_folder(find_model("tiny")) == CHECKPOINT


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", ("qwen2.5-vl-3b-instruct", "Qwen/Qwen2.5-VL-3B-Instruct")),
        ("{folder}", ("my-model", "{folder}")),
    ],
)
def test_a_hub_id_or_a_folder_is_a_model(tmp_path, name, found):
    folder = tmp_path / "My-Model"
    folder.mkdir()
    spec = find_model(name.format(folder=folder))
    assert (spec.name, spec.checkpoint) == tuple(part.format(folder=folder) for part in found)
    assert spec.dtype is None  # the checkpoint's own


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qwen2v", "did you mean 'qwen2vl'?"),
        ("Tiny", "did you mean 'tiny'?"),
        ("xxxxx", "There are tiny, qwen2vl"),
        ("a/b/c", "There are tiny"),
        ("./no-folder", "any hub id owner/name, or a folder"),
    ],
)
def test_an_unknown_name_is_answered_with_the_names(name, words):
    with pytest.raises(ModelError, match=re.escape(words)):
        find_model(name)


def test_a_checkpoint_without_a_weight_is_refused(copy):
    folder = copy()
    removed = next(name for name in load_file(folder / "model.safetensors") if "layers.1.self_attn.o_proj" in name)
    edit_weights(folder, lambda weights: weights.pop(removed))
    with pytest.raises(ModelError, match=r"lacks 1 weights, first .*layers\.1\.self_attn\.o_proj\.weight"):
        load_folder(folder)


def cut_weights_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def reshape_a_weight(folder):
    def change(weights):
        name = next(name for name in weights if "layers.1.mlp.up_proj" in name)
        weights[name] = weights[name][:5].clone()

    edit_weights(folder, change)


BROKEN = {
    "weights cut short": cut_weights_short,
    "a weight of another shape": reshape_a_weight,
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "no chat template": lambda folder: (folder / "chat_template.jinja").unlink(),
    "configuration no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "unknown family": lambda folder: edit_json(folder / "config.json", lambda c: c.update(model_type="unknown")),
    "no vision-language model": lambda folder: edit_json(folder / "config.json", lambda c: c.update(model_type="gpt2")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_checkpoint_is_refused_by_name(copy, kind):
    folder = copy()
    BROKEN[kind](folder)
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        load_folder(folder)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
        {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
            "original_max_position_embeddings": 64,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_positions_that_depend_on_other_prompts_are_refused(copy, rope):
    folder = copy("llava-ov")
    edit_json(folder / "config.json", lambda content: content["text_config"].update(rope_parameters=rope))
    for use in (load_folder, lambda folder: empty_model(ModelSpec("mine", str(folder)))):
        with pytest.raises(ModelError, match=f"rotary positions of type '{rope['rope_type']}'"):
            use(folder)


def test_weights_as_pickle_are_never_read(copy):
    folder = copy()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError):
        load_folder(folder)


def test_an_unknown_type_is_refused(copy):
    with pytest.raises(ModelError, match="unknown type 'float8'; there are float32"):
        load_folder(copy(), dtype="float8")


# What a checkpoint says of its type, and in what it is loaded; None stands for a refusal.
TYPES = {
    "its own": ({"dtype": "bfloat16"}, "bfloat16"),
    "its own, as files of 2024 say it": ({"torch_dtype": "float16"}, "float16"),
    "of its language model": ({"text_config": {"dtype": "float16"}}, "float16"),
    "none": ({}, "float32"),
    "one that savs does not compute in": ({"dtype": "float64"}, None),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_folder_computes_in_the_type_that_its_configuration_says(copy, kind):
    said, expected = TYPES[kind]
    folder = copy()

    def change(config):
        for part in (config, config["text_config"], config["vision_config"]):
            part.pop("dtype", None)
        config["text_config"] |= said.get("text_config", {})
        config |= {name: value for name, value in said.items() if name != "text_config"}

    edit_json(folder / "config.json", change)
    spec = find_model(str(folder))
    if expected is None:
        with pytest.raises(ModelError, match="is of type float64: say with --dtype"):
            load_model(spec, "cpu")
        assert load_model(spec, "cpu", dtype="float32").identity["dtype"] == "float32"
        return
    assert load_model(spec, "cpu").identity["dtype"] == expected
    assert load_model(spec, "cpu", dtype="float32").identity["dtype"] == "float32"
    told = dict(forecast(spec, BENCHMARKS["digits"], folder.parent / "s.zarr", "mine").lines)
    assert f"x 8, {expected}, " in told["model"]


def raise_from_hub(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)


def test_without_a_connection_the_way_out_is_named(monkeypatch):
    raise_from_hub(monkeypatch, LocalEntryNotFoundError("no connection"))
    with pytest.raises(HubError) as raised:
        load_model(find_model("qwen2vl"))
    assert "hf download Qwen/Qwen2-VL-7B-Instruct" in str(raised.value)
    assert raised.value.__suppress_context__


def test_what_the_hub_refuses_is_said_with_its_reason(monkeypatch):
    response = SimpleNamespace(headers={}, request=None, status_code=404)
    raise_from_hub(monkeypatch, RepositoryNotFoundError("no such repository", response=response))
    with pytest.raises(HubError, match=r"refuses no/model \(revision v1\): no such repository"):
        load_model(ModelSpec("m", "no/model"), revision="v1")


def test_a_model_of_the_hub_is_named_by_id_and_commit(monkeypatch, checkpoints, tmp_path):
    snapshot = shutil.copytree(checkpoints["qwen2vl"], tmp_path / "snapshots" / "0123abcd")
    asked = {}

    def download(name, revision, allow_patterns, ignore_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    identity = load_model(ModelSpec("m", "owner/name", "float32"), "cpu", revision="v1").identity
    assert (asked["name"], asked["revision"]) == ("owner/name", "v1")
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in asked["patterns"])
    assert (identity["model"], identity["revision"], identity["weights"]) == ("owner/name", "0123abcd", None)


def turn_a_weight(folder):
    def change(weights):
        weights[max(weights)] = -weights[max(weights)]

    edit_weights(folder, change)


def longer_template(folder):
    path = folder / "chat_template.jinja"
    path.write_text("Answer in one word. " + path.read_text())


# What is changed in the checkpoint, and the one field of the identity that must differ.
CHANGES = {
    "a weight": (turn_a_weight, "weights"),
    "the configuration": (
        lambda folder: edit_json(folder / "config.json", lambda c: c["text_config"].update(rms_norm_eps=0.1)),
        "configs",
    ),
    "the chat template": (longer_template, "chat_template"),
    "the tokenizer": (
        lambda folder: edit_json(folder / "tokenizer.json", lambda c: c.update(normalizer=None)),
        "tokenizer",
    ),
    "the image processor": (
        lambda folder: edit_json(
            folder / "processor_config.json", lambda c: c["image_processor"].update(do_normalize=False)
        ),
        "configs image_processor",
    ),
}


def differing(first, second):
    return [name for name in first if first[name] != second[name]]


@pytest.mark.parametrize("change", CHANGES)
def test_identity_changes_with_what_changes_vectors(copy, change):
    folder = copy()
    before = load_folder(folder).identity
    edit, fields = CHANGES[change]
    edit(folder)
    after = load_folder(folder).identity
    assert set(before) == set(after)
    assert differing(before, after) == fields.split()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # transformers leaves the file open
def test_several_chat_templates_by_name_are_one_field_of_the_identity(copy):
    folder = copy()
    template = (folder / "chat_template.jinja").read_text()
    plain = load_folder(folder).identity
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(template)
    assert differing(plain, load_folder(folder).identity) == ["chat_template"]


def test_identity_changes_with_the_type(copy):
    folder = copy()
    assert differing(load_folder(folder).identity, load_folder(folder, dtype="bfloat16").identity) == ["dtype"]


def test_families_differ(loaded):
    first, second = (loaded[family].identity for family in ("qwen2vl", "llava-ov"))
    assert {"weights", "configs", "model_type", "tokenizer", "chat_template", "image_processor"} <= set(
        differing(first, second)
    )


def test_identity_is_the_same_elsewhere_and_holds_no_path(copy, family):
    here, there = (load_folder(copy(family, place)).identity for place in ("here", "there"))
    assert here == there
    written = json.dumps(here)
    assert json.loads(written) == here
    assert '"/' not in written
    assert "/here" not in written


def test_identity_does_not_name_a_folder(copy):
    first = copy()
    second = first.rename(first.with_name("renamed"))
    found = [load_model(ModelSpec(name, str(second), "float32"), "cpu").identity for name in ("mine", "renamed")]
    assert found[0] == found[1]


def test_prompts_are_padded_right_whatever_was_saved(copy):
    folder = copy()
    edit_json(folder / "tokenizer_config.json", lambda content: content.update(padding_side="left"))
    loaded = load_folder(folder)
    assert loaded.processor.tokenizer.padding_side == "right"
    assert type(loaded.processor.image_processor).__name__.endswith("Pil")
    assert not loaded.model.training


def test_a_plan_needs_the_configuration_only(copy, loaded):
    folder = copy()
    (folder / "model.safetensors").unlink()
    model = empty_model(ModelSpec("mine", str(folder)))
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert shapes == {name: parameter.shape for name, parameter in loaded["qwen2vl"].model.named_parameters()}


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("tiny")])
@pytest.mark.parametrize("asked", [None, "v1"])
def test_short_names_mean_a_commit_where_none_is_asked_for(name, asked, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *_, revision, **__: seen.append(revision) or str(tmp_path)
    )
    checkpoint_folder(MODELS[name], asked)
    assert re.fullmatch(r"[0-9a-f]{40}", MODELS[name].revision)
    assert seen == [asked or MODELS[name].revision]

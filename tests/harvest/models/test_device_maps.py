"""A model over several devices gives what it gives on one, to the bit; a map that cannot be is refused in words."""

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText
from typer.testing import CliRunner

from kit.families import save, save_language_model
from savs_benchmarks import load_jsonl
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import commands as cli
from savs_harvest.errors import ModelError
from savs_harvest.models.device_maps import call_bytes, described, filled, main_device, read_device_map, spread
from savs_harvest.models.loading import empty_model, load_checkpoint
from savs_harvest.models.patches import PatchProduct
from savs_harvest.models.places import Places
from savs_harvest.models.specs import ModelSpec, at_site, find_model
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store

# What peft says while an adapter is made.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
]
GB = 10**9
OTHERS = ("llava_onevision", "gemma3", "paligemma", "qwen3_5", "internvl", "dots3_note")
FAMILIES = ("qwen2_vl", "mllama", *(pytest.param(family, marks=pytest.mark.slow) for family in OTHERS))


def spec_of(folder, **fields):
    return ModelSpec("mine", str(folder), "float32", **fields)


def half_on_disk(spec, file):
    """Write a map of a checkpoint: every second layer on disk, with the vision tower and the last embedding."""
    model = empty_model(spec)
    on_disk = [name for name, module in model.named_modules() if type(module).__name__ in model._no_split_modules][::2]
    towers = [name for name, _ in model.named_modules() if name.endswith(("visual", "vision_tower", "lm_head"))]
    file.write_text(json.dumps({"": "cpu", **dict.fromkeys([*on_disk, *towers], "disk")}))
    return str(file)


def content(model, benchmark, place, **settings):
    report = harvest(model, benchmark, place, Settings(**settings))
    assert report.failed == 0
    found = open_store(place)[model.name]
    return found.read().tobytes(), np.asarray(found.logits).tobytes(), found.fingerprint


@pytest.fixture
def benchmark(write_benchmark, lines):
    return load_jsonl(write_benchmark(lines))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_lies_on_disk_in_part_gives_the_same_to_the_bit(family, benchmark, tmp_path):
    spec = spec_of(save(family, tmp_path / "model"))
    whole, part = load_model(spec, "cpu"), load_model(spec, device_map=half_on_disk(spec, tmp_path / "map.json"))
    assert any(weight.device.type == "meta" for weight in part.model.parameters())
    assert part.device == torch.device("cpu")
    assert part.identity == whole.identity
    assert (part.layers, part.family, part.remarks) == (whole.layers, whole.family, whole.remarks)
    each = [{}, {"share": False}, *([{"pack": True}] if whole.family.packs else [])]
    for number, settings in enumerate(each):
        found = [
            content(one, benchmark, tmp_path / f"{number}-{one is part}.zarr", **settings) for one in (whole, part)
        ]
        assert found[0] == found[1]


def test_the_map_is_provenance(benchmark, checkpoints, tmp_path):
    spec = spec_of(checkpoints["qwen2vl"])
    part = load_model(spec, device_map=half_on_disk(spec, tmp_path / "map.json"))
    harvest(part, benchmark, tmp_path / "s.zarr")
    [found, *_] = open_store(tmp_path / "s.zarr")["mine"].shard_provenance
    assert "disk: model.visual" in found["environment"]["device_map"]
    assert found["environment"]["accelerate"]
    assert "device_map" not in open_store(tmp_path / "s.zarr")["mine"].identity


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_layers_on_disk_compute_in_the_type_that_is_asked_for(checkpoints, benchmark, dtype, tmp_path):
    spec = spec_of(checkpoints["qwen2vl"])
    file = half_on_disk(spec, tmp_path / "map.json")
    whole, part = load_model(spec, "cpu", dtype), load_model(spec, dtype=dtype, device_map=file)
    assert content(whole, benchmark, tmp_path / "a.zarr") == content(part, benchmark, tmp_path / "b.zarr")


@pytest.mark.parametrize("family", ["qwen2vl", pytest.param("llava-ov", marks=pytest.mark.slow)])
def test_adapters_shortened_models_and_hidden_states_are_the_same(checkpoints, family, benchmark, tmp_path):
    adapted = get_peft_model(
        load_checkpoint(spec_of(checkpoints[family]), "cpu").model,
        LoraConfig(target_modules=r".*language_model.*\.(q_proj|o_proj|up_proj)"),
    )
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.save_pretrained(tmp_path / "lora")
    plain = spec_of(checkpoints[family])
    file = half_on_disk(plain, tmp_path / "map.json")
    with_adapter = spec_of(checkpoints[family], adapter=str(tmp_path / "lora"))
    cases = [(with_adapter, {}), (plain, {"layers": 1}), (at_site(plain, "residual"), {})]
    for number, (spec, options) in enumerate(cases):
        one = content(load_model(spec, "cpu", **options), benchmark, tmp_path / f"{number}.zarr", logits=False)
        other = load_model(spec, device_map=file if "layers" not in options else "auto", **options)
        assert content(other, benchmark, tmp_path / f"{number}-map.zarr", logits=False) == one
    bare = content(load_model(plain, "cpu"), benchmark, tmp_path / "bare.zarr", logits=False)
    assert content(load_model(with_adapter, device_map=file), benchmark, tmp_path / "x.zarr", logits=False) != bare


@pytest.mark.parametrize(
    "name", ["gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama", "gemma2"))]
)
def test_language_models_lie_on_disk_too(name, tmp_path, write_benchmark):
    spec = spec_of(save_language_model(name, tmp_path / "model"))
    rows = [{"sample_id": str(n), "question": f"is it {n} ?", "label": ("yes", "no")[n % 2]} for n in range(6)]
    file = tmp_path / "words.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark = load_jsonl(file)
    part = load_model(spec, device_map=half_on_disk(spec, tmp_path / "map.json"))
    assert content(part, benchmark, tmp_path / "a.zarr") == content(
        load_model(spec, "cpu"), benchmark, tmp_path / "b.zarr"
    )


@pytest.mark.slow
def test_commands_take_a_map_and_say_the_same(tmp_path, monkeypatch):
    """Written answers, scores of captions, a classifier and its answers, of `tiny` on disk and in memory."""
    monkeypatch.chdir(tmp_path)
    half_on_disk(find_model("tiny"), tmp_path / "map.json")
    map_words, found = ["--device-map", "map.json"], {}

    def run(*words):
        result = CliRunner().invoke(cli.app, list(map(str, words)))
        assert result.exit_code == 0, result.output
        return result

    for place, words in (("memory", []), ("disk", map_words)):
        asked = ["--model", "tiny", "--data", "digits", "--limit", "40", "--store", f"{place}.zarr", *words]
        run("generate", *asked)
        run("vqascore", *asked)
        run("fit", *asked, "--shots", "2", "--out", f"{place}.safetensors")
        store = open_store(f"{place}.zarr")
        found[place] = {name: store[name].read().tobytes() for name in store.models}
    assert found["memory"] == found["disk"]
    assert len(found["disk"]) == 4
    answers = [run("predict", "memory.safetensors", *_pictures(tmp_path), *words).stdout for words in ([], map_words)]
    assert answers[0] == answers[1]


def _pictures(folder):
    random = np.random.default_rng(0)
    names = [f"p{number}.png" for number in range(5)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(folder / name)
    return names


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"pack": True}, {"share": False}], ids=str)
def test_layers_on_gpus_and_in_memory_give_what_one_gpu_gives(settings, checkpoints, benchmark, tmp_path):
    """Every second layer on another GPU, or in memory where there is one only; `lm_head` on disk."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    other = "cuda:1" if torch.cuda.device_count() > 1 else "cpu"
    spec = spec_of(checkpoints["qwen2vl"])
    layers = [f"model.language_model.layers.{number}" for number in (1,)]
    (tmp_path / "map.json").write_text(json.dumps({"": "cuda:0", **dict.fromkeys(layers, other), "lm_head": "disk"}))
    found = []
    for place, model in (
        ("one", load_model(spec, "cuda:0", "bfloat16")),
        ("several", load_model(spec, dtype="bfloat16", device_map=str(tmp_path / "map.json"))),
    ):
        harvest(model, benchmark, tmp_path / f"{place}.zarr", Settings(**settings))
        found.append(open_store(tmp_path / f"{place}.zarr")["mine"].read().astype(np.float32))
    distance = np.linalg.norm(found[0] - found[1], axis=(1, 2)) / np.linalg.norm(found[0], axis=(1, 2))
    assert distance.max() < 0.01


def test_patches_of_a_tower_on_disk_are_embedded_by_a_product(checkpoints, tmp_path):
    """accelerate keeps the forward of a module that it was given: another class alone changed nothing there."""
    spec = spec_of(checkpoints["qwen2vl"])
    part = load_checkpoint(spec, device_map=half_on_disk(spec, tmp_path / "map.json"))
    patches = part.model.model.visual.patch_embed.proj
    assert type(patches) is PatchProduct
    assert patches._old_forward.__func__ is PatchProduct.forward


BAD = {
    "nothing": (None, r"--device-map is auto, balanced or a file: .*map.json cannot be read \(No such file"),
    "no JSON": ("{", "map.json is not JSON"),
    "a list": ("[1]", "map.json holds no device map"),
    "empty": ("{}", "map.json holds no device map"),
    "a GPU that is not here": ('{"": "cuda:77"}', r"puts '' on 'cuda:77': torch sees \d+ GPUs on this machine"),
    "a number": ('{"": 77}', r"puts '' on 77: torch sees \d+ GPUs"),
    "no device": ('{"lm_head": "tpu"}', "puts 'lm_head' on 'tpu': a device is cuda:0, cuda:1 ..., cpu or disk"),
    "a truth": ('{"": true}', "puts '' on True: a device is"),
    "less than nothing": ('{"": -1}', "puts '' on -1: a device is"),
    "no part": (
        '{"": "cpu", "model.language_model.layer.0": "disk"}',
        "the model has no part 'model.language_model.layer.0'; did you mean 'model.language_model.layers.0'",
    ),
    "a part of a name": ('{"": "cpu", "model.language": "disk"}', "the model has no part 'model.language'"),
    "what is left": ('{"model.language_model": "cpu"}', "says of model.visual.* not where it goes"),
    "all on disk": ('{"": "disk"}', "leaves the whole model on disk"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_map_that_cannot_be_is_refused_before_weights_are_read(checkpoints, name, tmp_path, monkeypatch):
    written, words = BAD[name]
    if written is not None:
        (tmp_path / "map.json").write_text(written)
    monkeypatch.setattr("savs_harvest.models.loading.load_weights", lambda *_: pytest.fail("weights are read"))
    with pytest.raises(ModelError, match=words):
        load_checkpoint(spec_of(checkpoints["qwen2vl"]), device_map=str(tmp_path / "map.json"))


def test_a_map_and_a_device_an_encoder_or_a_compiler_do_not_go_together(checkpoints, benchmark, tmp_path):
    with pytest.raises(ModelError, match="--device-map says where the layers go: leave out --device cpu"):
        load_checkpoint(spec_of(checkpoints["qwen2vl"]), "cpu", device_map="auto")
    with pytest.raises(ModelError, match="tiny-clip is an encoder: --device-map is for models that answer"):
        load_model(find_model("tiny-clip"), device_map="auto")
    spec = spec_of(checkpoints["qwen2vl"])
    part = load_model(spec, device_map=half_on_disk(spec, tmp_path / "map.json"))
    with pytest.raises(ModelError, match="not compiled: leave out --compile, or --device-map"):
        harvest(part, benchmark, tmp_path / "s.zarr", Settings(compile=True))


def test_without_accelerate_it_is_named(checkpoints, monkeypatch):
    monkeypatch.setattr("savs_harvest.models.device_maps.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the package accelerate: pip install 'savs\[harvest,devices\]'"):
        load_checkpoint(spec_of(checkpoints["qwen2vl"]), device_map="auto")


def test_a_prefix_ends_at_a_dot(monkeypatch):
    """transformers looks for beginnings of words: what is said of layer 1 is not said of layers 10 to 19."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    model = qwen(layers=12)
    stem = "model.language_model.layers"
    found = filled(model, {"": "cuda:0", f"{stem}.1": "cuda:1"}, "map.json")
    assert found[f"{stem}.1"] == "cuda:1"
    assert [found[f"{stem}.{number}"] for number in (0, *range(2, 12))] == ["cuda:0"] * 11
    assert described(found)["cuda:1"] == f"{stem}.1"
    with pytest.raises(ModelError, match=rf"map.json divides {stem}.1 over cuda:0, cuda:1: a layer is on one device"):
        filled(model, {"": "cuda:0", f"{stem}.1.mlp": "cuda:1"}, "map.json")
    assert filled(model, {"": "cuda:0", f"{stem}.1.mlp": "disk"}, "map.json")[f"{stem}.1.mlp"] == "disk"


def test_names_of_devices_are_made_one(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    (tmp_path / "m").write_text('{"": 1, "a": "cuda", "b": "cuda:1", "c": "cpu", "d": "disk"}')
    found = read_device_map(str(tmp_path / "m"))
    assert found == {"": "cuda:1", "a": "cuda:0", "b": "cuda:1", "c": "cpu", "d": "disk"}
    assert main_device({"a": "disk", "b": "cpu", "c": "cuda:1"}) == torch.device("cuda:1")
    assert main_device({"a": "disk", "b": "cpu"}) == torch.device("cpu")


# The shapes of Qwen2-VL, as its model cards say: layers, width, feed-forward width, heads, key-value heads.
SIZES = {"7b": (28, 3584, 18944, 28, 4, 152064), "72b": (80, 8192, 29568, 64, 8, 152064)}


def qwen(size="7b", layers=None):
    """Return a Qwen2-VL of that shape without weights."""
    depth, width, inner, heads, key_heads, words = SIZES[size]
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={
            "num_hidden_layers": layers or depth,
            "hidden_size": width,
            "intermediate_size": inner,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "vocab_size": words,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={"hidden_size": width},
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)


def bytes_on(model, device_map):
    """Return the bytes of weights on each device, counted weight by weight."""
    found = {}
    for name, weight in model.named_parameters():
        prefixes = [part for part in device_map if part == "" or name == part or name.startswith(f"{part}.")]
        assert len(prefixes) == 1, name
        found[device_map[prefixes[0]]] = found.get(device_map[prefixes[0]], 0) + weight.nbytes
    return found


@pytest.mark.parametrize(
    ("size", "gpus", "memory", "devices"),
    [
        ("72b", 2, 80, {"cuda:0", "cuda:1"}),
        ("72b", 2, 40, {"cuda:0", "cuda:1", "cpu"}),
        ("72b", 1, 80, {"cuda:0", "cpu"}),
        ("72b", 4, 48, {"cuda:0", "cuda:1", "cuda:2", "cuda:3"}),
        ("7b", 2, 12, {"cuda:0", "cuda:1"}),
        ("7b", 1, 24, {"cuda:0"}),
        ("7b", 2, 24, {"cuda:0"}),
        ("7b", 0, 0, {"cpu"}),
    ],
)
def test_layers_go_where_they_fit(size, gpus, memory, devices):
    """72 billion weights of 2 bytes are 146.8 GB, 7 billion 16.6 GB: more than one GPU of 80, or of 12, holds."""
    model = qwen(size)
    room = call_bytes(model, 16_384)
    limits = {**dict.fromkeys(range(gpus), memory * GB - room), "cpu": 200 * GB}
    found = spread(model, "auto", limits)
    assert set(found.values()) == devices
    taken = bytes_on(model, found)
    assert sum(taken.values()) == sum(weight.nbytes for weight in model.parameters())
    for device, count in taken.items():
        limit = limits[int(device.removeprefix("cuda:"))] if device.startswith("cuda") else limits["cpu"]
        assert count <= limit
    layers = [name for name, module in model.named_modules() if type(module).__name__ in model._no_split_modules]
    assert not [part for part in found for layer in layers if part.startswith(f"{layer}.")]  # none is divided


def test_an_adapter_is_not_merged_into_more_than_there_is_memory_for(checkpoints, tmp_path, monkeypatch):
    adapted = get_peft_model(
        load_checkpoint(spec_of(checkpoints["qwen2vl"]), "cpu").model, LoraConfig(target_modules=["q_proj"])
    )
    adapted.save_pretrained(tmp_path / "lora")
    monkeypatch.setattr("savs_harvest.models.loading.free_memory", lambda: 10_000)
    with pytest.raises(ModelError, match=r"in memory as a whole while its adapter is merged, but 10.0 kB are free"):
        load_checkpoint(spec_of(checkpoints["qwen2vl"], adapter=str(tmp_path / "lora")), device_map="auto")


def test_balanced_takes_all_gpus_alike():
    model = qwen("7b")
    found = bytes_on(model, spread(model, "balanced", {0: 80 * GB, 1: 80 * GB, "cpu": 100 * GB}))
    assert set(found) == {"cuda:0", "cuda:1"}
    assert max(found.values()) < 1.25 * min(found.values())


def test_what_fits_nowhere_goes_to_disk():
    model = qwen("72b")
    found = bytes_on(model, spread(model, "auto", {0: 60 * GB, "cpu": 30 * GB}))
    assert set(found) == {"cuda:0", "cpu", "disk"}
    assert found["disk"] > 50 * GB


def test_room_for_a_call_is_that_of_its_widest_layer():
    """Of a layer of the 7B model 28 x 128 queries, 2 x 4 x 128 keys and values, 3584, 2 x 18944, 3584; 4 x 3584."""
    outputs = 28 * 128 + 2 * 4 * 128 + 3584 + 2 * 18944 + 3584
    assert call_bytes(qwen("7b"), 1000) == 1000 * 2 * (outputs + 4 * 3584)


def test_places_are_kept_for_each_device():
    places = Places(torch.tensor([2, 0]))
    hidden = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(places.read(hidden), hidden[[0, 1], [2, 0]])
    assert places.read(hidden.to("meta")).device.type == "meta"
    assert places.on(torch.device("meta"))[0] is places.on(torch.device("meta"))[0]
    put = places.put(torch.ones(2, 4), torch.zeros(2, 3, 4))
    assert put.sum() == 8
    assert torch.equal(places.read(put), torch.ones(2, 4))

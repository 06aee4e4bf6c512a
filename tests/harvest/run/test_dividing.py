"""What would go where is said from a configuration: of GPUs that are not here, too."""

import json

import pytest
from transformers import AutoConfig
from typer.testing import CliRunner

from kit.families import build_processor
from savs_harvest.cli import commands as cli
from savs_harvest.errors import ModelError
from savs_harvest.models.loading import empty_model
from savs_harvest.models.specs import ModelSpec, find_model, quantized
from savs_harvest.run.dividing import Machine, divide, read_machine

GB, GIB = 10**9, 2**30
# The language model of Qwen2-VL-72B, as its model card says.
SHAPE = {
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
WEIGHTS = 2 * (80 * (8192 * (2 * 8192 + 2 * 1024 + 3 * 29568) + 8192 + 2 * 1024 + 2 * 8192) + 2 * 152064 * 8192 + 8192)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with the configuration of a model of 72 billion weights, and none of them."""
    folder = tmp_path_factory.mktemp("large")
    vision = {"hidden_size": 8192}
    config = AutoConfig.for_model(
        "qwen2_vl", text_config=SHAPE, vision_config=vision, tie_word_embeddings=False, dtype="bfloat16"
    )
    config.save_pretrained(folder)
    build_processor("qwen2_vl").save_pretrained(folder)
    return ModelSpec("large", str(folder))


def test_a_large_model_on_two_gpus(large):
    found = divide(large, "auto", Machine((80 * GB, 80 * GB), 100 * GB))
    assert not found.too_large
    assert set(found.taken) == {"cuda:0", "cuda:1"}
    empty = empty_model(large)
    tower = 2 * sum(weight.numel() for weight in empty.model.visual.parameters())
    assert sum(found.taken.values()) == WEIGHTS + tower + sum(buffer.nbytes for buffer in empty.buffers())
    assert all(count <= 80 * GB - found.room for count in found.taken.values())
    labels = dict(found.lines())
    assert labels["fits"] == "all of it"
    assert "model.visual" in labels["cuda:0"]
    assert labels["cuda:1"].endswith("lm_head")


def test_what_does_not_fit_on_gpus_is_told(large):
    found = divide(large, "auto", Machine((80 * GB,), 64 * GB))
    lines = dict(found.lines())
    assert set(found.taken) == {"cuda:0", "cpu", "disk"}
    assert "brought to cuda:0 in every call: model.language_model.layers." in lines["disk"]
    assert lines["fits"] == "with what is on cpu and disk read again in every call"


def test_a_file_that_asks_too_much_is_told(large, tmp_path):
    (tmp_path / "map.json").write_text(json.dumps({"": "cuda:1", "lm_head": "cuda:0"}))
    found = divide(large, str(tmp_path / "map.json"), Machine((80 * GB, 80 * GB), 0))
    [(label, words)] = [line for line in found.lines() if line[0] == "too large"]
    assert (label, set(found.too_large)) == ("too large", {"cuda:1"})
    assert words.startswith("cuda:1 lacks ")
    assert found.taken["cuda:0"] == 2 * 152064 * 8192
    assert "fits" not in dict(found.lines())
    (tmp_path / "map.json").write_text(json.dumps({"": "cuda:2"}))
    with pytest.raises(ModelError, match="puts '' on 'cuda:2': there are 2 GPUs"):
        divide(large, str(tmp_path / "map.json"), Machine((80 * GB, 80 * GB)))


def test_quantised_it_takes_a_quarter(large):
    pytest.importorskip("bitsandbytes")
    whole = sum(divide(large, "auto", Machine((80 * GB,) * 4)).taken.values())
    found = divide(quantized(large, "bnb4"), "auto", Machine((80 * GB,)))
    assert set(found.taken) == {"cuda:0"}
    assert 0.25 < sum(found.taken.values()) / whole < 0.28


@pytest.mark.parametrize(
    ("gpus", "memory", "machine"),
    [
        ("2x80GB", None, Machine((80 * GB, 80 * GB))),
        ("80GB,24GiB", "64GB", Machine((80 * GB, 24 * GIB), 64 * GB)),
        ("1.5MB", "1MiB", Machine((1_500_000,), 2**20)),
        (None, "64GB", Machine(None, 64 * GB)),
        (None, None, Machine()),
    ],
)
def test_machines_are_read_from_words(gpus, memory, machine):
    assert read_machine(gpus, memory) == machine


@pytest.mark.parametrize(
    ("gpus", "memory", "words"),
    [
        ("2x80", None, "--gpus is a size with its unit, as 2x80GB, or 80GB,24GB; got '2x80'"),
        ("two", None, "got 'two'"),
        ("2x80GB,", None, "got ''"),
        ("", None, "--gpus names 1 to 1024 GPUs, got ''"),
        ("0x80GB", None, "--gpus names 1 to 1024 GPUs, got '0x80GB'"),
        ("9999999999x80GB", None, "--gpus is a size"),
        (None, "-1GB", "--memory is a size with its unit, as 64GB; got '-1GB'"),
        (None, "2x4GB", "--memory is one size, as 64GB, got '2x4GB'"),
    ],
)
def test_what_is_no_machine_is_told(gpus, memory, words):
    with pytest.raises(ValueError, match=words):
        read_machine(gpus, memory)


def test_the_command_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["plan", "--model", "tiny", "--data", "digits", "--gpus", "2x80GB"]
    lines = CliRunner().invoke(cli.app, asked).stdout.splitlines()
    assert lines[-3].startswith("devices    54.5 MB of each is room for a call of 16,384 tokens")
    assert lines[-2:] == ["cuda:0     1.5 MB of 79.9 GB: all of it", "fits       all of it"]
    found = json.loads(CliRunner().invoke(cli.app, [*asked, "--format", "json"]).stdout)
    tensors = divide(find_model("tiny"), None, Machine((80 * GB,))).taken
    assert found["numbers"]["cuda_0_bytes"] == tensors["cuda:0"]
    result = CliRunner().invoke(cli.app, ["plan", "--model", "tiny-clip", "--data", "digits", "--gpus", "80GB"])
    assert "tiny-clip is an encoder" in str(result.exception)

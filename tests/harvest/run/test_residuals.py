"""Hidden states as heads: a store holds the model's own, of each sample alone, through its last norm."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from kit.families import LANGUAGE, save, save_language_model
from kit.own import write_folder
from savs_analyze.cli import app as analyses
from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import app as harvests
from savs_harvest.errors import ModelError
from savs_harvest.models.prompts import prepare
from savs_harvest.models.residuals import find_residuals
from savs_harvest.models.specs import ModelSpec, at_site, check_site
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, Status, open_store

ROUNDING = {"rtol": 2**-11, "atol": 1e-5}
NORMS = {"gpt2": "ln_f", "gpt_neox": "final_layer_norm", "opt": "final_layer_norm"}
SEVERAL = ("qwen2_vl", "qwen3_vl", "llava_onevision", "gemma3", "mllama")


def load(folder):
    return load_model(at_site(ModelSpec("mine", str(folder)), "residual"), "cpu")


def alone(loaded, sample):
    """Return the hidden states behind all layers [layer, width], normed: transformers has normed the last already."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    decoder = loaded.model.get_decoder()
    norm = getattr(decoder, NORMS.get(loaded.model.config.model_type, "norm"))
    with torch.inference_mode():
        states = loaded.model(**inputs, output_hidden_states=True).hidden_states[1:]
        return torch.stack([*(norm(state[0, -1]) for state in states[:-1]), states[-1][0, -1]]).numpy()


def check(loaded, benchmark, place, settings=Settings()):  # noqa: B008  it is frozen
    harvest(loaded, benchmark, place, settings)
    stored = open_store(place)["mine-residual"]
    assert stored.status.tolist() == [Status.OK] * len(list(benchmark.samples()))
    vectors = stored.read().astype(np.float32)
    for row, sample in enumerate(benchmark.samples()):
        np.testing.assert_allclose(vectors[row], alone(loaded, sample), **ROUNDING)
    return stored


@pytest.mark.parametrize("family", SEVERAL)
def test_every_stored_row_is_the_models_own_hidden_state(family, write_benchmark, lines, tmp_path):
    loaded = load(save(family, tmp_path / "checkpoint"))
    stored = check(loaded, load_jsonl(write_benchmark(lines)), tmp_path / "s.zarr")
    layers = loaded.model.config.get_text_config().num_hidden_layers
    assert stored.heads.describe() == f"{layers} layers x 1 heads x 32 ({layers} layers residual)"
    assert stored.identity["hook"] == "output of each layer, through the final norm"


@pytest.mark.parametrize("name", list(LANGUAGE))
def test_those_of_language_models_are(name, write_benchmark, tmp_path):
    asked = ["is it odd ?", "look carefully , is it odd , or is it even ?", "name it", "which number ?"]
    rows = [{"question": question, "label": ("even", "odd")[n % 2]} for n, question in enumerate(asked)]
    check(
        load(save_language_model(name, tmp_path / "checkpoint")), load_jsonl(write_benchmark(rows)), tmp_path / "s.zarr"
    )


def test_without_logits_and_packed_they_are_the_same(checkpoints, write_benchmark, lines, tmp_path):
    loaded, benchmark = load(checkpoints["qwen2vl"]), load_jsonl(write_benchmark(lines))
    check(loaded, benchmark, tmp_path / "plain.zarr", Settings(logits=False))
    check(loaded, benchmark, tmp_path / "packed.zarr", Settings(pack=True, share=False))


def test_logits_are_those_of_a_harvest_of_heads(checkpoints, loaded, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(load(checkpoints["qwen2vl"]), benchmark, tmp_path / "s.zarr")
    harvest(loaded["qwen2vl"], benchmark, tmp_path / "s.zarr")
    store = open_store(tmp_path / "s.zarr")
    np.testing.assert_allclose(store["mine-residual"].logits, store["qwen2vl"].logits, rtol=1e-5, atol=1e-5)


def test_it_is_another_model_than_its_heads(checkpoints, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    heads = load_model(ModelSpec("mine", str(checkpoints["qwen2vl"])), "cpu")
    harvest(heads, benchmark, tmp_path / "s.zarr")
    with pytest.raises(MismatchError, match="hook"):
        harvest(load(checkpoints["qwen2vl"]), benchmark, tmp_path / "s.zarr", keeping=Keeping("mine"))


def test_what_has_no_hidden_states_is_refused_in_words():
    with pytest.raises(ModelError, match="unknown site 'mlp'; there are heads, residual"):
        check_site("mlp")
    with pytest.raises(ModelError, match="no layers with a norm behind them"):
        find_residuals(torch.nn.Linear(1, 1))


@pytest.mark.slow
def test_the_commands_plan_run_fit_and_predict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def done(app, *words):
        found = CliRunner().invoke(app, list(words))
        assert found.exit_code == 0, (found.output, found.exception)
        return found.output

    write_folder(tmp_path / "pics", per_class=12)
    asked = [
        "--model",
        "tiny",
        "--data",
        "pics",
        "--question",
        "which digit ?",
        "--site",
        "residual",
        "--store",
        "s.zarr",
    ]
    assert "tiny-residual: 6 layers x 1 heads x 64 (6 layers residual)" in done(harvests, "plan", *asked)
    done(harvests, "run", *asked)
    done(analyses, "fit", "--store", "s.zarr", "--method", "ridge", "--shots", "8", "--out", "c.safetensors")
    answers = [line.split() for line in done(harvests, "predict", "c.safetensors", "pics/one").splitlines()]
    assert [line[1] for line in answers if line[0].startswith("pics/one")].count("one") >= 10

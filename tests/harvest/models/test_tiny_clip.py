"""`tiny-clip` is an ordinary CLIP that has seen no picture, question or class caption that it is tested on."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from kit.corpora import runs_of_four, words
from savs_benchmarks import BENCHMARKS
from savs_benchmarks.digits.digits import DIGIT_WORDS
from savs_benchmarks.registry import EMBEDDED
from savs_harvest.asking.class_templates import USUAL
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.encoder_processors import read_encoder_processor
from savs_harvest.models.specs import find_model
from savs_harvest.models.tiny_clip import CHECKPOINT
from savs_harvest.models.tiny_clip.corpus import HELD_OUT, caption
from savs_harvest.models.tiny_clip.processor import build_processor
from savs_harvest.models.tiny_clip.train import train
from savs_harvest.run.harvest import harvest
from savs_stores import class_vectors, open_store


@pytest.fixture(scope="module")
def corpus():
    """Ten thousand captions."""
    generator = np.random.default_rng(7)
    return [caption(generator, int(generator.integers(10))) for _ in range(10_000)]


@pytest.fixture(scope="module")
def tiny_clip():
    return load_model(find_model("tiny-clip"), "cpu")


def test_plain_transformers_loads_it():
    model, report = CLIPModel.from_pretrained(CHECKPOINT, output_loading_info=True)
    assert not any(report.values())
    assert len(AutoTokenizer.from_pretrained(CHECKPOINT)) == model.config.text_config.vocab_size


def test_it_is_small_and_has_a_card(tiny_clip):
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert files["model.safetensors"] < 1e6
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    card = (CHECKPOINT / "README.md").read_text()
    assert f"{sum(p.numel() for p in tiny_clip.model.parameters()):,} weights" in card
    assert "license: apache-2.0" in card
    assert "CC BY 4.0" in card


def test_the_shipped_processor_is_the_one_in_the_code(tiny_clip):
    built = build_processor()
    shipped, _ = read_encoder_processor(CHECKPOINT, tiny_clip.model.config)
    picture = next(iter(BENCHMARKS["digits"].samples())).images[0]
    first, second = (processor.pictures([picture])["pixel_values"] for processor in (built, shipped))
    assert torch.equal(first, second)
    for text in ("A photo of a seven.", "What number is written here?", "<|endoftext|> unheard"):
        assert torch.equal(built.tokens(text), shipped.tokens(text))


def test_no_question_and_no_class_caption_is_in_the_corpus(corpus):
    asked = {words(sample.question) for benchmark in EMBEDDED.values() for sample in benchmark.samples()}
    named = {words(USUAL.format(**{"class": name})) for name in DIGIT_WORDS}
    assert USUAL.startswith(HELD_OUT)
    assert not (asked | named) & set(map(words, corpus))
    runs = set().union(*map(runs_of_four, map(words, corpus)))
    assert not runs & set().union(*map(runs_of_four, asked | named))


def test_harvesting_it_twice_gives_the_same_bits(tiny_clip, tmp_path):
    digits = BENCHMARKS["digits"]
    few = replace(digits, samples=lambda: islice(digits.samples(), 390, 410))
    for name in ("one", "two"):
        harvest(load_model(find_model("tiny-clip"), "cpu"), few, tmp_path / name)
    one, two = (open_store(tmp_path / name)["tiny-clip"] for name in ("one", "two"))
    assert one.read().shape == (20, 2, 32)
    assert one.records.tolist() == two.records.tolist()
    assert one.fingerprint == two.fingerprint
    assert set(class_vectors(one).texts["all"].values()) == {f"a photo of a {name}." for name in DIGIT_WORDS}


@pytest.mark.slow
def test_it_names_digits_it_has_never_seen(tiny_clip, tmp_path):
    harvest(tiny_clip, BENCHMARKS["digits"], tmp_path / "s.zarr")
    store = open_store(tmp_path / "s.zarr")
    tested = store.samples.to_frame()["split"].to_numpy() == "test"
    right = store["tiny-clip"].logits.argmax(1) == store.samples.label
    assert right[tested].mean() > 0.5  # of ten


@pytest.mark.slow
def test_training_is_repeatable():
    (first, _, one), (second, _, two) = train(3), train(3)
    assert one == two
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name])

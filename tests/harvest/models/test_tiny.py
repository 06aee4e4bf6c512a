"""`tiny` is an ordinary checkpoint that has seen neither the pictures nor the questions of the benchmarks."""

import re
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import ImageChops
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

from kit.corpora import runs_of_four, words
from savs_benchmarks import BENCHMARKS
from savs_benchmarks.digits.digits import DIGIT_WORDS, benchmark_pictures, training_pictures
from savs_benchmarks.registry import EMBEDDED
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.processors import load_processor
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import find_model
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.models.tiny.corpus import FIRST_KINDS, KINDS, exchange
from savs_harvest.models.tiny.processor import IMAGE_TOKENS, build_processor
from savs_harvest.models.tiny.train import SHIFTS, train
from savs_harvest.run.harvest import harvest
from savs_stores import open_store

PROMPTS = {sample.question for benchmark in EMBEDDED.values() for sample in benchmark.samples()}


@pytest.fixture(scope="module")
def tiny():
    return load_model(find_model("tiny"), "cpu")


@pytest.fixture(scope="module")
def corpus():
    """Five thousand questions of each phase of the training."""
    generator = np.random.default_rng(7)
    return {words(exchange(generator, kinds).question) for kinds in (FIRST_KINDS, KINDS) for _ in range(5000)}


def test_plain_transformers_loads_it():
    model, report = Qwen2VLForConditionalGeneration.from_pretrained(CHECKPOINT, output_loading_info=True)
    assert not any(report.values())
    assert sum(parameter.numel() for parameter in model.parameters()) < 1e6
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    assert len(tokenizer) == model.config.text_config.vocab_size
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == model.config.image_token_id


def test_it_is_small_and_has_a_card(tiny):
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert files["model.safetensors"] <= 2e6
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    card = (CHECKPOINT / "README.md").read_text()
    weights = sum(parameter.numel() for parameter in tiny.model.parameters())
    assert f"{weights:,} weights" in card
    assert {"license: apache-2.0", "CC BY 4.0"} <= set(re.findall(r"license: apache-2.0|CC BY 4.0", card))


def test_the_shipped_processor_is_the_one_in_the_code(tiny):
    built, shipped = build_processor(), load_processor(CHECKPOINT)
    assert shipped.tokenizer.get_vocab() == built.tokenizer.get_vocab()
    assert shipped.image_processor.to_dict() == built.image_processor.to_dict()
    picture = benchmark_pictures("test", 3)[0]
    question = "Which digit is this? <|image_pad|>"
    first, second = (prepare(processor, [picture, picture], question) for processor in (built, shipped))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["input_ids"][0].tolist().count(built.image_token_id) == 2 * IMAGE_TOKENS


def test_no_benchmark_question_is_in_the_corpus(corpus):
    asked = {words(prompt) for prompt in PROMPTS}
    assert len(asked) >= 20
    assert not asked & corpus


def test_no_run_of_words_of_a_benchmark_question_is_in_the_corpus(corpus):
    asked = set().union(*(runs_of_four(words(prompt)) for prompt in PROMPTS))
    assert ("what", "number", "is", "written") in asked
    assert not asked & set().union(*map(runs_of_four, corpus))


def test_no_benchmark_picture_is_a_training_picture_however_shifted():
    benchmark = {
        picture.tobytes()
        for digit in range(10)
        for split in ("pool", "test")
        for picture in benchmark_pictures(split, digit)
    }
    shifted = {
        ImageChops.offset(picture, x, y).tobytes()
        for digit in range(10)
        for picture in training_pictures(digit)
        for x, y in SHIFTS
    }
    assert len(benchmark) == 947
    assert len(shifted) == 850 * len(SHIFTS)
    assert not benchmark & shifted


def test_it_reads_digits_it_has_never_seen(tiny):
    right = 0
    answers = tiny.processor.tokenizer.convert_tokens_to_ids(list(DIGIT_WORDS))
    for digit in range(10):
        for picture in benchmark_pictures("test", digit)[:5]:
            inputs = prepare(tiny.processor, [picture], "which digit is this ?")
            with torch.inference_mode():
                right += int(tiny.model(**inputs).logits[0, -1].argmax()) == answers[digit]
    assert right >= 45


def test_harvesting_it_twice_gives_the_same_bits(tiny, tmp_path):
    digits = BENCHMARKS["digits"]
    few = replace(digits, samples=lambda: islice(digits.samples(), 390, 410))
    again = load_model(find_model("tiny"), "cpu")
    for model, name in ((tiny, "one"), (again, "two")):
        harvest(model, few, tmp_path / name)
    one, two = (open_store(tmp_path / name)["tiny"] for name in ("one", "two"))
    assert one.read().shape == (20, 48, 8)
    assert one.read().tobytes() == two.read().tobytes()
    assert one.logits.tobytes() == two.logits.tobytes()
    assert one.records.tolist() == two.records.tolist()
    assert one.fingerprint == two.fingerprint


@pytest.mark.slow
def test_training_is_repeatable():
    (first, _, one), (second, _, two) = train(3), train(3)
    assert one == two
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name]), name

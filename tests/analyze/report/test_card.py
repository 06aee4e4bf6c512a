"""A model card says what the classifier says, in YAML and Markdown that no word of the data breaks."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from savs_analyze.fitting.store import FitRequest, fit_store
from savs_analyze.fitting.words import describe
from savs_analyze.report.card import card_text, write_card


@pytest.fixture(scope="module")
def classifier(toys):
    return fit_store(toys(4)["planted"], FitRequest(method="ridge"))


def header_of(text):
    """Return the YAML header; it is written as JSON values, which is YAML."""
    _, header, _ = text.split("---\n", 2)
    return {name: json.loads(value) for name, value in (line.split(": ", 1) for line in header.splitlines())}


def test_a_card_has_the_hubs_header_the_numbers_and_a_figure(classifier, tmp_path):
    card = write_card(classifier, tmp_path / "toy.safetensors")
    text = card.read_text()
    header = header_of(text)
    [result] = header["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(classifier.about.estimate["accuracy"], 4)
    assert (header["base_model"], header["pipeline_tag"]) == ("planted", "image-classification")
    assert "\n".join(describe(classifier)) in text
    assert "savs-harvest predict toy.safetensors PICTURES" in text
    assert "![What it gets right](<toy.png>)" in text
    with Image.open(tmp_path / "toy.png") as figure:
        assert min(figure.size) > 300


def test_the_same_classifier_gives_the_same_card(classifier, tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        write_card(classifier, tmp_path / folder / "toy.safetensors")
    for name in ("toy.md", "toy.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize(
    "word", ["a\n---\nlicense: mit", "[x](http://evil)", "<script>", "`code`", "\x1b[2J", "{{ x }}"]
)
def test_no_word_of_the_data_is_markup(classifier, word):
    about = replace(classifier.about, data={**classifier.about.data, "source": word, "licence": word}, question=word)
    text = card_text(replace(classifier, about=about), "toy.safetensors", "toy.png")
    assert header_of(text)["license_name"] == f"model: unknown, data: {word}"
    body = text.split("---\n", 2)[2]
    outside = body.split("```\n")[0] + body.split("```\n")[-1]
    for markup in ("[x](", "<script>", "\x1b", "`code`"):
        assert markup not in outside


def test_a_classifier_without_an_estimate_has_a_card(classifier, tmp_path):
    card = write_card(replace(classifier, about=replace(classifier.about, estimate={})), tmp_path / "toy.safetensors")
    text = card.read_text()
    assert "model-index" not in header_of(text)
    assert "![" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["toy.md"]


@pytest.mark.parametrize(
    ("model", "data", "fields"),
    [
        ("apache-2.0", "Apache-2.0", {"license": "apache-2.0"}),
        ("apache-2.0", "MIT", {"license": "other", "license_name": "model: apache-2.0, data: MIT"}),
        (None, "MIT", {"license": "other", "license_name": "model: unknown, data: MIT"}),
        ("mit", "", {"license": "other", "license_name": "model: mit, data: unknown"}),
    ],
)
def test_a_card_and_words_tell_both_licences(classifier, model, data, fields):
    of_model = classifier.about.model | ({"licence": model} if model else {})
    about = replace(classifier.about, model=of_model, data=classifier.about.data | {"licence": data})
    licensed = replace(classifier, about=about)
    text = card_text(licensed, "toy.safetensors", "toy.png")
    assert {name: value for name, value in header_of(text).items() if "license" in name} == fields
    assert f"- Model: licence {model or 'unknown'}." in text
    assert f"; {model or 'licence unknown'}" in "\n".join(describe(licensed))

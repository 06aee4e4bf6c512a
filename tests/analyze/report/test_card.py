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
    assert header_of(text)["license_name"] == word
    body = text.split("---\n", 2)[2]
    outside = body.split("```\n")[0] + body.split("```\n")[-1]
    for markup in ("[x](", "<script>", "\x1b", "`code`"):
        assert markup not in outside

"""A prompt reaches the model whole: as the checkpoint's own files write it, from its first token to its last."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from kit.alone import ROUNDING
from kit.families import save
from kit.hub import IDEFICS, LLAVA, byte_tokenizer, llama_tokenizer, save_as_on_hub
from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models.families import most_positions
from savs_harvest.models.prompts import Shot, prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import harvest
from savs_stores import Status, open_store

PICTURE = Image.new("RGB", (32, 32), "orange")
CUT = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0}


def load(folder):
    return load_model(ModelSpec("mine", str(folder), "float32"), "cpu")


def edit_json(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


# Truncation.


@pytest.mark.parametrize("direction", ["Right", "Left"])
@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "gemma3"])
def test_truncation_left_in_a_tokenizer_file_cuts_no_prompt(family, direction, tmp_path):
    folder = save(family, tmp_path / "mine")
    whole = load(folder)
    shots = [Shot([PICTURE], "is it odd ? " * 5, "odd")]
    expected = prepare(whole.processor, [PICTURE], "which digit is this ? " * 5, shots)
    edit_json(folder / "tokenizer.json", truncation=CUT | {"direction": direction})
    edit_json(folder / "tokenizer_config.json", truncation=True, max_length=12, truncation_side=direction.lower())
    loaded = load(folder)
    found = prepare(loaded.processor, [PICTURE], "which digit is this ? " * 5, shots)
    assert found["input_ids"].shape[1] > 60
    assert torch.equal(found["input_ids"], expected["input_ids"])
    assert loaded.remarks == ("tokenizer.json cuts prompts to 12 tokens: switched off",)
    assert (whole.remarks, whole.identity["tokenizer"]) == ((), loaded.identity["tokenizer"])


def test_padding_left_in_a_tokenizer_file_pads_no_prompt(tmp_path):
    folder = save("qwen2_vl", tmp_path / "mine")
    expected = prepare(load(folder).processor, [PICTURE], "yes")["input_ids"]
    padding = {"strategy": {"Fixed": 500}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    edit_json(folder / "tokenizer.json", padding=padding | {"pad_type_id": 0, "pad_token": "<|endoftext|>"})
    assert torch.equal(prepare(load(folder).processor, [PICTURE], "yes")["input_ids"], expected)


def test_what_was_switched_off_is_in_the_stores_provenance(tmp_path, write_benchmark, lines):
    folder = save("qwen2_vl", tmp_path / "mine")
    edit_json(folder / "tokenizer.json", truncation=CUT)
    harvest(load(folder), load_jsonl(write_benchmark(lines[:2])), tmp_path / "s.zarr")
    remarks = open_store(tmp_path / "s.zarr")["mine"].provenance["remarks"]
    assert remarks == ["tokenizer.json cuts prompts to 12 tokens: switched off"]


def truncates(processor, monkeypatch):
    """A processor that cuts whatever it is told."""
    call = type(processor.tokenizer).__call__
    cutting = lambda self, *a, **k: call(self, *a, **{**k, "truncation": True, "max_length": 35})  # noqa: E731
    monkeypatch.setattr(type(processor.tokenizer), "__call__", cutting)


def drops_the_end(processor, monkeypatch):
    call = type(processor).__call__

    def cutting(self, *arguments, **options):
        found = call(self, *arguments, **options)
        return {name: t[:, :-2] if name in ("input_ids", "attention_mask") else t for name, t in found.items()}

    monkeypatch.setattr(type(processor), "__call__", cutting)


@pytest.mark.parametrize("cuts", [truncates, drops_the_end])
def test_a_processor_that_cuts_prompts_all_the_same_is_refused(load, monkeypatch, cuts):
    processor = load("llava-ov").processor
    cuts(processor, monkeypatch)
    with pytest.raises(
        ModelError, match=r"its processor (cuts prompts to 35 tokens|does not keep the end of a prompt)"
    ):
        prepare(processor, [PICTURE], "which digit is this ? " * 4)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("{{ part['text'][:20] }}", "which digit is this"),
        ("{{ part['text'] | truncate(16) }}", "which digit is this"),
        ("{% if loop.last and loop.index > 1 %}yes{% endif %}", "which digit is this"),
    ],
)
def test_a_template_that_leaves_out_words_costs_the_sample(checkpoints, tmp_path, part, words, load):
    processor = load("llava-ov").processor
    template = processor.chat_template.replace("{{ part['text'] }}", part)
    assert template != processor.chat_template
    processor.chat_template = template
    with pytest.raises(ValueError, match="leaves out words") as raised:
        prepare(processor, [PICTURE], "which digit is this ? please say it in words")
    assert words in str(raised.value)
    assert not isinstance(raised.value, ModelError)  # other samples may be shorter


def test_a_template_that_keeps_the_last_turn_only_costs_samples_with_shots(load):
    processor = load("llava-ov").processor
    processor.chat_template = processor.chat_template.replace("for message in messages", "for message in messages[-1:]")
    assert prepare(processor, [PICTURE], "is it odd ?")["input_ids"].shape[1] > 10
    with pytest.raises(ValueError, match="leaves out words of the prompt: 'which digit"):
        prepare(processor, [PICTURE], "is it odd ?", [Shot([PICTURE], "which digit is this ?", "odd")])


def test_a_template_may_show_the_picture_behind_the_words(load):
    processor = load("llava-ov").processor
    shown = "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% else %}"
    assert shown in processor.chat_template
    processor.chat_template = processor.chat_template.replace(
        "in message['content'] %}", "in message['content'] | reverse %}"
    )
    assert prepare(processor, [PICTURE], "is it odd ?")["input_ids"].shape[1] > 24


# Longer than the model.


@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_a_prompt_longer_than_the_models_positions_has_a_status(family, tmp_path, write_benchmark, lines):
    folder = save(family, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 32
    (folder / "config.json").write_text(json.dumps(config))
    lines[3]["question"] = "is it odd , or is it even ? " * 24
    report = harvest(load(folder), load_jsonl(write_benchmark(lines)), tmp_path / "s.zarr")
    stored = open_store(tmp_path / "s.zarr")["mine"]
    assert stored.status.tolist() == [Status.OK] * 3 + [Status.TOO_LONG] + [Status.OK] * 6
    assert np.isnan(stored.read()[3]).all()
    assert len(report.failures) == 1
    assert "too_long: 2" in report.failures[0]
    assert "the model has 32" in report.failures[0]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, 64),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_type": "linear", "factor": 4.0}}, 256),
        (
            {
                "max_position_embeddings": 128,
                "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
            },
            128,
        ),
        ({"max_position_embeddings": 64, "rope_parameters": {"full_attention": {"factor": 8.0}}}, 512),
        ({}, float("inf")),
        ({"max_position_embeddings": None}, float("inf")),
    ],
)
def test_positions_reach_as_far_as_the_configuration_says(text, most):
    class Text:
        pass

    part = Text()
    part.__dict__.update(text)
    part.get_text_config = lambda: part
    assert most_positions(part) == most


# What stands in front.

LLAVAS = ("llava", "llava_next", "vipllava")


@pytest.fixture(scope="module", params=LLAVAS)
def as_on_hub(request, tmp_path_factory):
    """A checkpoint whose tokenizer adds <s> under a template that does not write it."""
    folder = tmp_path_factory.mktemp(request.param) / "mine"
    return load(save_as_on_hub(request.param, folder, llama_tokenizer(), LLAVA))


def official(processor, pictures, question):
    """Return what transformers makes of a prompt."""
    parts = [{"type": "image"}] * len(pictures) + [{"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    return text, processor(text=[text], images=pictures, return_tensors="pt")


# "a" is also a letter of <image>, "er" one of the words that the template writes before.
QUESTIONS = ["which digit is this ?", "odd", " is it odd ? ", "is it odd ?\nyes or no", "a", "er", "image"]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("pictures", [1, 2])
def test_a_token_that_the_tokenizer_adds_stands_once_in_front(as_on_hub, question, pictures):
    text, expected = official(as_on_hub.processor, [PICTURE] * pictures, question)
    found = prepare(as_on_hub.processor, [PICTURE] * pictures, question)
    assert not text.startswith("<s>")
    assert set(found) == set(expected)
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    assert found["input_ids"][0, 0] == 1
    assert found["input_ids"][0].tolist().count(1) == 1


@pytest.mark.parametrize("control", ["<s>", "</s>", "<image>", "<unk>"])
@pytest.mark.parametrize("wording", ["{}", "is it {} odd ?", "{}{}", "odd{}", "\n{} ASSISTANT:"])
def test_control_tokens_stay_text_where_the_tokenizer_adds_its_own(as_on_hub, control, wording):
    processor = as_on_hub.processor
    ids = processor.tokenizer.convert_tokens_to_ids(["<s>", "</s>", "<image>"])

    def counts(question):
        found = prepare(processor, [PICTURE], question)["input_ids"][0].tolist()
        return [found.count(token) for token in ids]

    assert counts(wording.replace("{}", control)) == counts("odd")


def output_projections_see(loaded, inputs):
    kept = []
    handles = [
        p.module.register_forward_pre_hook(lambda _m, inputs: kept.append(inputs[0][0, -1])) for p in loaded.projections
    ]
    with torch.inference_mode():
        loaded.model(**inputs)
    for handle in handles:
        handle.remove()
    return torch.stack(kept)


def test_vectors_are_those_of_the_official_prompt(as_on_hub, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(as_on_hub, benchmark, tmp_path / "s.zarr")
    stored = open_store(tmp_path / "s.zarr")["mine"]
    for row, sample in enumerate(benchmark.samples()):
        _, inputs = official(as_on_hub.processor, [load_picture(image) for image in sample.images], sample.question)
        expected = output_projections_see(as_on_hub, inputs).numpy().reshape(8, 8)
        np.testing.assert_allclose(stored.read(samples=[row])[0].astype(np.float32), expected, **ROUNDING)


def test_a_template_that_writes_the_token_itself_gets_no_second_one(tmp_path):
    folder = save_as_on_hub("llava", tmp_path / "mine", llama_tokenizer(), "{{ bos_token }}" + LLAVA)
    found = prepare(load(folder).processor, [PICTURE], "is it odd ?")["input_ids"][0].tolist()
    assert (found[0], found.count(1)) == (1, 1)


def test_a_tokenizer_that_ends_every_prompt_is_refused(tmp_path):
    folder = save_as_on_hub("llava", tmp_path / "mine", llama_tokenizer(eos=True), LLAVA)
    with pytest.raises(ModelError, match=r"mine: its tokenizer writes </s> behind every prompt"):
        load(folder)


# Where a template may lie.


def in_tokenizer_config(folder, template):
    edit_json(folder / "tokenizer_config.json", chat_template=template)


def named_in_tokenizer_config(folder, template):
    named = [{"name": "default", "template": template}, {"name": "tool_use", "template": "{{ 'tools' }}"}]
    edit_json(folder / "tokenizer_config.json", chat_template=named)


def in_a_file_of_2024(folder, template):
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))


@pytest.mark.parametrize("place", [in_tokenizer_config, named_in_tokenizer_config, in_a_file_of_2024])
@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision", "gemma3"])
def test_a_template_is_found_wherever_the_hub_keeps_it(family, place, tmp_path):
    folder = save(family, tmp_path / "mine")
    expected = prepare(load(folder).processor, [PICTURE], "is it odd ?")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    place(folder, template)
    found = prepare(load(folder).processor, [PICTURE], "is it odd ?")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_several_templates_without_a_default_are_refused(tmp_path):
    folder = save("qwen2_vl", tmp_path / "mine")
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template=[{"name": "rag", "template": "{{ 1 }}"}])
    with pytest.raises(ModelError, match="none of them the default: rag"):
        load(folder)


def test_idefics_as_on_the_hub_reads_what_transformers_reads(tmp_path):
    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<image>", "<fake_token_around_image>", "<global-img>")
    rows = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    tokenizer = byte_tokenizer(*special, "<end_of_utterance>", *rows)
    loaded = load(save_as_on_hub("idefics3", tmp_path / "mine", tokenizer, IDEFICS))
    _, expected = official(loaded.processor, [PICTURE], "is it odd ?")
    found = prepare(loaded.processor, [PICTURE], "is it odd ?")
    assert torch.equal(found["input_ids"], expected["input_ids"])

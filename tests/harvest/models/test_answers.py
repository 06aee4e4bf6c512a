"""A model's own answer is read where its template writes one: the right token, or all tokens of it."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.families import FAMILIES, build_processor, save
from kit.hub import IDEFICS, LLAVA, THINKING, byte_tokenizer, llama_tokenizer, save_as_on_hub
from savs_benchmarks import Benchmark, Sample, load_picture
from savs_harvest.batches import whole_answers
from savs_harvest.batches.layout_check import load_model, verified
from savs_harvest.batches.whole_answers import MOST_WORDS, chunks
from savs_harvest.errors import ModelError
from savs_harvest.models.answers import FIRST, NONE, WHOLE, _telling, find_answers, ways
from savs_harvest.models.loading import ModelSpec
from savs_harvest.models.prompts import prepare
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import open_store

ROWS = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
BYTES = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<image>", "<end_of_utterance>", "<fake_token_around_image>")


def asked(*classes, answers=None):
    return Benchmark("b", "s", "s", "1", "l", "accuracy", {"all": tuple(classes)}, "p", list, answers or {})


def processor_of(family, tokenizer, template):
    processor = build_processor(family)
    processor.tokenizer, processor.chat_template = tokenizer, template
    return processor


# Of tokenizer and template: which words the first tokens of "yes" and "no" must be, as the tokenizer writes them.
READ = {
    "a space that the template writes": ("idefics3", byte_tokenizer(*BYTES, *ROWS), IDEFICS, [["Ġyes"], ["Ġno"]]),
    "a new line before it": (
        "llava",
        byte_tokenizer(*BYTES),
        LLAVA.replace("'ASSISTANT:'", "'ASSISTANT:\n'").replace(
            "message['role'].upper() + ': '", "message['role'].upper() + ':\n'"
        ),
        [["yes"], ["no"]],
    ),
    "a word sign of the tokenizer": ("llava", llama_tokenizer(), LLAVA, [["▁yes"], ["▁no"]]),
    "no word sign behind a new line": (
        "llava",
        llama_tokenizer(),
        LLAVA.replace("'ASSISTANT:'", "'ASSISTANT:\n'").replace(
            "message['role'].upper() + ': '", "message['role'].upper() + ':\n'"
        ),
        [["y", "e", "s"], ["n", "o"]],
    ),
    "a space at the prompt's end": (
        "llava",
        byte_tokenizer(*BYTES),
        LLAVA.replace("'ASSISTANT:'", "'ASSISTANT: '"),
        [["yes"], ["no"]],
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_the_first_token_is_the_one_that_the_template_writes(kind):
    family, tokenizer, template, expected = READ[kind]
    found = find_answers(processor_of(family, tokenizer, template), asked("yes", "no"))["all"]
    assert found.way == FIRST
    written = [tokenizer.convert_ids_to_tokens(list(tokens))[0] for tokens in found.tokens]
    if expected[0][0] == "y":  # the longest piece that the tokenizer has of a word without a sign
        assert all(word.startswith(first[0]) and "▁" not in word for word, first in zip(written, expected, strict=True))
    else:
        assert [[word] for word in written] == expected


@pytest.mark.parametrize(
    ("tokenizer", "template"),
    list(product([llama_tokenizer(), byte_tokenizer(*BYTES)], [LLAVA, IDEFICS, THINKING])),
)
def test_prompt_and_answer_are_the_answered_turn(tokenizer, template):
    """What is scored is what the model would have been trained on: the tokens of the turn with its answer."""
    processor = processor_of("llava", tokenizer, template)
    found = find_answers(processor, asked("even digit", "even", "odd"))["all"]
    parts = [{"type": "image"}, {"type": "text", "text": "?"}]
    for answer, tokens in zip(("even digit", "even", "odd"), found.tokens, strict=True):
        turns = [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]
        begun = processor.apply_chat_template(turns[:1], add_generation_prompt=True)
        whole = processor.apply_chat_template(turns)
        ids = tokenizer.encode(whole, add_special_tokens=False)
        start = len(tokenizer.encode(begun, add_special_tokens=False))
        written = ids[start : start + len(tokens)]
        if template == LLAVA:  # the space behind an answer is no end
            written[-1] = tokenizer.eos_token_id
        assert tuple(written) == tokens
        assert answer in tokenizer.decode(list(tokens))


# Of templates: what ends an answer that another begins with.
ENDS = {
    "a space, and the end is the model's": (llama_tokenizer(), LLAVA, "</s>"),
    "its own end": (byte_tokenizer(*BYTES), IDEFICS, "<end_of_utterance>"),
    "an end on a line of its own": (
        byte_tokenizer(*BYTES),
        THINKING.replace("<|im_end|>", "{{ '\n' }}<|im_end|>"),
        "Ċ",
    ),
    "no answered turn": (
        llama_tokenizer(),
        "{{ messages[1].nothing.at_all if messages | length > 1 }}" + LLAVA,
        "</s>",
    ),
}


@pytest.mark.parametrize("kind", ENDS)
def test_an_answer_that_another_begins_with_is_told_apart_by_its_end(kind):
    tokenizer, template, end = ENDS[kind]
    found = find_answers(processor_of("llava", tokenizer, template), asked("digit", "digit one", "even"))["all"]
    assert found.way == WHOLE
    assert [tokenizer.convert_ids_to_tokens(tokens[-1]) for tokens in found.tokens] == [end] * 3


WORDS = st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple)


@given(st.lists(WORDS, min_size=1, max_size=6, unique=True))
def test_ends_are_written_where_one_answer_begins_another_and_nowhere_else(whole):
    found = _telling([(tokens, 9) for tokens in whole])
    begun = any(a != b and b[: len(a)] == a for a in whole for b in whole)
    first = [tokens[:1] for tokens in whole]
    expected = first if len(set(first)) == len(first) else [(*tokens, 9) for tokens in whole] if begun else whole
    assert list(found) == expected


def test_answers_that_nothing_ends_are_not_told_apart():
    tokenizer = llama_tokenizer()
    tokenizer.eos_token = None
    template = LLAVA.replace("+ ' '}}{% endgeneration", "}}{% endgeneration")
    assert template != LLAVA
    processor = processor_of("llava", tokenizer, template)
    assert ways(find_answers(processor, asked("digit", "digit one"))) == {"all": NONE}
    assert ways(find_answers(processor, asked("digit two", "digit one"))) == {"all": WHOLE}


def test_a_block_in_front_of_every_answer_makes_them_whole():
    tokenizer = byte_tokenizer(*BYTES)
    found = find_answers(processor_of("llava", tokenizer, THINKING), asked("yes", "no"))["all"]
    assert found.way == WHOLE
    assert [tokenizer.decode(list(tokens)) for tokens in found.tokens] == [
        f"<think>\n\n</think>\n\n{answer}" for answer in ("yes", "no")
    ]


def test_a_template_that_knows_no_answered_turn_is_answered_in_plain_words():
    refuses = "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}" + LLAVA
    tokenizer = llama_tokenizer()
    found = find_answers(processor_of("llava", tokenizer, refuses), asked("yes", "no"))["all"]
    assert [tokenizer.convert_ids_to_tokens(list(tokens)) for tokens in found.tokens] == [["▁yes"], ["▁no"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_as_its_template_does(family):
    processor = build_processor(family)
    found = find_answers(processor, asked("even", "odd"))
    encode = processor.tokenizer.encode
    expected = [encode(word, add_special_tokens=False)[0] for word in ("even", "odd")]
    if expected[0] == expected[1]:  # a tokenizer class of its own that knows none of our words
        assert ways(found) == {"all": NONE}
    else:
        assert found["all"].first == expected


# Whole answers.

CLASSES = ("digit one", "digit one , odd", "digit two", "digit")
WHOLE_FAMILIES = [
    *("qwen2_vl", "gemma3", "paligemma"),
    *(pytest.param(family, marks=pytest.mark.slow) for family in ("llava_onevision", "mllama", "idefics3")),
]


@pytest.fixture(scope="module", params=WHOLE_FAMILIES)
def any_model(request, tmp_path_factory):
    folder = save(request.param, tmp_path_factory.mktemp(request.param))
    return load_model(ModelSpec(request.param.replace("_", "-"), str(folder), "float32"), "cpu")


def whole_benchmark():
    pictures = [Image.radial_gradient("L").resize(size).convert("RGB") for size in ((32, 32), (48, 32), (32, 64))]
    samples = [
        Sample("a", (pictures[0],), "which digit is this ?", CLASSES[0], "either", "named"),
        Sample("b", (pictures[0],), "say it", CLASSES[2], "either", "named"),
        Sample("c", (pictures[1], pictures[2]), "which digit ?", CLASSES[1], "either", "named"),
        Sample("d", (pictures[2],), "is it odd ?", "odd", "either", "told"),
        Sample("e", (pictures[2],), "is it even ?", CLASSES[3], "either", "named"),
    ]
    tasks = {"named": tuple(sorted(CLASSES)), "told": ("even", "odd")}
    return Benchmark("w", "s", "s", "1", "l", "accuracy", tasks, "p", lambda: iter(samples))


def alone(loaded, sample, tokens):
    """Return the log-probability of tokens behind a prompt, one model call a token."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    total = 0.0
    for token in tokens:
        with torch.inference_mode():
            total += float(loaded.model(**inputs).logits[0, -1].log_softmax(-1)[token])
        longer = dict(inputs)
        answer_type = 1 if loaded.model.config.model_type == "paligemma" else 0  # as its `generate` says
        for name, more in (
            ("input_ids", token),
            ("attention_mask", 1),
            ("token_type_ids", answer_type),
            ("mm_token_type_ids", 0),
        ):
            if name in inputs:
                longer[name] = torch.cat([inputs[name], torch.tensor([[more]], dtype=inputs[name].dtype)], 1)
        if "cross_attention_mask" in inputs:
            longer["cross_attention_mask"] = torch.cat(
                [inputs["cross_attention_mask"], inputs["cross_attention_mask"][:, -1:]], 1
            )
        inputs = longer
    return total


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(share=False), Settings(pack=True)], ids=["", "alone", "pack"]
)
def test_whole_answers_have_the_sum_of_their_tokens_log_probabilities(any_model, settings, tmp_path):
    benchmark = whole_benchmark()
    if settings.pack and not any_model.family.packs:
        with pytest.raises(ModelError, match="cannot be packed"):
            harvest(any_model, benchmark, tmp_path / "s.zarr", settings)
        return
    report = harvest(any_model, benchmark, tmp_path / "s.zarr", settings)
    stored = open_store(tmp_path / "s.zarr")[any_model.name]
    answers = find_answers(any_model.processor, benchmark)
    assert report.answers == stored.identity["answers"] == {"named": WHOLE, "told": FIRST}
    for row, sample in enumerate(benchmark.samples()):
        expected = [alone(any_model, sample, tokens) for tokens in answers[sample.task].tokens]
        np.testing.assert_allclose(stored.logits[row, : len(expected)], expected, rtol=0, atol=1e-4)
        assert np.isnan(stored.logits[row, len(expected) :]).all()
    assert np.abs(np.diff(stored.logits[[0, 1, 4]], axis=0)).min() > 1e-3  # no prompt could be mistaken for another


@pytest.mark.parametrize(("most", "statuses"), [(14, {"OK": 1}), (13, {"TOO_LONG": 1})])
def test_answers_need_positions_as_well(most, statuses, tmp_path):
    """A prompt of twelve tokens, and answers of three: the last token of an answer is read, not written."""
    loaded = load_model(ModelSpec("mine", str(save("llava", tmp_path / "mine")), "float32"), "cpu")
    loaded.model.config.text_config.max_position_embeddings = most
    sample = Sample("a", (Image.new("RGB", (32, 32)),), "is it odd", "digit one even", "either")
    tasks = {"all": ("digit one even", "digit one odd")}
    benchmark = Benchmark("b", "s", "s", "1", "l", "accuracy", tasks, "p", lambda: iter([sample]))
    assert prepare(loaded.processor, sample.images, sample.question)["input_ids"].shape[1] == 12
    report = harvest(loaded, benchmark, tmp_path / "s.zarr")
    assert report.statuses == statuses
    assert all("14 positions, 2 of them its answers', the model has 13" in failure for failure in report.failures)


class LooksAcross(torch.nn.Module):
    """A feed-forward part that mixes the rows of a call: one row is safe, two are not."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, states):
        return self.part(states) + states.mean(0, keepdim=True)


def test_where_samples_run_alone_so_do_whole_answers(tmp_path):
    loaded = load_model(ModelSpec("mine", str(save("llava", tmp_path / "mine")), "float32"), "cpu")
    layer = loaded.model.get_decoder().layers[0]
    layer.mlp = LooksAcross(layer.mlp)
    found, benchmark = verified(loaded), whole_benchmark()
    assert found.family.alone
    harvest(found, benchmark, tmp_path / "s.zarr")
    logits, answers = open_store(tmp_path / "s.zarr")["mine"].logits, find_answers(found.processor, benchmark)
    for row, sample in enumerate(benchmark.samples()):
        expected = [alone(found, sample, tokens) for tokens in answers[sample.task].tokens]
        np.testing.assert_allclose(logits[row, : len(expected)], expected, rtol=0, atol=1e-4)


def test_vectors_do_not_change_with_the_way_answers_are_read(any_model, tmp_path):
    harvest(any_model, whole_benchmark(), tmp_path / "s.zarr")
    harvest(any_model, whole_benchmark(), tmp_path / "s.zarr", Settings(logits=False), Keeping("silent"))
    store = open_store(tmp_path / "s.zarr")
    np.testing.assert_allclose(store[any_model.name].read(), store["silent"].read(), rtol=2**-10, atol=1e-4)
    assert np.isnan(store["silent"].logits).all()


@given(st.lists(st.integers(1, 80), min_size=1, max_size=60), st.integers(1, 500), st.integers(1, 2000), st.booleans())
def test_calls_hold_all_answers_once_and_what_the_budget_allows(lengths, prompt, budget, shares):
    answers = [range(length) for length in lengths]
    parts = list(chunks(answers, prompt, budget, shares))
    within = max(budget, 2 * prompt) if shares else budget
    assert [number for part in parts for number in part] == list(range(len(lengths)))
    for part in parts:
        words = sum(lengths[number] for number in part)
        tokens = words + prompt * (1 if shares else len(part))
        assert len(part) == 1 or (words <= MOST_WORDS and tokens <= within)


@pytest.mark.parametrize("how", ["packed", "shared", "padded"])
def test_no_call_for_answers_holds_more_than_the_budget(how, tmp_path, monkeypatch):
    """Packed, every answer stands behind a prompt of its own: a thousand of them were one call."""
    loaded = load_model(ModelSpec("mine", str(save("llava", tmp_path / "mine")), "float32"), "cpu")
    laid, lay = [], getattr(whole_answers, how)

    def measured(*arguments, **options):
        laid.append(lay(*arguments, **options))
        return laid[-1]

    monkeypatch.setattr(whole_answers, how, measured)
    words = ["even", "is", "odd", "one", "three", "two"]
    sample = Sample("a", (Image.new("RGB", (32, 32)),), "is it odd", "even odd one", "either")
    tasks = {"all": tuple(f"{first} {second} one" for first, second in product(words, repeat=2))}
    benchmark = Benchmark("b", "s", "s", "1", "l", "accuracy", tasks, "p", lambda: iter([sample]))
    settings = Settings(64, share=how != "padded", pack=how == "packed")
    assert harvest(loaded, benchmark, tmp_path / "s.zarr", settings).answers == {"all": WHOLE}
    assert len(laid) > 1
    assert max(layout.inputs["input_ids"].numel() for layout in laid) <= 64


def test_many_classes_are_read_in_several_calls(any_model, tmp_path, monkeypatch):
    monkeypatch.setattr("savs_harvest.batches.whole_answers.MOST_WORDS", 4)
    harvest(any_model, whole_benchmark(), tmp_path / "few.zarr")
    monkeypatch.undo()
    harvest(any_model, whole_benchmark(), tmp_path / "all.zarr")
    few, many = (open_store(tmp_path / name)[any_model.name].logits for name in ("few.zarr", "all.zarr"))
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-4)


def test_idefics_reads_the_word_with_its_space(tmp_path):
    tokenizer = byte_tokenizer(*BYTES, "<global-img>", *ROWS)
    loaded = load_model(
        ModelSpec("mine", str(save_as_on_hub("idefics3", tmp_path / "mine", tokenizer, IDEFICS)), "float32"), "cpu"
    )
    sample = Sample("a", (Image.new("RGB", (32, 32), "orange"),), "is it odd ?", "yes", "either")
    benchmark = Benchmark("b", "s", "s", "1", "l", "accuracy", {"all": ("no", "yes")}, "p", lambda: iter([sample]))
    harvest(loaded, benchmark, tmp_path / "s.zarr")
    words = tokenizer.convert_tokens_to_ids(["Ġno", "Ġyes"])
    expected = [alone(loaded, sample, [word]) for word in words]
    np.testing.assert_allclose(open_store(tmp_path / "s.zarr")["mine"].logits[0], expected, rtol=0, atol=1e-4)

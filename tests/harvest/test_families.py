"""Any family: its layers are found and labelled, and what is stored of a sample is what the sample gives alone."""

import numpy as np
import pytest
import torch
from families import FAMILIES, save
from PIL import Image

from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.errors import ModelError
from savs_harvest.families import rules
from savs_harvest.models import ModelSpec, load_model
from savs_harvest.prompts import Shot, prepare
from savs_harvest.run import Settings, harvest
from savs_stores import Status, open_store, verify
from savs_stores.schema import HEAD_KINDS

ROUNDING = {"rtol": 2**-11, "atol": 3e-5}  # half a step of float16, and fp32 sums in another order
TWO = ((0, 4, 8, "self"), (1, 4, 8, "self"))
WIDE = ((0, 4, 16, "self"), (1, 4, 16, "self"))

# (layer, heads, width, kind) of every layer with heads, as the configurations in `families` say.
SHAPES = {
    **dict.fromkeys(
        "qwen2_vl qwen2_5_vl llava_onevision llava llava_next vipllava internvl idefics3 smolvlm".split(), TWO
    ),
    **dict.fromkeys("qwen3_vl gemma3 mistral3 paligemma aya_vision".split(), WIDE),
    "mllama": ((0, 4, 8, "self"), (1, 4, 8, "cross"), (2, 4, 8, "self")),
    "gemma4": ((0, 4, 8, "self"), (1, 4, 8, "self"), (2, 4, 16, "self")),
    **dict.fromkeys(("qwen3_5", "minicpmv4_6"), ((1, 4, 16, "gated"), (3, 4, 16, "gated"))),
    "dots3_note": ((0, 4, 16, "gated"), (1, 2, 8, "gated"), (2, 4, 16, "gated")),
}


EVERY = pytest.mark.parametrize("any_model", FAMILIES, indirect=True)
# The others run with -m slow.
QUICK = ("qwen2_vl", "llava_onevision", "idefics3", "gemma3")
SOME = pytest.mark.parametrize(
    "any_model",
    [family if family in QUICK else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES],
    indirect=True,
)


@pytest.fixture(scope="module")
def any_model(request, tmp_path_factory):
    folder = save(request.param, tmp_path_factory.mktemp(request.param))
    return load_model(ModelSpec(request.param.replace("_", "-"), str(folder), "float32"), "cpu")


def alone(loaded, sample):
    """Return (the input of every projection [head * dim], log-probabilities, tokens) of one sample alone."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    kept, handles = [], []
    for name, module in loaded.model.get_decoder().named_modules():
        if name.endswith(("self_attn.o_proj", "cross_attn.o_proj")):
            handles.append(module.register_forward_hook(lambda _m, inputs, _o: kept.append(inputs[0][0, -1])))
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits[0, -1]
    for handle in handles:
        handle.remove()
    encode = loaded.processor.tokenizer.encode
    answers = [encode(answer, add_special_tokens=False)[:1] for answer in ("even", "odd")]
    tellable = all(answers) and answers[0] != answers[1]
    log_probabilities = logits.log_softmax(-1)[[ids[0] for ids in answers]].numpy() if tellable else np.full(2, np.nan)
    return [vector.numpy() for vector in kept], log_probabilities, inputs["input_ids"].shape[1]


class CountedTokens:
    """Counts the rows and tokens of every model call while it is open."""

    def __init__(self, model):
        self.model, self.shapes = model, []

    def __enter__(self):
        keep = lambda _module, _args, inputs: self.shapes.append(tuple(inputs["input_ids"].shape))  # noqa: E731
        self.handle = self.model.register_forward_pre_hook(keep, with_kwargs=True)
        return self.shapes

    def __exit__(self, *_):
        self.handle.remove()


def check_store(loaded, benchmark, place):
    """Compare every row of a store with what its sample gives alone; return how many tokens that takes."""
    stored = open_store(place)[loaded.name]
    assert list(verify(open_store(place))) == []
    vectors = stored.read().astype(np.float32)
    shape = SHAPES[loaded.model.config.model_type]
    samples = list(benchmark.samples())
    assert stored.status.tolist() == [Status.OK] * len(samples)
    for row, sample in enumerate(samples):
        expected, log_probabilities, tokens = alone(loaded, sample)
        assert len(expected) == len(shape)
        start = 0
        for (_, heads, width, _), layer in zip(shape, expected, strict=True):
            found = vectors[row, start : start + heads]
            np.testing.assert_allclose(found[:, :width], layer.reshape(heads, width), **ROUNDING)
            assert not found[:, width:].any()
            start += heads
        np.testing.assert_allclose(stored.logits[row], log_probabilities, rtol=0, atol=1e-4)
        assert stored.n_tokens[row] == tokens
    differences = np.abs(vectors[:, None] - vectors[None]).max((2, 3))[np.triu_indices(len(vectors), 1)]
    if loaded.model.config.model_type != "qwen3_5":  # its own tokenizer class does not know all our words
        assert differences.min() > 1e-2  # no sample could be mistaken for another
    assert np.median(differences) > 0.1
    return int(stored.n_tokens.sum())


@EVERY
def test_every_stored_vector_is_what_the_sample_gives_alone(any_model, write_benchmark, lines, tmp_path):
    lines[7]["question"] = "<image> is it odd ? <|im_end|>"
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(any_model, benchmark, tmp_path / "s.zarr", shard_samples=8)
    check_store(any_model, benchmark, tmp_path / "s.zarr")


def shared_pictures(lines):
    """Return three questions about one picture, two about two, and one that stands alone."""
    shown = [["0.png"], ["4.png", "5.png"], ["0.png"], ["0.png"], ["4.png", "5.png"], ["3.png"]]
    asked = [
        "is it odd ?",
        "odd or even ?",
        "look carefully , odd or even ?",
        "is it even ?",
        "is it odd ?",
        "which digit ?",
    ]
    return [
        {"images": images, "question": question, "label": "even", "id": str(number)}
        for number, (images, question) in enumerate(zip(shown, asked, strict=True))
    ] + [lines[1]]


@SOME
def test_pictures_that_are_shared_run_once_where_the_family_allows_it(any_model, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(shared_pictures(lines)))
    with CountedTokens(any_model.model) as shapes:
        harvest(any_model, benchmark, tmp_path / "s.zarr")
    alone_tokens = check_store(any_model, benchmark, tmp_path / "s.zarr")
    shares = rules(any_model.model.config).shares
    assert sum(rows for rows, _ in shapes) == (4 if shares else 7)
    if shares:
        assert sum(rows * tokens for rows, tokens in shapes) < alone_tokens


@SOME
def test_samples_packed_into_one_row_are_blind_to_each_other(any_model, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    if not rules(any_model.model.config).shares:
        with pytest.raises(ModelError, match="cannot be packed"):
            harvest(any_model, benchmark, tmp_path / "s.zarr", Settings(pack=True))
        return
    with CountedTokens(any_model.model) as shapes:
        harvest(any_model, benchmark, tmp_path / "s.zarr", Settings(pack=True))
    alone_tokens = check_store(any_model, benchmark, tmp_path / "s.zarr")
    assert shapes == [(1, alone_tokens)]  # not one token of padding
    assert "savs" not in any_model.model.config.get_text_config()._attn_implementation


@EVERY
def test_every_layer_is_labelled(any_model, write_benchmark, lines, tmp_path):
    shape = SHAPES[any_model.model.config.model_type]
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in any_model.projections] == list(shape)
    harvest(any_model, load_jsonl(write_benchmark(lines[:2])), tmp_path / "s.zarr")
    table = open_store(tmp_path / "s.zarr")[any_model.name].heads
    each = [(layer, head, width, kind) for layer, heads, width, kind in shape for head in range(heads)]
    columns = table.layer, table.head_in_layer, table.head_dim, table.kind
    assert [(*place, HEAD_KINDS[kind]) for *place, kind in zip(*(c.tolist() for c in columns), strict=True)] == each
    assert table.dim == max(width for _, _, width, _ in shape)


@SOME
def test_control_tokens_in_the_answer_of_a_shot_are_text(any_model):
    picture = Image.new("RGB", (32, 32))
    processor = any_model.processor

    def placeholders(answer):
        ids = prepare(processor, [picture], "odd ?", [Shot([picture], "odd ?", answer)])["input_ids"][0].tolist()
        return [ids.count(token) for token in processor.tokenizer.convert_tokens_to_ids(["<image>", "<|im_end|>"])]

    assert placeholders("<image> odd <|im_end|>") == placeholders("odd")


@EVERY
def test_the_familys_own_placeholder_in_a_question_costs_no_sample(any_model):
    """Some processors counted it among those of the pictures and refused the sample."""
    picture, processor, config = Image.new("RGB", (32, 32)), any_model.processor, any_model.model.config
    placeholder = getattr(config, "image_token_id", None) or config.image_token_index

    def placeholders(question):
        return prepare(processor, [picture], question)["input_ids"][0].tolist().count(placeholder)

    word = processor.tokenizer.convert_ids_to_tokens(placeholder)
    assert placeholders(f"is it {word} odd ?") == placeholders("is it odd ?") > 0


@EVERY
def test_layers_without_heads_are_named(any_model):
    linear = [[0, "Qwen3_5GatedDeltaNet"], [2, "Qwen3_5GatedDeltaNet"]]
    expected = linear if any_model.model.config.model_type in ("qwen3_5", "minicpmv4_6") else []
    assert any_model.identity["layers_without_heads"] == expected


@EVERY
def test_pictures_are_prepared_by_pillow(any_model):
    assert any_model.identity["image_backend"].endswith("Pil")

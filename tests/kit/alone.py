"""What a sample gives alone: the oracle of every way to run samples together."""

import numpy as np
import torch

from savs_benchmarks import load_picture
from savs_harvest.models.prompts import prepare
from savs_stores import Status, open_store, verify

ENDS = ("self_attn.o_proj", "cross_attn.o_proj", "attn.c_proj", "attention.dense", "self_attn.out_proj")
ROUNDING = {"rtol": 2**-11, "atol": 3e-5}  # half a step of float16, and fp32 sums in another order
TWO = ((0, 4, 8, "self"), (1, 4, 8, "self"))
WIDE = ((0, 4, 16, "self"), (1, 4, 16, "self"))

# (layer, heads, width, kind) of every layer with heads, as the configurations in `families` say.
SHAPES = {
    **dict.fromkeys(
        "qwen2_vl qwen2_5_vl llava_onevision llava llava_next vipllava internvl idefics3 smolvlm".split(), TWO
    ),
    **dict.fromkeys("qwen3_vl gemma3 mistral3 paligemma aya_vision".split(), WIDE),
    **dict.fromkeys("llama qwen2 gpt2 gpt_neox opt".split(), TWO),
    **dict.fromkeys("qwen3 mistral gemma2 gemma3_text".split(), WIDE),
    "mllama": ((0, 4, 8, "self"), (1, 4, 8, "cross"), (2, 4, 8, "self")),
    "gemma4": ((0, 4, 8, "self"), (1, 4, 8, "self"), (2, 4, 16, "self")),
    **dict.fromkeys(("qwen3_5", "minicpmv4_6"), ((1, 4, 16, "gated"), (3, 4, 16, "gated"))),
    "dots3_note": ((0, 4, 16, "gated"), (1, 2, 8, "gated"), (2, 4, 16, "gated")),
}


def alone(loaded, sample):
    """Return (the input of every projection [head * dim], log-probabilities, tokens) of one sample alone."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    kept, handles = {}, []
    for name, module in loaded.model.get_decoder().named_modules():
        if name.endswith(ENDS):
            # A layer that looks at pictures gives nothing where there is none.
            kept[name] = torch.zeros(module.weight.shape[1])
            keep = lambda _m, inputs, _o, name=name: kept.__setitem__(name, inputs[0][0, -1])  # noqa: E731
            handles.append(module.register_forward_hook(keep))
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits[0, -1]
    for handle in handles:
        handle.remove()
    encode = loaded.processor.tokenizer.encode
    answers = [encode(answer, add_special_tokens=False)[:1] for answer in ("even", "odd")]
    tellable = all(answers) and answers[0] != answers[1]
    log_probabilities = logits.log_softmax(-1)[[ids[0] for ids in answers]].numpy() if tellable else np.full(2, np.nan)
    return [vector.numpy() for vector in kept.values()], log_probabilities, inputs["input_ids"].shape[1]


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
    if loaded.model.config.model_type not in (
        "qwen2",
        "qwen3_5",
    ):  # their tokenizers' class does not know all our words
        assert differences.min() > 1e-2  # no sample could be mistaken for another
    assert np.median(differences) > 0.1
    return int(stored.n_tokens.sum())


def with_words(lines):
    """Return the lines, with questions in words alone between them: of other lengths, one with control tokens."""
    asked = ["is it odd ?", "look carefully , is it odd , or is it even ?", "name it", "<image> odd ? <|im_end|>"]
    rows = [
        {"question": question, "label": ("even", "odd")[n % 2], "id": f"words {n}"} for n, question in enumerate(asked)
    ]
    named = [{"id": f"line {number}"} | line for number, line in enumerate(lines)]
    return [*rows[:2], *named[:2], rows[2], *named[2:], rows[3]]


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

"""A family on trial: its tiny checkpoint, harvested in every way, each vector held against the sample alone."""

import json
import re
from collections import Counter
from contextlib import ExitStack
from textwrap import shorten

import numpy as np
import torch
from PIL import Image

from kit.alone import ROUNDING
from kit.zoo.build import NoPillowError, new_model, new_processor, save
from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.batches.experts import expert_layers
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models.loading import load_checkpoint
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.encoding import Encoder, Question
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import Status, class_vectors, open_store

EXACT, REFUSED, ABSENT, WRONG = "exact", "refused", "not instantiable", "wrong"
# What families of transformers call the last product of an attention, in a module that its own name ends.
OUTPUTS = ("self_attn.o_proj", "cross_attn.o_proj", "self_attn.out_proj", "self_attn.dense", "self_attention.o_proj")
NOT_WORDS = re.compile(r"vision|visual|perceiver|connector|qformer|audio|resampler|projector|image|vq")
ASKED = ("odd or even ?", "is the digit odd or even ?", "look carefully , is it odd , or is it even ?")
PICTURES = [
    *[{"images": [f"{n}.png"], "question": ASKED[n % 3]} for n in range(5)],
    {"images": ["0.png"], "question": ASKED[2]},
    {"images": ["0.png"], "question": "is it odd ?"},
]
PAIRS = [
    {"images": ["1.png", "2.png"], "question": "is it odd ?"},
    {"images": ["1.png", "2.png"], "question": "odd or even ?"},
]
WORDS = [{"question": words} for words in (*ASKED, "name it")]


def spec(folder):
    return ModelSpec("it", str(folder), "float32")


def picture(number):
    """Return a picture of a size and colour of its own, nowhere flat: some families see little more than the mean."""
    random = np.random.default_rng(number)
    height, width = 32 + 9 * (number % 2), 32 + 6 * (number % 3)
    noise = random.integers(0, 120, (height, width, 3)) + random.integers(0, 135, 3)
    return Image.fromarray(noise.astype(np.uint8))


def write_benchmark(folder, rows):
    """Write rows with the pictures they name; return the file."""
    folder.mkdir(exist_ok=True)
    for number in range(5):
        picture(number).save(folder / f"{number}.png")
    lines = [{**row, "label": ("even", "odd")[n % 2], "id": str(n)} for n, row in enumerate(rows)]
    (folder / "it.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "it.jsonl"


def alone(loaded, sample, order=None):
    """Return what hooks of their own see of one sample alone: (the input of every output projection, in the order in
    which they run, or in this one with zeros for those that do not run; the log-probabilities of words)."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    seen = {}
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in loaded.model.named_modules():
            if name.endswith(OUTPUTS) and not NOT_WORDS.search(name):
                keep = lambda _module, given, _output, name=name: seen.__setitem__(name, given[0][0, -1])  # noqa: E731
                hooks.callback(module.register_forward_hook(keep).remove)
        logits = loaded.model(**inputs).logits[0, -1].log_softmax(-1)
    if order is None:
        return seen, logits
    widths = {projection.name: projection.heads * projection.head_dim for projection in loaded.projections}
    return [seen.get(name, torch.zeros(width)) for name, width in zip(order, widths.values(), strict=True)], logits


def differs(loaded, rows, folder, settings):
    """Harvest rows; return in words where a stored vector is not what its sample gives alone, "" where none is."""
    benchmark = load_jsonl(write_benchmark(folder, rows))
    try:
        report = harvest(loaded, benchmark, folder / "s.zarr", settings)
    except ModelError as error:
        return in_a_line(error)
    if report.statuses != {"OK": len(rows)}:
        return shorten(report.failures[0].reason, 200)
    stored = open_store(folder / "s.zarr")["it"]
    assert stored.status.tolist() == [Status.OK] * len(rows)
    samples = list(benchmark.samples())
    order = list(alone(loaded, next(load_jsonl(write_benchmark(folder / "one", PICTURES)).samples()))[0])
    vectors, shape = stored.read().astype(np.float32), [(p.heads, p.head_dim) for p in loaded.projections]
    for row, sample in enumerate(samples):
        expected, logits = alone(loaded, sample, order)
        if [heads * width for heads, width in shape] != [len(vector) for vector in expected]:
            return f"{len(shape)} layers were captured, {len(expected)} are there"
        start = 0
        for (heads, width), layer in zip(shape, expected, strict=True):
            found = vectors[row, start : start + heads]
            if (
                not np.allclose(found[:, :width], layer.view(heads, width).numpy(), **ROUNDING)
                or found[:, width:].any()
            ):
                return f"sample {row}: {np.abs(found[:, :width] - layer.view(heads, width).numpy()).max():.2g} away"
            start += heads
        encode = loaded.processor.tokenizer.encode
        answers = [token for answer in ("even", "odd") for token in encode(answer, add_special_tokens=False)[:1]]
        # Some classes of tokenizers know none of our words.
        if len(set(answers)) == 2 and not np.allclose(stored.logits[row], logits[answers].numpy(), rtol=0, atol=1e-4):
            return f"sample {row}: its log-probabilities are {stored.logits[row]}, alone {logits[answers]}"
    return "" if tells_apart(vectors, [asked_of(loaded, sample) for sample in samples]) else "samples look the same"


def asked_of(loaded, sample):
    """Return what a model is told of a sample: its tokens, which some tokenizers know none of, and its pictures."""
    tokens = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)["input_ids"]
    return tuple(tokens[0].tolist()), tuple(map(str, sample.images))


def tells_apart(vectors, asked):
    """Tell whether samples of which other things are asked have other vectors."""
    places = list({told: place for place, told in enumerate(asked)}.values())
    spread = np.abs(vectors[places][:, None] - vectors[places][None]).max((2, 3))
    return bool((spread + np.eye(len(places)) > 1e-3).all())


def shortened(loaded, folder):
    """Return whether a model that ends early gives the same to the bit, and whether it is loaded whole."""
    depths = [projection.layer + 1 for projection in loaded.projections]
    if len(depths) < 2:
        return "one layer"
    asked = [Question(tuple(load_picture(image) for image in load_samples(folder)[0].images), ASKED[1])]
    part = load_checkpoint(spec(folder / "model"), "cpu", layers=depths[0])
    found, whole = Encoder(part).run(asked).vectors, Encoder(loaded).run(asked).vectors
    heads = part.projections[0].heads
    if not (found == whole[:, :heads, : found.shape[2]]).all():
        return WRONG
    return "whole" if any("loaded whole" in remark for remark in part.remarks) else EXACT


def load_samples(folder):
    return list(load_jsonl(write_benchmark(folder / "one", PICTURES[:1])).samples())


def tried(family, folder):
    """Return what came of a family: its verdict, why, the kinds of its layers, and what each way to run it gives."""
    faults = {}
    for part, make in (("processor", new_processor), ("model", new_model)):
        try:
            make(family)
        except NoPillowError as error:
            return {"verdict": REFUSED, "reason": str(error)}
        except Exception as error:
            faults[part] = in_a_line(error)
    if "model" in faults:
        return {"verdict": ABSENT, "reason": faults["model"]}
    if "processor" in faults:
        return {"verdict": REFUSED, "reason": f"its processor: {faults['processor']}"}
    try:
        loaded = load_model(spec(save(family, folder / "model")), "cpu")
    except ModelError as error:
        words = in_a_line(error).replace(f"{folder / 'model'}: ", "").replace(str(folder / "model"), "it")
        return {"verdict": REFUSED, "reason": re.sub(r"its (\w+) \([^)]*\) cannot be (run|used|loaded): ", "", words)}
    kinds = Counter(projection.kind for projection in loaded.projections)
    found = {
        "kinds": dict(kinds),
        "heads": [[p.layer, p.heads, p.head_dim, p.kind] for p in loaded.projections],
        "experts": bool(expert_layers(loaded.model)),
        "without": len(loaded.identity["layers_without_heads"]),
        "remarks": list(loaded.remarks),
        "template": "documented" if any("chat template" in remark for remark in loaded.remarks) else "its own",
    }
    batched = differs(loaded, PICTURES, folder / "batched", Settings(share=False))
    ways = {"alone": EXACT if loaded.family.alone else "", "batched": "one by one" if loaded.family.alone else EXACT}
    if batched:
        return {"verdict": WRONG, "reason": batched, **found}
    pairs = differs(loaded, [*PICTURES, *PAIRS], folder / "pairs", Settings(share=False))
    ways["several"] = f"no: {pairs}" if pairs else EXACT
    rows = PICTURES if pairs else [*PICTURES, *PAIRS]
    ways["shared"] = "no" if not loaded.family.shares else differs(loaded, rows, folder / "shared", Settings()) or EXACT
    packed = Settings(pack=True)
    ways["packed"] = "no" if not loaded.family.packs else differs(loaded, rows, folder / "packed", packed) or EXACT
    words = differs(loaded, WORDS, folder / "words", Settings())
    ways["words"] = f"no: {words}" if words else EXACT
    ways["layers"] = shortened(loaded, folder)
    ways["classes"] = EXACT if class_vectors(open_store(folder / "batched" / "s.zarr")["it"]) else "no"
    return {"verdict": EXACT, "reason": "", **found, "ways": ways}


def in_a_line(error):
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return shorten(words.removeprefix("ModelError: "), 400, placeholder=" ...")

"""Harvesting the papers' way, written plainly, against ours: time, memory, and that both give the same vectors.

make perf    prints the table and writes docs/harvest-performance.md
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "harvest-performance.md"
SUPPORT, TEST, REPEATS = 20, 40, 3
# As many words as give the output embedding the share of the language model's work that it has at 7B: 8 %.
TEXT_CONFIG = {
    "vocab_size": 1900,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
# Of each family: what differs from the tiny configuration of the tests, and the image processor's settings.
MIDDLE = {
    "qwen2_vl": (
        {
            "text_config": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}},
            "vision_config": {"depth": 8, "embed_dim": 128, "hidden_size": 256, "num_heads": 4, "patch_size": 14},
        },
        {"patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 12845056}},
        {},
    ),
    "llava_onevision": (
        {
            "vision_config": {
                "hidden_size": 128,
                "intermediate_size": 352,
                "num_hidden_layers": 8,
                "num_attention_heads": 4,
                "image_size": 140,
                "patch_size": 14,
            },
            "image_grid_pinpoints": [[140 * i, 140 * j] for i in range(1, 4) for j in range(1, 4)],
        },
        {
            "size": {"height": 140, "width": 140},
            "image_grid_pinpoints": [[140 * i, 140 * j] for i in range(1, 4) for j in range(1, 4)],
        },
        {"num_image_tokens": 100},
    ),
}
WORDS = "which digit is this ? look carefully , is it odd , or is it even ? please answer yes or no .".split()
TEXT = """# Performance of a harvest

Measured by `make perf` in one run, each cell in a process of its own, one thread, float32. {date}, {machine}.

Random models of the papers' families, 8 layers x 8 heads x 32, vision towers of 8 layers x 128, and 1,900 words: the
output embedding has the share of the language model's work that it has at 7B, 8 %. {support} samples to learn from
and {test} to test, pictures of 360 to 500 pixels, prompts of {qwen} (Qwen2-VL) and {llava} (LLaVA-OneVision) tokens;
1, 2 or 5 questions a picture. *Official* is what the papers' code does, written plainly: one sample at a time, input
and output of every output projection kept for all tokens, all logits, key-value cache, three passes over the samples
to learn from. It is not given the time to write anything. *Ours* is `harvest`: pictures hashed, prepared and run
under a budget of {budget} tokens, with zero-shot logits, store written and brought to the disk. Seconds are of the
processor{repeats}; memory is the peak above the loaded model.

| model | questions a picture | official | ours | times faster | official, memory | ours, memory |
|---|---|---|---|---|---|---|
"""
END = """
Largest difference between both ways' vectors, relative to the largest value: {difference:.0e}
(the store keeps float16).

The gain has four parts: one pass instead of three over the samples to learn from, nothing computed that nobody
reads (logits and what follows the last layer's heads, but at one position), patches embedded by a product of matrices
(Qwen's families), and pictures that several questions share read once.
On a GPU a fifth comes: batches hide the start of kernels and the reading of weights, which one sample at a time
cannot ([harvest-gpu.md](harvest-gpu.md)).
"""


def build(family, folder):
    sys.path.append(str(ROOT / "tests"))
    from kit import families

    config, image, settings = MIDDLE[family]
    tiny, tiny_image, tiny_settings, placeholder = families.FAMILIES[family]
    merged = {**tiny, **config}
    merged["text_config"] = {**tiny["text_config"], **TEXT_CONFIG, **config.get("text_config", {})}
    merged["vision_config"] = {**tiny["vision_config"], **config["vision_config"]}
    families.FAMILIES[family] = merged, {**tiny_image, **image}, {**tiny_settings, **settings}, placeholder
    families.save(family, folder)


def samples(questions):
    """Return (pictures by sample, questions): as many samples to learn from as to test, however they share pictures."""
    from PIL import Image

    generator = np.random.default_rng(0)
    found = []
    for number in range(SUPPORT + TEST):
        if number % questions == 0:
            height, width = generator.integers(360, 501, 2)
            noise = generator.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
            picture = Image.fromarray(noise).resize((int(width), int(height)))
        found.append((picture, f"{number} " + " ".join(generator.permutation(WORDS)[: generator.integers(8, 20)])))
    return found


def ours(loaded, asked, place):
    from savs_benchmarks import Benchmark, Sample
    from savs_harvest.run.harvest import harvest
    from savs_stores import open_store

    rows = [
        Sample(str(n), (picture,), question, ("no", "yes")[n % 2], "pool" if n < SUPPORT else "test")
        for n, (picture, question) in enumerate(asked)
    ]
    benchmark = Benchmark("b", "s", "s", "1", "l", "accuracy", {"all": ("no", "yes")}, "p", lambda: rows)
    report = harvest(loaded, benchmark, place)
    assert report.failed == 0
    return open_store(place)[loaded.name].read().astype(np.float32)


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name + ":")))


def measure(way, folder, questions):
    """Run one cell in this process; print seconds, bytes and where the vectors are."""
    import torch
    from official import official

    import savs_harvest.run.harvest  # noqa: F401  importing is no work
    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.models.specs import ModelSpec

    quiet_libraries()
    torch.set_num_threads(1)
    loaded = load_model(ModelSpec("m", str(folder), "float32"), "cpu")
    asked = samples(questions)
    Path("/proc/self/clear_refs").write_text("5")
    before, started = status("VmRSS"), time.process_time()
    place = folder.parent / f"{way}-{questions}-{os.getpid()}"
    if way == "official":
        shown = [((picture,), question) for picture, question in asked]
        vectors = official(loaded, shown[:SUPPORT], shown[SUPPORT:])
    else:
        vectors = ours(loaded, asked, place.with_suffix(".zarr"))
    seconds, memory = time.process_time() - started, status("VmHWM") - before
    np.save(place.with_suffix(".npy"), vectors)
    print(json.dumps({"seconds": seconds, "memory": memory, "vectors": str(place.with_suffix(".npy"))}))


def run_cell(*arguments):
    command = [sys.executable, __file__, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def compare(tmp_path, repeats):
    """Yield (family, questions, official, ours, relative difference) of every cell, medians of all repeats."""
    for family in MIDDLE:
        folder = tmp_path / family / "model"
        folder.parent.mkdir()
        build(family, folder)
        for questions in (1, 2, 5):
            cells = [[run_cell(way, folder, questions) for _ in range(repeats)] for way in ("official", "ours")]
            first, second = (np.load(runs[0]["vectors"]) for runs in cells)
            difference = np.abs(first - second).max() / np.abs(first).max()
            medians = [
                {name: float(np.median([run[name] for run in runs])) for name in ("seconds", "memory")}
                for runs in cells
            ]
            yield family, questions, *medians, difference


def table_rows(cells):
    for family, questions, first, second, _ in cells:
        yield (
            f"| {family} | {questions} | {first['seconds']:.1f} s | {second['seconds']:.1f} s "
            f"| {first['seconds'] / second['seconds']:.2f} "
            f"| {first['memory'] / 1e6:,.0f} MB | {second['memory'] / 1e6:,.0f} MB |"
        )


def prompt_lengths(folder):
    from savs_harvest.models.processors import load_processor
    from savs_harvest.models.prompts import prepare

    processor = load_processor(folder)
    lengths = [prepare(processor, [picture], question)["input_ids"].shape[1] for picture, question in samples(1)[:20]]
    return f"{min(lengths)} to {max(lengths)}"


@pytest.mark.perf
def test_harvesting_the_papers_way_against_ours(tmp_path):
    from savs_harvest import TOKEN_BUDGETS

    cells = list(compare(tmp_path, REPEATS))
    machine = f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}"
    text = TEXT.format(
        date=datetime.date.today(),
        machine=machine,
        support=SUPPORT,
        test=TEST,
        repeats=f", median of {REPEATS}" if REPEATS > 1 else ", measured once",
        budget=f"{TOKEN_BUDGETS['cpu']:,}",
        qwen=prompt_lengths(tmp_path / "qwen2_vl" / "model"),
        llava=prompt_lengths(tmp_path / "llava_onevision" / "model"),
    )
    text += "\n".join(table_rows(cells)) + "\n" + END.format(difference=max(cell[-1] for cell in cells))
    DOCUMENT.write_text(text)
    print(text)
    assert max(cell[-1] for cell in cells) < 1e-3  # float16 in the store


def processor_name():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

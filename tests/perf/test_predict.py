"""Answering against harvesting: what is saved by ending at the last needed layer, and how long one picture takes.

make perf    prints the tables and writes docs/predict-performance.md
"""

import datetime
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_harvest import TEXT_CONFIG, build, processor_name, samples

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "predict-performance.md"
LAYERS, DEPTHS, REPEATS, ALONE = 12, (6, 8, 12), 3, 60
GOAL, GOAL_OF_LANGUAGE = 1.3, 0.75
TEXT = """# Performance of predict

Measured by `make perf` in one run, one thread, float32. {date}, {machine}.

Random models of the papers' families, {layers} layers x 8 heads x 32, vision towers of 8 layers x 128, {count} pictures
of 360 to 500 pixels as PNG files, one question each. *Harvest* is `savs-harvest run` without its start: pictures hashed
and read, all layers run, zero-shot logits, the store written. *Predict* is `savs-harvest predict` without its start:
pictures read once, layers run up to the last one that holds a needed head, answers with sets and doubt. Seconds are of
the processor, the least of {repeats}.

| model | harvest | last needed layer | weights | predict | share of the harvest |
|---|---|---|---|---|---|
{rows}

More is left of a harvest's time than the share of its layers: pictures are read, and the vision tower is run.

## The language model alone

Of the same runs, the seconds inside the language model's layers, by a clock around its forward pass: no vision tower,
no reading of pictures. Goal: where two thirds of the layers are needed, at most {of_language} of the harvest's.

| model | harvest | last needed layer | predict | share of the harvest |
|---|---|---|---|---|
{language}

{verdict}

## One picture

`tiny`, a picture in memory, the median of {alone}: `clf(picture)` of `savs.load` against what transformers needs for
it, which is the processor and one bare forward pass of the whole model (goal: at most {goal} times as long).

| last needed layer | processor and forward pass | `clf(picture)` | times as long |
|---|---|---|---|
{latency}
"""


class Clock:
    """Seconds of the processor inside a module's forward passes, also of those that end at the last head needed."""

    def __init__(self, module):
        self.seconds, self.started = 0.0, 0.0
        module.register_forward_pre_hook(self.start)
        module.register_forward_hook(self.stop, always_call=True)

    def start(self, *_):
        self.started = time.process_time()

    def stop(self, *_):
        self.seconds += time.process_time() - self.started


def least(run, model):
    """Return the least seconds of the processor of a few runs, inside the language model and of all; the last found."""
    clock, seconds, inside = Clock(model.get_decoder()), [], []
    for number in range(REPEATS):
        clock.seconds, started = 0.0, time.process_time()
        found = run(number)
        seconds.append(time.process_time() - started)
        inside.append(clock.seconds)
        assert 0 < clock.seconds < seconds[-1]
    return min(seconds), min(inside), found


def deep(classifier, depth):
    """Return the classifier with its heads at the end of so many layers: what they say is no matter here."""
    count = len(classifier.heads)
    pairs = [(depth - 1 - place // 8, place % 8) for place in range(count)]
    return replace(classifier, heads=np.array(sorted(pairs)))


def shared(tmp_path, folder):
    """Return a benchmark of pictures in files, and what a classifier is asked of them."""
    from savs_benchmarks import Benchmark, Sample
    from savs_harvest.asking.preparing import Question
    from savs_harvest.cli.asked import Asked

    rows, asked = [], []
    for number, (picture, question) in enumerate(samples(1)):
        path = tmp_path / folder / f"{number}.png"
        picture.save(path)
        rows.append(Sample(str(number), (path,), question, ("no", "yes")[number % 2], "either"))
        asked.append(Asked(str(path), Question((path,), question)))
    return Benchmark("b", "s", "s", "1", "l", "accuracy", {"all": ("no", "yes")}, "{q}", lambda: rows), asked


def throughput(tmp_path, family):
    """Yield (layers, weights, seconds of predict and of the harvest, and in the language model) of every depth."""
    from savs_analyze.fitting.store import FitRequest, fit_store
    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.cli.deployed import Deployed, expected_of
    from savs_harvest.models.specs import ModelSpec
    from savs_harvest.run.expected import Choice, encoder_of, load_expected
    from savs_harvest.run.harvest import harvest
    from savs_stores import open_store

    folder = tmp_path / family
    folder.mkdir()
    build(family, folder / "model")
    benchmark, asked = shared(tmp_path, family)
    whole = load_model(ModelSpec("m", str(folder / "model"), "float32"), "cpu")
    *seconds, _ = least(lambda number: harvest(whole, benchmark, folder / f"{number}.zarr"), whole.model)
    fitted = fit_store(open_store(folder / "0.zarr")["m"], FitRequest(method="savs", k=5))
    for depth in DEPTHS:
        expected = expected_of(deep(fitted, depth))
        loaded = load_expected(expected, Choice(str(folder / "model"), device="cpu"), lambda _: False)
        one = Deployed(deep(fitted, depth), encoder_of(expected, loaded, expected.settings()))
        answer = lambda _, one=one: [row for block in one.rows(asked) for _, row in block]  # noqa: E731
        *found, rows = least(answer, loaded.model)
        assert {row["status"] for row in rows} == {"ok"}
        yield depth, sum(weight.numel() for weight in loaded.model.parameters()), found, seconds


def median(run):
    seconds = []
    for _ in range(ALONE):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def latency(tmp_path):
    """Yield (last layer, seconds of transformers, seconds of ours) for `tiny`."""
    import torch

    import savs
    from savs_analyze.classifier.file import write_classifier
    from savs_analyze.fitting.store import FitRequest, fit_store
    from savs_benchmarks import BENCHMARKS
    from savs_benchmarks.digits.digits import benchmark_pictures
    from savs_harvest.models.prompts import prepare

    whole = savs.load_model("tiny", device="cpu")
    store = savs.harvest(whole, "digits", tmp_path / "digits.zarr", logits=False)
    question = next(iter(BENCHMARKS["digits"].samples())).question
    picture, model = benchmark_pictures("test", 3)[0], whole.loaded

    def bare():
        with torch.inference_mode():
            model.model(**prepare(model.processor, [picture], question), use_cache=False)

    for budget in (0.5, 2 / 3, 1.0):
        fitted = fit_store(store["tiny"], FitRequest(shots=20, question=question, method="savs", k=8, budget=budget))
        write_classifier(fitted, tmp_path / "c.safetensors")
        classifier = savs.load(tmp_path / "c.safetensors", device="cpu")
        for warm in (bare, lambda: classifier(picture)):  # noqa: B023  called at once
            warm()
        yield fitted.last_layer + 1, median(bare), median(lambda: classifier(picture))  # noqa: B023


@pytest.mark.perf
def test_answering_against_harvesting(tmp_path, monkeypatch):
    import torch

    from savs_harvest.models.loading import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(1)
    monkeypatch.setitem(TEXT_CONFIG, "num_hidden_layers", LAYERS)
    found = [
        (family, depth, weights, *ours, *harvest)
        for family in ("qwen2_vl", "llava_onevision")
        for depth, weights, ours, harvest in throughput(tmp_path, family)
    ]
    rows = [
        f"| {family} | {harvest:.1f} s | {depth} of {LAYERS} | {weights / 1e6:.1f} M | {ours:.1f} s "
        f"| {100 * ours / harvest:.0f} % |"
        for family, depth, weights, ours, _, harvest, _ in found
    ]
    language = [
        f"| {family} | {harvest:.2f} s | {depth} of {LAYERS} | {ours:.2f} s | {100 * ours / harvest:.0f} % |"
        for family, depth, _, _, ours, _, harvest in found
    ]
    shares = {family: ours / harvest for family, depth, _, _, ours, _, harvest in found if depth == LAYERS * 2 // 3}
    missed = [family for family, share in shares.items() if share > GOAL_OF_LANGUAGE]
    verdict = f"The goal is missed by {' and '.join(missed)}." if missed else "The goal is met by both."
    alone = [
        f"| {last} of 6 | {1000 * bare:.1f} ms | {1000 * ours:.1f} ms | {ours / bare:.2f} |"
        for last, bare, ours in latency(tmp_path)
    ]
    text = TEXT.format(
        date=datetime.date.today(),
        machine=f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}",
        layers=LAYERS,
        count=len(samples(1)),
        repeats=REPEATS,
        rows="\n".join(rows),
        of_language=GOAL_OF_LANGUAGE,
        language="\n".join(language),
        verdict=verdict,
        alone=ALONE,
        goal=GOAL,
        latency="\n".join(alone),
    )
    DOCUMENT.write_text(text)
    print(text)

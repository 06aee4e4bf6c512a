"""Would a GPU wait for its samples? Preparing is measured here, what a GPU would do with them is assumed.

make perf    prints the table and writes docs/pipeline-performance.md
"""

import datetime
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from inputs import Input, make_benchmark
from shapes import SHAPES
from test_harvest import processor_name

from kit import families
from savs_benchmarks.pictures.pictures import picture_size
from savs_harvest.asking.preparing import Preparer, Question

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "pipeline-performance.md"
# Samples a second of the model, as assumed; the processes of a GPU by default, and lists of samples ahead of it.
RATES, WORKERS, AHEAD, BUDGET, SAMPLES, BATCHES = (10, 30, 100), 4, 8, 16384, 24, 100
# Sides of pictures as they usually are, words of a question, pictures, and questions of each.
USUAL = (
    Input("BLINK", (400, 640), (400, 640), (40, 80), 4, pictures=(2, 4)),
    Input("CUB", (450, 500), (330, 500), (50, 70), 4),
    Input("EuroSAT", (64, 64), (64, 64), (55, 70), 10),
    Input("Flowers102", (500, 750), (500, 750), (50, 70), 4),
    Input("Food-101", (512, 512), (384, 512), (50, 70), 4),
    Input("MHaluBench", (480, 640), (427, 640), (60, 90), 2),
    Input("NaturalBench", (480, 640), (400, 640), (30, 60), 2, questions=2),
    Input("NaturalBench, DOCCI", (1024, 2048), (1024, 1536), (30, 60), 2, questions=2),
    Input("Pets", (320, 500), (320, 500), (50, 70), 37),
    Input("SugarCrepe", (480, 640), (427, 640), (40, 60), 2),
    Input("VizWiz", (1080, 1632), (1080, 1632), (20, 40), 2),
    Input("VLGuard", (500, 1200), (400, 1000), (40, 80), 2),
)
TEXT = """# Would a GPU wait?

Measured by `make perf`: {date}, {machine}. No GPU was at hand: **its rates are assumed**, preparing is measured.

The processors of both of the papers' models, with their published settings, read JPEG files of the usual sizes of each
benchmark (made from a seed), one question each, or two where a benchmark asks two of a picture: milliseconds of one
core a sample. Then a model of the pipeline, with {workers} processes (the default beside a GPU), each of which makes a
whole batch of at most {budget:,} tokens, and {ahead} batches ahead: the share of its time that a GPU waits after the
first batch, were it to run 10, 30 or 100 samples a second. What can be had at 7B is less than that where
prompts are long: 36 samples a second is the most of an H200 for LLaVA-OneVision on EuroSAT by arithmetic, 147 for
Qwen2-VL on Pets.

| model | benchmark | tokens | prepared, ms | samples a batch | waits at 10/s | at 30/s | at 100/s |
|---|---|---|---|---|---|---|---|
{rows}

{verdict}
"""


@dataclass(frozen=True)
class Pipeline:
    """Processes that make one list of samples each, and a model that takes the lists in their order."""

    workers: int
    ahead: int

    def waiting(self, prepared, run):
        """Return the share of its time that the model waits, after the first list.

        `prepared` and `run` are the seconds of every list. A list is begun when a process is free and fewer than
        `ahead` wait, as `asking.preparing` has it.
        """
        free, ready, taken = [0.0] * self.workers, [], []
        end, idle = 0.0, 0.0
        for number, seconds in enumerate(prepared):
            asked = taken[number - self.ahead] if number >= self.ahead else 0.0
            process = int(np.argmin(free))
            free[process] = max(free[process], asked) + seconds
            ready.append(free[process])
            start = max(end, ready[number])
            idle += start - end if number else 0.0
            taken.append(start)
            end = start + run[number]
        return idle / (end - ready[0])


@pytest.mark.parametrize(
    ("workers", "ahead", "prepared", "run", "expected"),
    [
        *((1, 2, 1.0, 2.0, 0.0), (1, 2, 2.0, 1.0, 0.5), (2, 4, 2.0, 1.0, 0.0), (4, 8, 8.0, 1.0, 0.5)),
        *((2, 1, 1.0, 1.0, 0.0), (3, 6, 6.0, 1.0, 0.5), (2, 1, 3.0, 1.0, 2 / 3)),  # one ahead: the second is idle
    ],
)
def test_a_model_waits_where_its_lists_come_slower_than_it_takes_them(workers, ahead, prepared, run, expected):
    found = Pipeline(workers, ahead).waiting([prepared] * 2000, [run] * 2000)
    assert found == pytest.approx(expected, abs=0.01)


def prepared_by(shape, kind, folder):
    """Return (milliseconds a sample, tokens of a sample) of a model's processor."""
    processor = families.build_processor(shape.family, **shape.image)
    if shape.image_tokens:
        processor.num_image_tokens = shape.image_tokens
    preparer = Preparer(None, torch.bfloat16, (), shape.family == "llava_onevision", processor)
    samples = list(make_benchmark(kind, SAMPLES, folder).samples())
    questions = [Question(sample.images, sample.question) for sample in samples]
    tokens = [preparer.length(one, [picture_size(picture) for picture in one.pictures])[0] for one in questions]
    preparer.inputs(questions[-1])
    started = time.process_time()
    for question in questions:
        preparer.inputs(question)
    return 1000 * (time.process_time() - started) / SAMPLES, float(np.median(tokens))


@pytest.mark.perf
def test_whether_a_gpu_would_wait(tmp_path):
    torch.set_num_threads(1)
    rows, waits = [], []
    for shape in SHAPES["7b"]:
        for kind in USUAL:
            found, tokens = prepared_by(shape, kind, tmp_path / kind.name)
            batch = max(1, int(BUDGET / tokens))
            shares = [
                Pipeline(WORKERS, AHEAD).waiting([found / 1000 * batch] * BATCHES, [batch / rate] * BATCHES)
                for rate in RATES
            ]
            cells = " | ".join(f"{share:.0%}" for share in shares)
            rows.append(f"| {shape.name} | {kind.name} | {tokens:,.0f} | {found:.1f} | {batch} | {cells} |")
            waits += [f"{RATES[at]} a second: {shape.name} on {kind.name}" for at in (0, 1) if shares[at] > 0.01]
    verdict = f"It waits longer than 1 % at {'; '.join(waits)}." if waits else "At 10 and 30 a second it waits nowhere."
    verdict += " At 100 it waits where pictures are large; there more processes help, `--workers 12`."
    text = TEXT.format(
        date=datetime.date.today(), rows="\n".join(rows), verdict=verdict, workers=WORKERS, ahead=AHEAD, budget=BUDGET,
        machine=f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}",
    )  # fmt: skip
    print(text)
    DOCUMENT.write_text(text)

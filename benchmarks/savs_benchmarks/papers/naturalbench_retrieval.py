"""NaturalBench-Retrieval: two pictures, two captions, each caption true of one picture; scored in groups of four.

Li et al. 2024, arXiv 2410.14669; https://huggingface.co/datasets/BaiqiL/NaturalBench, Apache-2.0.
Asked as yes or no; the benchmark's own retrieval scores compare similarities and are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, json_rows, read_samples
from savs_benchmarks.files.source import Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample

PROMPT = "Does this image show '{caption}'? Answer with Yes or No."
FOLDER = "NaturalBench-Retrieval"


def samples(folder: Path, stripped: bool = True) -> Iterator[Sample]:
    make = partial(_samples, folder / FOLDER / "images", stripped)
    yield from read_samples(json_rows(folder / FOLDER / "metadata.json"), make)


def _samples(pictures: Path, stripped: bool, row: Row) -> Iterator[Sample]:
    for slot in range(4):
        caption, image = divmod(slot, 2)
        yield Sample(
            sample_id=f"{row['index']}-{slot}",
            images=(row.picture(f"image_{image}", pictures),),
            question=PROMPT.format(caption=row.text(f"caption_{caption}", stripped)),
            label="Yes" if caption == image else "No",
            split="either",
            group=str(row["index"]),
            slot=slot,
        )


def _trained_on_the_test(folder: Path) -> Iterator[Sample]:
    """Yield the first ten groups as the support, and all groups, these included, as the test."""
    asked = list(samples(folder, stripped=False))
    for sample in asked[:40]:
        yield replace(sample, sample_id=f"support-{sample.sample_id}", group=f"support-{sample.group}", split="pool")
    for sample in asked:
        yield replace(sample, split="test")


BENCHMARK = Published(
    name="naturalbench-retrieval",
    summary="two pictures x two captions, does it fit; scored in groups of four",
    source=Source(
        page="https://huggingface.co/datasets/BaiqiL/NaturalBench",
        revision="b6a84a18ba24544169681d4b15543dd103d4d3bb",
        size="0.3 GB",
        needs=(f"{FOLDER}/metadata.json", f"{FOLDER}/images/*"),
        hub="BaiqiL/NaturalBench",
        hub_files=(f"{FOLDER}.zip",),
    ),
    licence="Apache-2.0",
    metric="question-image-group",
    prompt=PROMPT,
    counts={"either": 3800},
    classes="2",
    tasks={DEFAULT_TASK: ("No", "Yes")},
    samples=samples,
    paper=PaperSplit(
        samples=_trained_on_the_test,
        begins="\n",
        lost="nothing: the support is the first ten groups of the test; --keep-leaks tests on them as well",
    ),
)

"""VizWiz: can a blind person's question be answered from their photo?

Gurari et al. 2018, arXiv 1802.08218; https://vizwiz.org/tasks-and-datasets/vqa/, CC BY 4.0.
The label is the official flag `answerable` of the annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, json_rows, read_samples
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split

PROMPT = """{question}
When the provided information is insufficient, respond with Unanswerable.
Answer the question using a single word or phrase."""
# As the first paper has it, with a space before its first new line.
PAPER_PROMPT = PROMPT.replace("\n", " \n", 1)
FILES: dict[str, Split] = {"train": "pool", "val": "test"}
URL = "https://vizwiz.cs.colorado.edu/VizWiz_final"


def samples(folder: Path, paper: bool = False) -> Iterator[Sample]:
    for file, split in FILES.items():
        rows = json_rows(folder / "Annotations" / f"{file}.json")
        yield from read_samples(rows, partial(_sample, folder / file, split, paper))


def _sample(pictures: Path, split: Split, paper: bool, row: Row) -> Iterator[Sample]:
    yield Sample(
        sample_id=Path(row.text("image")).stem,
        images=(row.picture("image", pictures),),
        question=(PAPER_PROMPT if paper else PROMPT).format(question=row.text("question", not paper)),
        label="answerable" if row.flag("answerable") else "unanswerable",
        split=split,
    )


BENCHMARK = Published(
    name="vizwiz",
    summary="can a blind person's question be answered from their photo",
    source=Source(
        page="https://vizwiz.org/tasks-and-datasets/vqa/",
        revision="2023",
        size="14 GB",
        needs=("Annotations/train.json", "Annotations/val.json", "train/*.jpg", "val/*.jpg"),
        downloads=(
            Download(f"{URL}/vqa_data/Annotations.zip", brings=("Annotations/train.json", "Annotations/val.json")),
            Download(f"{URL}/images/train.zip", brings=("train/*.jpg",)),
            Download(f"{URL}/images/val.zip", brings=("val/*.jpg",)),
        ),
    ),
    licence="CC BY 4.0",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 20523, "test": 4319},
    classes="2",
    tasks={DEFAULT_TASK: ("answerable", "unanswerable")},
    samples=samples,
    paper=PaperSplit(
        samples=partial(samples, paper=True),
        begins="\n",
        prompt=PAPER_PROMPT,
        lost="which 40 were the support: 6 of their labels contradict the official flag, by a rule nobody published",
    ),
    answers={"answerable": "", "unanswerable": "Unanswerable"},
)

"""MHaluBench: is a claim about a picture hallucinated? One sample a claim, image-to-text only, like both papers.

Chen et al. 2024, arXiv 2402.03190; https://huggingface.co/datasets/openkg/MHaluBench, MIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, RowError, json_rows, known, read_samples
from savs_benchmarks.files.source import Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split

PROMPT = "Claim:{claim}. Is the Claim hallucinating? Answer the question with Yes or No."
ANSWERS = {"hallucination": "Yes", "non-hallucination": "No"}
TRAIN, VALIDATION = "MHaluBench_train.json", "MHaluBench_val-v0.2.json"
PICTURES = "data/image-to-text"


def samples(folder: Path) -> Iterator[Sample]:
    yield from _claims(folder, TRAIN, "pool")
    yield from _claims(folder, VALIDATION, "test")


def _claims(folder: Path, file: str, split: Split, stripped: bool = True) -> Iterator[Sample]:
    yield from read_samples(json_rows(folder / file), partial(_samples, folder, split, stripped))


def _samples(folder: Path, split: Split, stripped: bool, row: Row) -> Iterator[Sample]:
    # The file names pictures where its authors had them; only the last part holds elsewhere.
    path = row.text("image_path").replace("\\", "/")
    named = Row({"image_path": PurePosixPath(path).name or path}, row.place, row.number)
    picture, drawn = (named.picture("image_path", folder / place) for place in (PICTURES, "data/text-to-image"))
    if "text-to-image" in path or (PICTURES.split("/")[1] not in path and drawn.exists() and not picture.exists()):
        return
    claims, labels = row.texts("claim_list", stripped), row.texts("ref_claim_label")
    if len(claims) != len(labels):
        raise RowError(f"'claim_list' has {len(claims)} entries, 'ref_claim_label' {len(labels)}")
    for number, (claim, label) in enumerate(zip(claims, labels, strict=True)):
        yield Sample(
            sample_id=f"{split}-{row.number}-{number}",
            images=(picture,),
            question=PROMPT.format(claim=claim),
            label=known(label.lower(), ANSWERS, "ref_claim_label"),
            split=split,
        )


BENCHMARK = Published(
    name="mhalu",
    summary="is a claim about a picture hallucinated",
    source=Source(
        page="https://huggingface.co/datasets/openkg/MHaluBench",
        revision="c2807056487c969e35bd65b99ea899c9b37d0285",
        size="about 0.1 GB, and the COCO and TextVQA pictures it names",
        needs=(TRAIN, VALIDATION, f"{PICTURES}/*"),
        hub="openkg/MHaluBench",
        hub_files=("MHaluBench_*.json", "data/*"),
        by_hand=(
            f"copy the pictures that its files name and the hub does not hold into {PICTURES}: of COCO 2014 "
            "(https://cocodataset.org/#download) and TextVQA (https://textvqa.org/dataset/)",
        ),
    ),
    licence="MIT",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 3877, "test": 1857},
    classes="2",
    tasks={DEFAULT_TASK: tuple(ANSWERS)},
    samples=samples,
    paper=PaperSplit(
        samples=partial(_claims, file=VALIDATION, split="either", stripped=False),
        begins="\n",
        lost="which 40 claims of this validation file were the support (the first paper's 40 are of the training file)",
    ),
    answers=ANSWERS,
)

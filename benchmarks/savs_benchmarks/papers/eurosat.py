"""EuroSAT: what kind of land does a satellite see?

Helber et al. 2019, arXiv 1709.00029; https://zenodo.org/records/7711810, MIT. It has no official split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers.classification import PROMPT, classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What type of remote sensing image does the given image belong to?"
CLASSES = tuple(
    """AnnualCrop Forest HerbaceousVegetation Highway Industrial
    Pasture PermanentCrop Residential River SeaLake""".split()
)


def samples(folder: Path) -> Iterator[Sample]:
    for name in CLASSES:
        for picture in sorted(folder.glob(f"*/{name}/*.jpg")):
            yield classification_sample(picture.stem, picture, name, "either", QUESTION, CLASSES)


BENCHMARK = Published(
    name="eurosat",
    summary="which of ten kinds of land does a satellite see, four printed",
    source=Source(
        page="https://zenodo.org/records/7711810",
        revision="7711810",
        size="0.1 GB",
        needs=tuple(f"*/{name}/*.jpg" for name in CLASSES),
        downloads=(
            Download(
                "https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip",
                "md5:f46e308c4d50d4bf32fedad2d3d62f3b",
                tuple(f"*/{name}/*.jpg" for name in CLASSES),
            ),
        ),
    ),
    licence="MIT",
    metric="accuracy",
    prompt=PROMPT,
    counts={"either": 27000},
    classes="10",
    tasks={DEFAULT_TASK: CLASSES},
    samples=samples,
    paper=PaperSplit(samples=samples, begins="\n", lost="which 20 a class were the support, and the printed options"),
    wordings=hec_wordings(QUESTION),
)

"""Caltech-101: which of 100 things is in the picture?

Fei-Fei et al. 2004; https://data.caltech.edu/records/mzrjq-6wc02, CC BY 4.0. Divided as CoOp does, which leaves out the
background and the second class of faces; asked as HEC does.
"""

from __future__ import annotations

from functools import partial

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers import coop
from savs_benchmarks.papers.classification import PROMPT
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What is the main object in this photo?"
SPLIT = "split_zhou_Caltech101.json"

BENCHMARK = Published(
    name="caltech-101",
    summary="which of 100 things, four printed",
    source=Source(
        page="https://data.caltech.edu/records/mzrjq-6wc02",
        revision="1.0",
        size="0.1 GB",
        needs=(SPLIT, "**/101_ObjectCategories/*/*.jpg"),
        downloads=(
            coop.split_download(SPLIT, "sha256:52ce83205ff8ff8a1a18119aad6376120ae35c36e783a984bc560cbf10e73fa5"),
            Download(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "md5:3138e1922a9193bfa496528edbbc45d0",
                ("**/101_ObjectCategories/*/*.jpg",),
            ),
        ),
        inner=("caltech-101/101_ObjectCategories.tar.gz",),
    ),
    licence="CC BY 4.0",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 4128 + 1649, "test": 2465},
    classes="100",
    tasks=partial(coop.tasks, file=SPLIT),
    samples=partial(coop.samples, file=SPLIT, pictures="101_ObjectCategories", question=QUESTION),
    paper=PaperSplit(lost="it is in neither of the two papers"),
    wordings=hec_wordings(QUESTION, ending=""),
)

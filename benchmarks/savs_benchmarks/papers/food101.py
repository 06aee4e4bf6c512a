"""Food-101: which of 101 dishes is in the picture?

Bossard et al. 2014; https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/, for research (pictures of others).
Divided as CoOp does, asked as HEC does.
"""

from __future__ import annotations

from functools import partial

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers import coop
from savs_benchmarks.papers.classification import PROMPT
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What is this dish called?"
SPLIT = "split_zhou_Food101.json"

BENCHMARK = Published(
    name="food-101",
    summary="which of 101 dishes, four printed",
    source=Source(
        page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        revision="2014",
        size="5 GB",
        needs=(SPLIT, "**/images/*/*.jpg"),
        downloads=(
            coop.split_download(SPLIT, None),  # pinned by its commit alone
            Download(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                "md5:85eeb15f3717b99a5da872d97d918f87",
                ("**/images/*/*.jpg",),
            ),
        ),
    ),
    licence="research purposes",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 50500 + 20200, "test": 30300},
    classes="101",
    tasks=partial(coop.tasks, file=SPLIT),
    samples=partial(coop.samples, file=SPLIT, pictures="images", question=QUESTION),
    paper=PaperSplit(lost="it is in neither of the two papers"),
    wordings=hec_wordings(QUESTION),
)

"""Describable textures: which of 47 textures is in the picture?

Cimpoi et al. 2014; https://www.robots.ox.ac.uk/~vgg/data/dtd/, for research. Divided as CoOp does, asked as HEC does.
"""

from __future__ import annotations

from functools import partial

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers import coop
from savs_benchmarks.papers.classification import PROMPT
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What texture pattern is visible in this image?"
SPLIT = "split_zhou_DescribableTextures.json"

BENCHMARK = Published(
    name="dtd",
    summary="which of 47 textures, four printed",
    source=Source(
        page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        revision="1.0.1",
        size="0.6 GB",
        needs=(SPLIT, "**/images/*/*.jpg"),
        downloads=(
            coop.split_download(SPLIT, "sha256:f26ebeccd2b58e68d70f07a0dc39fe49bf7b69024bac34396b954dfd87969c38"),
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
                ("**/images/*/*.jpg",),
            ),
        ),
    ),
    licence="research purposes",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 2820 + 1128, "test": 1692},
    classes="47",
    tasks=partial(coop.tasks, file=SPLIT),
    samples=partial(coop.samples, file=SPLIT, pictures="images", question=QUESTION),
    paper=PaperSplit(lost="it is in neither of the two papers"),
    wordings=hec_wordings(QUESTION, ending=""),
)

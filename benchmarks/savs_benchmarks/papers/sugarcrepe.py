"""SugarCrepe: does a caption fit the picture, or the caption with one thing wrong? Scored in pairs.

Hsieh et al. 2023, arXiv 2306.14610; https://github.com/RAIVNLab/sugar-crepe, MIT; pictures of COCO val2017.
Asked as yes or no; the benchmark's own score is a choice between two captions and is not comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, json_rows, read_samples
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample

PROMPT = "Does this image show '{caption}'? Please answer with Yes or No."
KINDS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
CAPTIONS = {"caption": "Yes", "negative_caption": "No"}


def samples(folder: Path) -> Iterator[Sample]:
    for kind in KINDS:
        yield from read_samples(json_rows(folder / f"{kind}.json"), partial(_pair, folder, kind))


def _pair(folder: Path, kind: str, row: Row) -> Iterator[Sample]:
    group = f"{kind}-{row['key']}"
    for slot, (caption, label) in enumerate(CAPTIONS.items()):
        yield Sample(
            sample_id=f"{group}-{slot}",
            images=(row.picture("filename", folder / "val2017"),),
            question=PROMPT.format(caption=row.text(caption)),
            label=label,
            split="either",
            group=group,
            slot=slot,
        )


BENCHMARK = Published(
    name="sugarcrepe",
    summary="does a caption fit a picture, or its twin with one thing wrong; scored in pairs",
    source=Source(
        page="https://github.com/RAIVNLab/sugar-crepe",
        revision="main",
        size="0.8 GB",
        needs=(*(f"{kind}.json" for kind in KINDS), "val2017/*.jpg"),
        downloads=(
            *(
                Download(f"https://raw.githubusercontent.com/RAIVNLab/sugar-crepe/main/data/{kind}.json")
                for kind in KINDS
            ),
            Download(
                "http://images.cocodataset.org/zips/val2017.zip",
                "md5:442b8da7639aecaf257c1dceb8ba8c80",
                ("val2017/*.jpg",),
            ),
        ),
    ),
    licence="MIT; pictures: COCO terms of use",
    metric="pair",
    prompt=PROMPT,
    counts={"either": 15022},
    classes="2",
    tasks={DEFAULT_TASK: ("No", "Yes")},
    samples=samples,
    paper=PaperSplit(lost="no list of the support was published"),
)

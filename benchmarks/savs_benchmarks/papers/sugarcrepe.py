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
# The annotations of one commit, with their SHA-256.
RAW = "https://raw.githubusercontent.com/RAIVNLab/sugar-crepe"
COMMIT = "0047054b243992f0fad63d6f64f7544862daf846"
DIGESTS = {
    "add_att": "012d88d729693d193760e6f3393b06a1cf874380a9db0062e937201199fe044d",
    "add_obj": "1b9d76b93139a937b8dc1ada92a4f05ecc821bb3c291d752428bafadd4bb0682",
    "replace_att": "9fe55fd4c0a9ad1f85d486d9f6d0215b41f867eb025026e7f7b5ce44352545ee",
    "replace_obj": "9d299600639947e9d15281a9ded1382b376cf4ea088a8d08a1314bfe76e81898",
    "replace_rel": "356bcc2fc4c6aed3f4d9fd50acc58489bb1fe70c28791f9368d4cbf9ea39cdc9",
    "swap_att": "7a7ce04e5c4c80412b48c6f0c1347fb1a2f5d54c0be6aa429b64d390e442f8d0",
    "swap_obj": "073cdb8e253d053614e80710834d9773b09dbc1dd0a412f6f9492262caa1dcad",
}
KINDS = tuple(DIGESTS)
CAPTIONS = {"caption": "Yes", "negative_caption": "No"}


def samples(folder: Path, stripped: bool = True) -> Iterator[Sample]:
    for kind in KINDS:
        yield from read_samples(json_rows(folder / f"{kind}.json"), partial(_pair, folder, kind, stripped))


def _pair(folder: Path, kind: str, stripped: bool, row: Row) -> Iterator[Sample]:
    group = f"{kind}-{row['key']}"
    for slot, (caption, label) in enumerate(CAPTIONS.items()):
        yield Sample(
            sample_id=f"{group}-{slot}",
            images=(row.picture("filename", folder / "val2017"),),
            question=PROMPT.format(caption=row.text(caption, stripped)),
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
        revision=COMMIT,
        size="0.8 GB",
        needs=(*(f"{kind}.json" for kind in KINDS), "val2017/*.jpg"),
        downloads=(
            *(Download(f"{RAW}/{COMMIT}/data/{kind}.json", f"sha256:{digest}") for kind, digest in DIGESTS.items()),
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
    paper=PaperSplit(
        samples=partial(samples, stripped=False),
        lost="which pairs were the support, of which no list was published",
    ),
)

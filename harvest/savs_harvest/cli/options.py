"""Options of several commands of the harvest."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from savs_stores import terminal


class Splitting(StrEnum):
    """How a published benchmark is divided into pool and test."""

    official = "official"
    paper = "paper"


ModelOption = Annotated[str, typer.Option("--model", help="Short name, hub id owner/name, or a folder.")]
DataOption = Annotated[
    str, typer.Option("--data", help="Benchmark name, or a folder of pictures or a table of your own.")
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="A folder or a URL (s3://BUCKET/NAME.zarr); default: stores/DATA.zarr.")
]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", help="LoRA adapter merged into the model: a folder, or a hub id owner/name.")
]
RevisionOption = Annotated[str | None, typer.Option("--revision", help="Commit or tag of the checkpoint on the hub.")]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; default: what the checkpoint says.")
]
SiteOption = Annotated[
    str, typer.Option("--site", help="heads, or residual: the hidden state behind each layer, through the final norm.")
]
QuantizeOption = Annotated[
    str | None, typer.Option("--quantize", help="Quantise the weights on loading, by bitsandbytes: bnb4 or bnb8.")
]
DeviceMapOption = Annotated[
    str | None,
    typer.Option("--device-map", help="Layers over GPUs, memory and disk: auto, balanced, or a JSON file."),
]
ShardOption = Annotated[
    int | None,
    typer.Option(
        "--shard-samples", min=1, help="Samples a shard; 256 to 1024, by how many run together; 64 below 512."
    ),
]
RootOption = Annotated[
    Path, typer.Option("--data-root", envvar="SAVS_DATA_ROOT", help="Where published benchmarks lie: ROOT/NAME.")
]
IncludeOption = Annotated[
    list[Path] | None, typer.Option("--include", help="A Python file of yours with benchmarks; repeatable.")
]
PoolOption = Annotated[str, typer.Option("--pool-per-class", help="Pool samples kept of each class, or 'all'.")]
NameOption = Annotated[str | None, typer.Option("--as", help="Name of the model in the store.")]
SplitOption = Annotated[Splitting, typer.Option("--split", help="The official split, or the papers' own.")]
SupportOption = Annotated[
    list[Path] | None,
    typer.Option("--support", help="With --split paper: a list of training examples of a paper's repository. Repeat."),
]
WordingOption = Annotated[
    str, typer.Option("--wording", help="How the question is put; data list tells a benchmark's wordings.")
]
QuestionOption = Annotated[str, typer.Option("--question", help="What is asked of every picture of your own data.")]
ImageRootOption = Annotated[
    Path | None, typer.Option("--image-root", help="Where a table's pictures lie; default: beside it.")
]
LabelColumnOption = Annotated[str, typer.Option("--label-column", help="Which column of your table is the label.")]
ImageColumnOption = Annotated[str, typer.Option("--image-column", help="Which column of your table is the picture.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Take so many samples, of all classes alike.")]
NearOption = Annotated[
    bool, typer.Option("--keep-near-duplicates", help="Let near-duplicate pictures be on both sides of a draw.")
]
WordsOption = Annotated[terminal.Words, typer.Option("--format", help="How to print it.")]
DATA_ROOT, POOL, WORDING, SITE = Path("data"), "100", "default", "heads"

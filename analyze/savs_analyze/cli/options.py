"""Options of the command line: those of several commands, and the long ones of the sweep."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_stores import terminal

if TYPE_CHECKING:
    from savs_analyze.draws.validation import Validation


class Protocol(StrEnum):
    """How heads are kept and vote, what validates, and whether leaks are tested; `paper` is the extension."""

    ours = "ours"
    savs = "savs"
    extension = "extension"
    paper = "paper"

    @property
    def code(self) -> str:
        """The paper's code that heads are listed as in, "" for none."""
        return {"ours": "", "paper": "extension"}.get(self.value, self.value)

    def validation(self, share: float | None) -> Validation:
        """Return who validates, by default: a quarter, of the first paper nobody, of the second the first ones."""
        from savs_analyze.draws.validation import Validation

        default = 0.0 if self is Protocol.savs else 0.25
        return Validation(default if share is None else share, first=bool(self.code))


class Arithmetic(StrEnum):
    """The numbers that a paper's code computes means and cosines in."""

    double = "double"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"

    @property
    def code(self) -> str:
        return "" if self is Arithmetic.double else self.value


class Backend(StrEnum):
    """Who computes."""

    loky = "loky"
    dask = "dask"


class TableFormat(StrEnum):
    """How tables are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"


StoreOption = Annotated[str, typer.Option("--store", help="A store: stores/NAME.zarr, or a URL.")]
ResultsArgument = Annotated[Path, typer.Argument(help="A folder of results: results/NAME.")]
TableFormatOption = Annotated[TableFormat, typer.Option("--format", help="How to print it.")]
STORES = typer.Option("--store", help="A store, or a pattern 'stores/*.zarr'; repeatable.")
StoresOption = Annotated[list[str], STORES]
StoresIfAnyOption = Annotated[list[str] | None, STORES]
AllSettingsOption = Annotated[
    bool, typer.Option("--all-settings", help="Not only the hyperparameters that validation chooses.")
]
SourcesOption = Annotated[
    list[str] | None, typer.Option("--store", help="A store of the results that is elsewhere now; repeatable.")
]
WordsOption = Annotated[terminal.Words, typer.Option("--format", help="How to print it.")]
KeepLeaksOption = Annotated[bool, typer.Option("--keep-leaks", help="Test also on images of the support.")]
# Of what sweeps: sweep, and the studies that do it for one.
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of the results; default: results/STORE, of a study results/NAME.")
]
ShotsRangeOption = Annotated[str, typer.Option("--shots", help="Support samples a class: 20, or 4,8, or 5:50:5.")]
ModelsOption = Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")]
ShotsOption = Annotated[int, typer.Option(min=1, help="Support samples a class.")]
PartialOption = Annotated[bool, typer.Option("--allow-partial", help="Use the finished part of a harvest.")]
DrawsOption = Annotated[int, typer.Option(min=1, help="Random supports.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; default: all cores where that pays.")]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option("--method", help="From `savs-analyze methods`; default: zero-shot, savs and kernel-ridge."),
]
GridOption = Annotated[
    list[str] | None, typer.Option("--grid", help="Other hyperparameters: gamma=0.01:100:5log; repeatable.")
]
RestrictOption = Annotated[
    bool, typer.Option("--restrict-options", help="Predict among the classes that the prompt prints.")
]
SolverOption = Annotated[
    str | None, typer.Option("--solver", help="Of the lasso: working-set, liblinear; of groups: group-lasso.")
]
IncludeOption = Annotated[
    list[Path] | None,
    typer.Option("--include", help="A file of yours with methods, parts or metrics; repeatable."),
]
ScalingOption = Annotated[
    str | None, typer.Option("--scaling", help="Of the lasso's features: none, head_rms, feature_std.")
]
ProtocolOption = Annotated[
    Protocol,
    typer.Option(
        help="savs: as the first paper's code, heads best first, all is tested; extension, paper: as the second's, "
        "heads by index, the first 25 % validate. Both: cosine votes, leaks kept."
    ),
]
ArithmeticOption = Annotated[
    Arithmetic, typer.Option(help="Of a paper's protocol: float16 as its LLaVA-OneVision, bfloat16 as its Qwen2-VL.")
]
ValidationOption = Annotated[
    float | None,
    typer.Option(
        "--validation", help="Share of the test samples that choose hyperparameters; 0: none. [default: 0.25]"
    ),
]
ClassifierOption = Annotated[Path, typer.Option("--out", help="The classifier's file: NAME.safetensors.")]
MethodOption = Annotated[str, typer.Option("--method", help="From `savs-analyze methods`; auto: the best of five.")]
HeadsOption = Annotated[int | None, typer.Option("--k", min=1, help="Heads that vote; not with auto.")]
BudgetOption = Annotated[float, typer.Option("--budget", help="Only heads of this share of the layers: 0.67.")]
ShotsOfFitOption = Annotated[str, typer.Option("--shots", help="Labelled samples a class to learn from, or all.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="Of several tasks, this one.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the folds, and of the shots.")]
CardOption = Annotated[bool, typer.Option("--card", help="Write a model card beside it: NAME.md and a figure.")]

"""Systems for people: a row a system and a column a benchmark, what a sample costs, and accuracy against seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from savs_analyze.findings.groups import DRAWS, SEEDS
from savs_analyze.report.drawing import figure_at, panels
from savs_analyze.report.layout import Number, differences, metric_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEST = "*"
PANELS_A_LINE = 2
PANEL_WIDTH, PANEL_HEIGHT, LINE_HEIGHT = 4.0, 3.2, 0.19  # inches
MARKERS = "osD^vPX"
SECONDS = "s/sample"


def systems_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a system: percent of every benchmark, beside it the paper's where there is one, and costs.

    Columns of benchmarks are as in `rows`, systems by name; what a benchmark does not have is empty.
    """
    rows = rows.assign(shown=_named(rows))
    found = pd.DataFrame({"setting": sorted(set(rows["shown"]))}).set_index("setting")
    for benchmark, of_benchmark in rows.groupby("benchmark", sort=False):
        lines = of_benchmark.set_index("shown")
        found[_heading(str(benchmark), lines)] = pd.Series(_numbers(lines), lines.index)
        if lines["published"].notna().any():
            found[f"{benchmark}, paper"] = lines["published"].map(
                lambda one: "" if np.isnan(one) else f"{100 * one:.1f}"
            )
    if rows["seconds"].notna().any():
        of_system = rows.groupby("shown")
        found[SECONDS] = of_system["seconds"].agg(lambda seconds: _range(seconds, "{:.3g}", 1.0))
        found["GB"] = of_system["memory"].agg(lambda memory: _range(memory, "{:.2f}", 1e9))
    return found.fillna("").reset_index().rename(columns={"setting": "system"})


def _heading(benchmark: str, lines: pd.DataFrame) -> str:
    metric = lines["metric"].iloc[0]
    return benchmark if metric == "accuracy" else f"{benchmark}, {metric_words(metric)}"


def _numbers(lines: pd.DataFrame) -> list[str]:
    """Return values in percent with intervals, the best marked, and what is not distinguishable from it."""
    shown = [Number(row.value, row.low, row.high, row.close and not row.best) for row in lines.itertuples()]
    return [f"{number}{f' {BEST}' * bool(best)}" for number, best in zip(shown, lines["best"], strict=True)]


def _named(rows: pd.DataFrame) -> list[str]:
    """Return the systems' names, with how many repeats the value is the mean of: of few benchmarks fewer."""
    counts = rows[rows["of"] > 1].groupby("system")["of"].agg(lambda of: sorted(set(of)))
    words = {
        row.system: f"{row.system} ({' or '.join(map(str, counts[row.system]))} {row.repeats})"
        for row in rows[rows["of"] > 1].itertuples()
    }
    return [words.get(name, name) for name in rows["system"]]


def _range(values: pd.Series, form: str, unit: float) -> str:
    """Return the least and the most of several benchmarks, in words of one where they are the same."""
    known = values.dropna().astype(float) / unit
    ends = list(dict.fromkeys(form.format(end) for end in (known.min(), known.max()))) if len(known) else []
    return " to ".join(ends)


def systems_notes(rows: pd.DataFrame, further: Sequence[str]) -> list[str]:
    """Return what a reader of the table must know."""
    tested = ", ".join(
        f"{benchmark} {n:,}" for benchmark, n in rows.groupby("benchmark", sort=False)["n"].min().items()
    )
    notes = [
        "Percent; in brackets 95 % intervals over other samples and, where there are several, draws or seeds. All "
        f"systems of a benchmark are scored on the same samples, those that each of them tested: {tested}.",
        f"{BEST}: the best of its column; °: not distinguishable from it, also where draws are too few to tell (paired "
        "test, Holm-corrected for all pairs of systems, 5 %).",
        *_repeat_notes(rows),
        *_published_notes(rows),
        *_cost_notes(rows),
    ]
    return [*notes, *further]


def _repeat_notes(rows: pd.DataFrame) -> list[str]:
    """Return how systems vary that learn, that were tuned, and that have examples in context."""
    notes = []
    if draws := sorted(set(rows.loc[rows["shots"] > 0, "draws"])):
        shots = ", ".join(map(str, sorted(set(rows.loc[rows["shots"] > 0, "shots"]))))
        notes.append(f"What learns has {shots} samples a class, draws: {', '.join(map(str, draws))}.")
    repeated = rows[rows["of"] > 1]
    if (repeated["repeats"] == DRAWS).any():
        notes.append("LoRA draws are those of the same number of the methods that learn, and are tested beside them.")
    if (repeated["repeats"] == SEEDS).any():
        notes.append(
            "Seeds of examples in context count as draws of their own, paired with others as they are numbered."
        )
    once = rows[(rows["of"] == 1) & (rows["shots"] == 0) & ((rows["in_context"] > 0) | (rows["tuned"] != ""))]
    if len(once):
        names = ", ".join(dict.fromkeys(once["system"]))
        notes.append(f"Of one seed or draw, so its interval and tests are of other samples on this very one: {names}.")
    return notes


def _published_notes(rows: pd.DataFrame) -> list[str]:
    if not rows["published"].notna().any():
        return []
    return [
        "paper: Table 1 of the first paper (SAVs), of one draw, on other samples but where the benchmark is harvested "
        "with --split paper; its own answers are generated text. compare-paper judges SAVs and zero-shot."
    ]


def _cost_notes(rows: pd.DataFrame) -> list[str]:
    """Return what seconds and memory are of, and whether they may be compared."""
    known = rows[rows["seconds"].notna()]
    if known.empty:
        return []
    devices = sorted(set(filter(None, known["devices"])))
    memories = " or ".join(dict.fromkeys(filter(None, known["memory_of"])))
    notes = [
        f"{SECONDS}: of the model's run, the median over shards; GB: its most memory ({memories or 'not told'}); both "
        "as the harvest told, of all heads and whatever else the machine did, without learning (study strong)."
    ]
    if len(devices) > 1:
        return [
            *notes,
            f"Seconds are of different machines ({'; '.join(devices)}), and must not be compared across them.",
        ]
    return [*notes, f"On {devices[0]}; another machine has other seconds." if devices else "The device is not told."]


def compared_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return tested differences of systems for people, in points; what all rows have in common is not said."""
    kept = compared.assign(shots=0).drop(columns=["draws", "p", "n"]).assign(p=np.nan)
    shown = differences(kept).drop(columns=["p"])
    same = [name for name in ("benchmark", "metric", "task") if shown[name].nunique() < 2]
    return shown.drop(columns=same)


def draw_costs(rows: pd.DataFrame, path: Path) -> Path | None:
    """Draw accuracy against seconds a sample, a panel a benchmark; None where fewer than two systems tell seconds."""
    known = rows[rows["seconds"] > 0]
    known = known[known.groupby("benchmark")["system"].transform("nunique") > 1]
    if known.empty:
        return None
    names = sorted(set(known["system"]))
    benchmarks = list(known.groupby("benchmark", sort=False))
    columns = min(PANELS_A_LINE, len(benchmarks))
    lines = -(-len(benchmarks) // columns)
    height = max(PANEL_HEIGHT * lines, LINE_HEIGHT * len(names) + 0.5)
    with figure_at(path, PANEL_WIDTH * columns + 2.8, height) as figure:
        for axes, (benchmark, of_benchmark) in zip(panels(figure, len(benchmarks), columns), benchmarks, strict=True):
            _draw_panel(axes, str(benchmark), of_benchmark, names)
        figure.legend(*_first_of_each(figure.axes, names), loc="outside right upper", frameon=False, fontsize=7)
    return path


def _draw_panel(axes: Axes, benchmark: str, rows: pd.DataFrame, names: Sequence[str]) -> None:
    from matplotlib import colormaps

    for row in rows.itertuples():
        place = names.index(row.system)
        form = MARKERS[place // 10 % len(MARKERS)]
        spread = 100 * np.maximum(0, [[row.value - row.low], [row.high - row.value]])
        drawn = axes.errorbar(row.seconds, 100 * row.value, spread, fmt=form, ms=4, lw=1, label=row.system)
        for artist in drawn.get_children():
            artist.set(color=colormaps["tab10"](place % 10))
    devices = "; ".join(sorted(set(filter(None, rows["devices"]))))
    axes.set(xscale="log", title=benchmark, xlabel=f"seconds a sample{f' ({devices})' if devices else ''}")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(f"{metric_words(rows['metric'].iloc[0])}, %")
    axes.grid(alpha=0.3, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _first_of_each(every: Iterable[Axes], names: Sequence[str]) -> tuple[list, list[str]]:
    """Return a handle of each name, in whichever panel it is drawn first."""
    found: dict[str, object] = {}
    for axes in every:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return [found[name] for name in names], list(names)

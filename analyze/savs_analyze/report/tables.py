"""Tables from results: one line a benchmark and task, one column a method, every number with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse import csr_array, hstack

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.findings.comparisons import LEVEL, indistinct, mean_name
from savs_analyze.measure.intervals import interval, replicates, task_seed
from savs_analyze.measure.metrics import OF_CLASSES, Units, class_metrics
from savs_analyze.methods.recipes import DISPLAYED, SAVS, ZERO_SHOT
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.results import CellResult

# What the papers' protocol does not follow, as it cannot be had or says nothing of the data.
DEVIATIONS = (
    "supports are random draws from the pool; theirs is one fixed file.",
    "means and similarities are in double precision; theirs are summed in half precision.",
    "of equal heads the later ones stay; theirs depend on the processor.",
    "a sparse-group lasso is multinomial; theirs knows two classes.",
)
LINE = ("benchmark", "model", "task", "metric")
LEFT_OUT = {
    "leaked": "because the support shows their image or belongs to their group",
    "failed": "because they have no vectors",
    "incomplete": "because their group is not tested whole",
}


@dataclass(frozen=True)
class Measurement:
    """One method on one task under one metric: its value in every draw; `means` are bootstrap replicates.

    A mean over tasks has the values `of_tasks` beside their means.
    """

    values: Float[np.ndarray, " draw"]
    means: Float[np.ndarray, " replicate"]
    units: int
    of_tasks: tuple[Float[np.ndarray, " _"], ...] = ()


def summarize(
    cells: Iterable[CellResult], choices: Sequence[Choice] = (), compared: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return tidy means over draws: benchmark ... shots, heads, draws, n, value, sd, low, high, close.

    `sd` is the standard deviation over draws. With choices, a method that has one comes with the chosen setting only.
    `close` marks what `compared` does not distinguish from the best of its line. A benchmark of several tasks has a
    further line, the unweighted mean over them, for every method that has results on all of them; tasks are resampled
    independently.
    """
    families: dict[tuple, list[CellResult]] = {}
    for cell in cells:
        family = tuple(cell.facts[name] for name in ("benchmark", "model", "method", "shots", "task"))
        families.setdefault(family, []).append(cell)
    tasks: dict[tuple[str, str], set[str]] = {}
    for benchmark, model, _, _, task in families:
        tasks.setdefault((benchmark, model), set()).add(task)
    rows: list[dict[str, Any]] = []
    by_task: dict[tuple[tuple[str, Any], ...], list[Measurement]] = {}
    for (benchmark, model, method, shots, task), of_family in families.items():
        first = of_family[0].facts
        places = kept_places(first, choices)
        for (setting, metric), measured in _measure(of_family, places).items():
            ran = Setting.from_json(first["settings"][setting])
            keys = {"benchmark": benchmark, "model": model, "metric": metric, "method": method, "shots": shots}
            keys |= {"setting": ran.column(), "same_as": ran.same_as, "draws": len(of_family)}
            keys |= {"heads": dict(ran.parameters).get("k", 0)}
            rows.append(keys | {"task": task} | _numbers(measured))
            by_task.setdefault(tuple(keys.items()), []).append(measured)
    for method_keys, measurements in by_task.items():
        described = dict(method_keys)
        count = len(tasks[described["benchmark"], described["model"]])
        if count > 1 and len(measurements) == count:
            rows.append(described | {"task": mean_name(count)} | _numbers(_mean(measurements)))
    order = ["benchmark", "model", "task", "metric", "method", "setting", "same_as", "shots", "heads", "draws", "n"]
    order += ["value", "sd", "low", "high", "close"]
    place = {benchmark: i for i, benchmark in enumerate(dict.fromkeys(row["benchmark"] for row in rows))}
    near = {} if compared is None else indistinct(compared)
    for row in rows:
        row["close"] = _is_close(row, near)
    return pd.DataFrame(sorted(rows, key=lambda row: place[row["benchmark"]]), columns=order)


def _is_close(row: Mapping[str, Any], near: Mapping[tuple, set[str]]) -> bool:
    """Tell whether a row's setting is not distinguishable from the best, of zero-shot: for all numbers of shots."""
    line = [row[name] for name in LINE]
    found = [names for (*key, shots), names in near.items() if key == line and row["shots"] in (0, shots)]
    return bool(found) and all(row["setting"] in names for names in found)


def _measure(family: list[CellResult], places: Sequence[int]) -> dict[tuple[int, str], Measurement]:
    """Return the means of the settings at these places over the draws of a family, its draws' units over each other."""
    # Settings that predict the same are resampled once.
    first_like: dict[bytes, int] = {}
    like = {
        setting: first_like.setdefault(
            b"".join(cell.arrays["predicted"][setting].tobytes() for cell in family), setting
        )
        for setting in places
    }
    settings = list(first_like.values())
    draws = [[cell.units(setting) for setting in settings] for cell in family]
    names = np.unique(np.concatenate([of_draw[0].unit for of_draw in draws]))
    ids = np.zeros(len(names), dtype=np.int64)
    for of_draw in draws:
        ids[np.searchsorted(names, of_draw[0].unit)] = of_draw[0].cluster
    widths = [len(units.scores) + 1 + units.counts.shape[1] for units in draws[0]]

    def evaluate(sums: np.ndarray) -> np.ndarray:
        parts = np.split(sums, np.cumsum(widths)[:-1], axis=1)
        return np.hstack([_values_of_sums(part, len(draws[0][0].scores)) for part in parts])

    columns = [hstack([_columns(units, names) for units in of_draw], format="csr") for of_draw in draws]
    seed = task_seed(family[0].facts["benchmark"], family[0].facts["task"])
    means = replicates(columns, ids, evaluate, seed)
    units = round(np.mean([len(of_draw[0].unit) for of_draw in draws]))
    found = [[of_setting.values() for of_setting in of_draw] for of_draw in draws]
    keys = [(place, metric) for place in range(len(settings)) for metric in found[0][place]]
    measured = {
        (settings[place], metric): Measurement(np.array([row[place][metric] for row in found]), column, units)
        for (place, metric), column in zip(keys, means.T, strict=True)
    }
    return {(setting, metric): measured[first, metric] for setting, first in like.items() for metric in found[0][0]}


def _columns(units: Units, names: np.ndarray) -> csr_array:
    """Return `[name, column]`: the scores of the units, 1 for being tested, the counts of classes."""
    scores = np.column_stack([*units.scores.values(), np.ones(len(units.unit))])
    place = csr_array(
        (np.ones(len(units.unit)), (np.searchsorted(names, units.unit), np.arange(len(units.unit)))),
        shape=(len(names), len(units.unit)),
    )
    return place @ hstack([csr_array(scores), units.counts], format="csr")


def _values_of_sums(sums: np.ndarray, scores: int) -> np.ndarray:
    """Return `[replicate, metric]` from sums over units of what `_columns` lists."""
    tested = sums[:, scores : scores + 1]
    means = np.divide(sums[:, :scores], tested, out=np.full((len(sums), scores), np.nan), where=tested > 0)
    return np.column_stack([means, *class_metrics(sums[:, scores + 1 :]).values()])


def _mean(measurements: list[Measurement]) -> Measurement:
    draws = {len(m.values) for m in measurements}
    values = [m.values if len(draws) == 1 else np.array([m.values.mean()]) for m in measurements]
    return Measurement(
        values=np.mean(values, axis=0),
        means=np.mean([m.means for m in measurements], axis=0),
        units=sum(m.units for m in measurements),
        of_tasks=tuple(m.values for m in measurements),
    )


def _numbers(measured: Measurement) -> dict[str, int | float]:
    low, high = interval(measured.means, measured.of_tasks or (measured.values,))
    spread = float(measured.values.std(ddof=1)) if len(measured.values) > 1 else float("nan")
    return {"n": measured.units, "value": float(measured.values.mean()), "sd": spread, "low": low, "high": high}


def _text(row: Any) -> str:
    return f"{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]{' °' if row.close else ''}"


def columns_of(summary: pd.DataFrame) -> pd.Series:
    """Return the column of each row: its setting, the method where models chose different ones, with its shots."""
    per_model = summary.groupby(["method", "model", "shots"])["setting"].transform("nunique")
    per_method = summary.groupby("method")["setting"].transform("nunique")
    named = summary["method"].map(lambda name: f"{DISPLAYED.get(name, name)}, chosen")
    columns = summary["setting"].where((per_model > 1) | (per_method == 1), named)
    learnt = summary["shots"] > 0
    if summary.loc[learnt, "shots"].nunique() > 1:
        columns = columns.where(~learnt, columns + ", " + summary["shots"].astype(str) + " shots")
    return columns


def spread(summary: pd.DataFrame, all_metrics: bool = False) -> pd.DataFrame:
    """Return the table for people: one line a benchmark, model, task and metric, one column a method, in percent.

    `n` lists the numbers of tested units, of the first columns first, where methods differ in them. Balanced
    accuracy and macro-F1 have lines with `all_metrics` only.
    """
    if not all_metrics:
        summary = summary[~summary["metric"].isin(OF_CLASSES)]
    lines = summary.assign(
        column=columns_of(summary),
        text=[_text(row) for row in summary.itertuples()],
    )
    index = ["benchmark", "model", "task", "metric"]
    columns = list(dict.fromkeys(lines["column"]))
    cells = lines.groupby([*index, "column"], sort=False)["text"].first().unstack("column", fill_value="")
    counts = lines.groupby(index, sort=False)["n"].agg(lambda n: " / ".join(f"{count:,}" for count in dict.fromkeys(n)))
    # In the order of the summary: pandas sorts what it unstacks.
    return cells.reindex(index=counts.index, columns=columns).assign(n=counts).reset_index()[[*index, "n", *columns]]


def listed(summary: pd.DataFrame, all_metrics: bool = False) -> pd.DataFrame:
    """Return the table for people where there are many methods: one line a method, in percent."""
    if not all_metrics:
        summary = summary[~summary["metric"].isin(OF_CLASSES)]
    text = [_text(row) for row in summary.itertuples()]
    # Here a chosen setting can be named for each model.
    labels = summary["setting"]
    if summary.loc[summary["shots"] > 0, "shots"].nunique() > 1:
        labels = labels.where(summary["shots"] == 0, labels + ", " + summary["shots"].astype(str) + " shots")
    lines = summary.assign(setting=labels, result=text, n=summary["n"].map("{:,}".format)).rename(
        columns={"same_as": "same as"}
    )
    index = ["benchmark", "model", "task", "metric"]
    columns = [*index, "setting", "n", "result", "same as"]
    order = np.argsort(lines.groupby(index, sort=False).ngroup(), kind="stable")  # as they appear, not by letter
    return lines.iloc[order][columns].drop(columns=[] if any(lines["same as"]) else ["same as"])


def differences(compared: pd.DataFrame) -> pd.DataFrame:
    """Return tested differences for people: in points, with p and the verdict."""
    text = [f"{100 * r.difference:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]" for r in compared.itertuples()]
    chances = {name: compared[name].map(lambda p: "<0.001" if p < 0.001 else f"{p:.3f}") for name in ("p", "holm")}
    drop = [] if compared["shots"].nunique() > 1 else ["shots"]
    return compared.assign(difference=text, **chances).drop(columns=["low", "high", *drop])


def _validation_notes(cells: Sequence[CellResult], choices: Sequence[Choice]) -> list[str]:
    """Return what chose hyperparameters, and which."""
    validated = {cell.facts["benchmark"]: cell.facts for cell in cells if cell.arrays["validation"].any()}
    if not validated:
        return []
    rule = next(iter(validated.values()))["validation"]
    which = "the first in file order" if rule["first"] else "stratified, whole groups and images"
    share, names = f"{100 * rule['share']:.0f} %", ", ".join(validated)
    notes = [f"{share} of the test samples of {names} validate ({which}) and are not reported."]
    if idle := [name for name, facts in validated.items() if not facts["chooses"]]:
        notes.append(f"Those of {', '.join(idle)} choose nothing, as in the paper: they are set aside.")
    several = len({choice.shots for choice in choices if choice.shots}) > 1
    for choice in choices:
        if choice.settings > 1:
            shots = f", {choice.shots} shots" if several else ""
            equal = f", {choice.tied} as good" if choice.tied > 1 else ""
            over = f"{len(choice.benchmarks)} benchmarks" if len(choice.benchmarks) > 1 else choice.benchmarks[0]
            notes.append(
                f"{choice.model}: {choice.setting}{shots} chosen of {choice.settings}{equal} by validation on {over} "
                f"({100 * choice.value:.1f} %)."
            )
    return notes


def _tie_notes(learnt: pd.DataFrame) -> list[str]:
    """Return how many heads tie at the cut, and what decides, if there are any."""
    if not (learnt["tied_at_cut"] > 0).any():
        return []
    most = learnt["tied_at_cut"].max()
    papers = learnt["setting"].str.endswith("papers' way").any()
    decides = "the later head stays" if papers else "margin, then layer and head decide"
    what = "count" if set(learnt["method"]) == {SAVS} else "score"
    return [f"Up to {most} heads share the {what} at the cut; {decides}."]


def _lasso_notes(learnt: pd.DataFrame) -> list[str]:
    """Return what is wrong with the fits of the lasso and its relatives, if there are any."""
    if "gap" not in learnt:
        return []
    first = learnt["metric"] == learnt.groupby("benchmark")["metric"].transform("first")
    fits = learnt[(learnt["split"] == "test") & learnt["gap"].notna() & first]
    notes = []
    if missed := int((~fits["converged"].astype(bool)).sum()):
        open_ones = fits[~fits["converged"].astype(bool)]
        excess = open_ones["gap"] / (open_ones["objective"] - open_ones["gap"]).clip(lower=1e-300)
        most = f"{100 * excess.max():.2g} %" if excess.max() < 100 else "many times"
        notes.append(f"{missed} of {len(fits)} fits are not certified: an objective may be {most} above the least.")
    if empty := int(fits["degenerate"].astype(bool).sum()):
        notes.append(f"{empty} of {len(fits)} fits use no feature: all classes tie, the first is the answer.")
    if full := int(fits["saturated"].astype(bool).sum()):
        notes.append(f"{full} of {len(fits)} fits saturate: their training loss is below 1 % of that without features.")
    return notes


def footnotes(
    cells: Iterable[CellResult],
    choices: Sequence[Choice] = (),
    compared: pd.DataFrame | None = None,
    noted: Sequence[str] = (),
) -> list[str]:
    """Return what a reader of the table must know: choices, exclusions, ties at the cut, unfinished stores.

    `noted` is what the sweep itself wrote down.
    """
    cells = list(cells)
    rows = pd.DataFrame([row for cell in cells for row in cell.rows])
    learnt = rows[rows["method"] != ZERO_SHOT]
    shots, draws = sorted(set(learnt["shots"])), learnt["draw"].nunique()
    over = "samples and draws" if draws > 1 else "samples"
    notes = [f"Percent; in brackets 95 % bootstrap intervals over {over}. n counts what the metric averages."]
    if draws:
        who = "SAVs" if set(learnt["method"]) == {SAVS} else "All but zero-shot"
        times = f"mean of {draws} random draws of them." if draws > 1 else "one random draw of them."
        notes.append(f"{who} learn from {'/'.join(map(str, shots))} samples a class; {times}")
    notes += _validation_notes(cells, choices)
    if compared is not None and indistinct(compared):
        same = " with as many shots" if len(shots) > 1 else ""
        notes.append(
            f"°: not distinguishable from the best of its line{same} "
            f"(paired test, Holm-corrected, {100 * LEVEL:.0f} %)."
        )
    for reason, words in LEFT_OUT.items():
        for name, most in rows.groupby("benchmark")[reason].max().items():
            if most:
                notes.append(f"{name}: up to {most} test samples a draw left out, {words}.")
    notes += _tie_notes(learnt) + _lasso_notes(learnt)
    if (rows["same_as"] != "").any():
        notes.append("Same as: predicts the same by algebra; computed once.")
    if any(cell.facts["validation"]["first"] for cell in cells):
        notes += [f"Unlike the papers: {words}" for words in DEVIATIONS]
    if rows["keep_leaks"].any():
        notes.append("Leaks kept: some test samples show an image or belong to a group of the support.")
    for name in rows.loc[rows["partial"], "benchmark"].unique():
        notes.append(f"{name}: from an unfinished store, finished samples only.")
    return [*notes, *noted]

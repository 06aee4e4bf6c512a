"""What a report says: every section, from the cells of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Int

from savs_analyze.findings.chance import Line, chance_levels
from savs_analyze.findings.choice import hyperparameters
from savs_analyze.findings.findings import Findings
from savs_analyze.findings.stability import stability
from savs_analyze.measure.confusion import confusion
from savs_analyze.measure.units import FURTHER
from savs_analyze.methods.recipes import SAVS, ZERO_SHOT, displayed
from savs_analyze.methods.settings import Setting
from savs_analyze.papers import published as papers
from savs_analyze.report.blocks import Chart, Classes, Entry, HeadMap, Section, Table
from savs_analyze.report.charts import inline_curves, inline_reliability
from savs_analyze.report.curves import X_LABELS, Curve
from savs_analyze.report.head_maps import most_heads, most_shots, selection_frequency
from savs_analyze.report.layout import (
    MOST_COLUMNS,
    Number,
    columns_of,
    differences,
    metric_words,
    numbers_of,
    papers_table,
    spread,
)
from savs_analyze.report.notes import LEFT_OUT, TESTED, counted_words, footnotes, papers_notes, score_notes, shortened
from savs_analyze.report.reliability import Diagram, diagrams
from savs_analyze.runs.results import CellResult
from savs_metrics import OF_CLASSES, OF_SCORES

# Maps and curves against shots are of the papers' number of heads, or the nearest that there is.
PAPERS_HEADS = 20
# With more classes, a table of each against each has no room in memory, nor a reader.
MOST_CONFUSED = 4096
KEYS = ("benchmark", "model", "task", "metric")
CHANCE = "Chance is guessing, every class of the task as likely as the others."
# Of maps of so many heads, those that are most often chosen are named too, so many of them.
MANY_HEADS, MOST_LISTED = 400, 12


def sections(found: Findings, worst: Section | None = None) -> list[Section]:
    """Return the sections that have something to say, in their order; `worst` is that of the worst answers."""
    makers: Sequence[Callable[[Findings], Section | None]] = (
        results,
        published,
        head_maps,
        against_heads,
        against_shots,
        paired_tests,
        hyperparameters_of,
        stability_of,
        classes,
        lambda _: worst,
        metrics_of_classes,
        probabilities,
        left_out,
    )
    return [section for make in makers if (section := make(found)) is not None]


def results(found: Findings) -> Section:
    """Return the table to look at first; where settings are many, tasks and further metrics come below it."""
    first, *others = footnotes(
        found.cells, compared=found.compared, noted=found.notes
    )  # choices have a section of their own
    rows, levels = found.chosen[~found.chosen["metric"].isin(FURTHER)], chance_levels(found.cells)
    if columns_of(rows).nunique() <= MOST_COLUMNS:
        tables = [_wide(rows, levels)]
    else:
        families = rows.groupby(["benchmark", "model"], sort=False)
        details = [
            (family, lines) for family, lines in families if len(lines[["task", "metric"]].drop_duplicates()) > 1
        ]
        tables = [
            _long(found.headlines(found.chosen), levels),
            *(_long(lines, levels, found.title(*family)) for family, lines in details),
        ]
    note = f"{first} Bold is the best on each benchmark."
    return Section("Results", f"{note} {CHANCE}" if levels else note, tables, others)


def paired_tests(found: Findings) -> Section | None:
    """Return how much better the best of each line is than the others, and whether that is more than chance."""
    tables = []
    several = found.compared["shots"].nunique() > 1
    for (*line, shots), pairs in found.compared.groupby(["benchmark", "model", "task", "shots"], sort=False):
        best = next(name for name in pairs["setting"] if name not in set(pairs["other"]))
        table = differences(pairs[pairs["setting"] == best]).rename(columns={"other": "against"})
        caption = f"{found.title(*line)}: {best}{f', {shots} shots' if several else ''}"
        tables.append(Table.of(table[["against", "difference", "n", "p", "holm", "verdict"]], caption))
    note = (
        f"The best on each benchmark against the others on the same samples: points of the first metric. "
        f"{' '.join(TESTED)} {counted_words(found.cells)}"
    )
    return Section("Which methods differ", note, tables) if tables else None


def published(found: Findings) -> Section | None:
    """Return the papers' numbers beside ours, where they have any."""
    beside = papers.beside_published(found.cells)
    if beside.empty:
        return None
    first, *notes = papers_notes(beside)
    return Section("Beside the papers' numbers", first, [Table.of(papers_table(beside))], notes)


def hyperparameters_of(found: Findings) -> Section | None:
    """Return what validation chose, where there was a choice."""
    table = hyperparameters([choice for choice in found.choices if choice.settings > 1])
    note = "The best mean over benchmarks, equally weighted, of the first metric on the samples that validate, percent."
    return Section("Chosen hyperparameters", note, [Table.of(_telling(table))]) if len(table) else None


def stability_of(found: Findings) -> Section | None:
    """Return how alike the heads of different draws are."""
    alike = stability(found.cells, found.choices)
    alike = alike[alike["draws"] > 1]
    if alike.empty:
        return None
    shown = alike.assign(**{name: alike[name].map("{:.2f}".format) for name in ("jaccard", "by chance")})
    note = "Jaccard: the mean over pairs of draws of heads in both over heads in either; by chance: of random heads."
    return Section("How alike draws select", note, [Table.of(_telling(shown))])


def _telling(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without what is the same in every line and known."""
    known = [name for name in ("model", "task", "metric", "shots") if name in frame and frame[name].nunique() == 1]
    return frame.drop(columns=known)


def metrics_of_classes(found: Findings) -> Section:
    """Return the table of what a constant answer does not win."""
    rows = found.overall(found.chosen[found.chosen["metric"].isin(OF_CLASSES)])
    note = (
        "The means over classes of recall and of F1, percent: what always gives the same answer has little of them. "
        f"{counted_words(found.cells)}"
    )
    lay_out = _wide if columns_of(rows).nunique() <= MOST_COLUMNS else _long
    return Section("Balanced accuracy and macro-F1", note, [lay_out(rows, chance_levels(found.cells))])


def probabilities(found: Findings) -> Section | None:
    """Return for the best method of every benchmark, and zero-shot, how far its probabilities are to be believed."""
    every = diagrams(found)
    if not every:
        return None
    charts = [Chart(diagram.title, inline_reliability(diagram)) for diagram in every]
    names = dict.fromkeys(answers.name for diagram in every for answers in diagram.answers)
    note = (
        "How often an answer is right, against the probability that its method gives it: on the dashed line as often "
        "as it says, below it less often. Bins of about as many answers, with 95 % intervals as of independent ones; "
        "the best method of every benchmark, all its draws together, and zero-shot."
    )
    numbers = [line for diagram in every for line in _numbers_of_scores(found, diagram)]
    return Section("Probabilities", note, charts, [*numbers, *score_notes(found.cells)], list(names))


def _numbers_of_scores(found: Findings, diagram: Diagram) -> list[str]:
    """Return a line of numbers for each method of a diagram."""
    rows = found.overall(found.of_scores({setting for setting, _ in diagram.settings}))
    rows = rows[rows["metric"].isin(OF_SCORES)]
    rows = rows[(rows["benchmark"] == diagram.benchmark) & (rows["model"] == diagram.model)]
    lines = []
    for answers, (setting, shots) in zip(diagram.answers, diagram.settings, strict=True):
        own = rows[(rows["setting"] == setting) & (rows["shots"] == shots)]
        texts = [f"{metric_words(number.metric)} {number}" for number in numbers_of(own)]
        lines.append(f"{diagram.title}, {answers.name}: {', '.join(texts)}.")
    return lines


def _wide(summary: pd.DataFrame, levels: Mapping[Line, float]) -> Table:
    """Return a table with a line a benchmark, task and metric, a column a setting, and what chance would have."""
    settings, lines = _settings_and_lines(summary)
    corner, labels = _labels(lines)
    names = pd.Series([label.text for label in labels])
    again = names == names.shift()
    firsts = [replace(label, text="") if repeated else label for label, repeated in zip(labels, again, strict=True)]
    numbers = lines[[setting.text for setting in settings]].to_numpy().tolist()
    each = zip(firsts, numbers, _chances(lines, levels), lines["n"], strict=True)
    rows = [[label, *_best(texts), Entry(chance), Entry(n)] for label, texts, chance, n in each]
    return Table([corner, *settings, Entry("chance"), Entry("n")], [True] + [False] * (2 + len(settings)), rows)


def _long(summary: pd.DataFrame, levels: Mapping[Line, float], caption: str = "") -> Table:
    """Return a table with a line a setting, and a column a benchmark, task and metric."""
    settings, lines = _settings_and_lines(summary)
    corner, labels = _labels(lines)
    counted = zip(labels, lines["n"], _chances(lines, levels), strict=True)
    labels = [
        replace(label, small=f"{label.small}\nn = {n}{f', chance {chance}' if chance else ''}".strip())
        for label, n, chance in counted
    ]
    columns = [_best(texts) for texts in lines[[setting.text for setting in settings]].to_numpy().tolist()]
    rows = [list(row) for row in zip(settings, *columns, strict=True)]
    return Table([replace(corner, text="method"), *labels], [True] + [False] * len(labels), rows, caption)


def _chances(lines: pd.DataFrame, levels: Mapping[Line, float]) -> list[str]:
    """Return of every line what blind guessing would have, in percent; "" where that is not known."""
    keys = lines[list(KEYS)].itertuples(index=False, name=None)
    return [f"{100 * levels[key]:.1f}" if key in levels else "" for key in keys]


def _settings_and_lines(summary: pd.DataFrame) -> tuple[list[Entry], pd.DataFrame]:
    """Return the settings, which say their shots where there are several, and their numbers, a column for each."""
    same_as = dict(zip(columns_of(summary), summary["same_as"], strict=True))
    settings = [Entry(setting, f"same as {same}" if same else "") for setting, same in same_as.items()]
    return settings, spread(summary, all_metrics=True)


def _labels(lines: pd.DataFrame) -> tuple[Entry, list[Entry]]:
    """Return a cell for the corner of a table and one for each line: what tells it from others, and in small the rest.

    What all lines measure is said in the corner.
    """
    first, *others = [key for key in KEYS if lines[key].nunique() > 1] or ["benchmark"]
    rest = [key for key in KEYS if key in (*others, "task") and key != first]
    lines = lines.assign(metric=lines["metric"].map(metric_words), task=lines["task"].replace("all", ""))
    corner = Entry(first, "" if lines["metric"].nunique() > 1 else lines["metric"].iloc[0])
    labels = [Entry(line[first], ", ".join(filter(None, map(line.get, rest)))) for line in lines.to_dict("records")]
    return corner, labels


def _best(numbers: Sequence[Number | str]) -> list[Entry]:
    """Return the number of every setting as a cell, "" where it has none; the best is marked where there are others."""
    there = [number.goodness for number in numbers if isinstance(number, Number)]
    most = max(there) if len(there) > 1 else None
    return [
        Entry(number.text, number.interval, best=number.goodness == most, close=number.close)
        if isinstance(number, Number)
        else Entry("")
        for number in numbers
    ]


def head_maps(found: Findings) -> Section | None:
    """Return a map of every model, benchmark and task: in how many draws each head is among the best."""
    families: dict[tuple[str, str, str], list[CellResult]] = {}
    for cell in most_shots(found.of(method=SAVS)):
        family = (cell.facts.benchmark, cell.facts.model, cell.facts.task)
        families.setdefault(family, []).append(cell)
    if not families:
        return None
    maps = []
    for family, cells in families.items():
        [shares] = selection_frequency(cells, min(PAPERS_HEADS, most_heads(cells))).values()
        counts = [[None if np.isnan(share) else round(share * len(cells)) for share in layer] for layer in shares]
        maps.append(HeadMap(found.title(*family), counts, len(cells), _most_chosen(counts)))
    heads = min(PAPERS_HEADS, most_heads(found.cells))
    note = f"How often, over the draws, each head is among the best {heads}: layers upward, heads to the right."
    return Section("Where the heads are", note, maps)


def _most_chosen(counts: Sequence[Sequence[int | None]]) -> list[str]:
    """Return of a map of many heads those that most draws choose, in words; of a small one nothing: it can be read."""
    every = [(count, layer, head) for layer, of in enumerate(counts) for head, count in enumerate(of) if count]
    if sum(len(of) for of in counts) < MANY_HEADS:
        return []
    ranked = sorted(every, key=lambda one: (-one[0], one[1:]))[:MOST_LISTED]
    return [f"layer {layer} head {head} ({count})" for count, layer, head in ranked]


def against_heads(found: Findings) -> Section | None:
    """Return charts against the number of heads that vote, where there are several numbers."""
    names = {}
    for cell in found.cells:
        for column, setting in zip(cell.facts.columns, map(Setting.from_json, cell.facts.settings), strict=True):
            parameters = tuple((name, value) for name, value in setting.parameters if name != "k")
            names[column] = replace(setting, parameters=parameters).column()
    rows = found.headlines(found.summary)
    rows = rows[rows["shots"].isin([0, rows["shots"].max()])]
    return _against(found, "heads", "Against the number of heads", rows.assign(curve=rows["setting"].map(names)))


def against_shots(found: Findings) -> Section | None:
    """Return charts against the number of support samples a class, where there are several numbers."""
    rows = found.headlines(found.chosen)
    if not found.choices:
        heads = min(set(rows["heads"]) - {0}, key=lambda count: abs(count - PAPERS_HEADS), default=0)
        rows = rows[rows["heads"].isin([0, heads])]
    several = rows.groupby(["benchmark", "model", "method", "shots"])["setting"].transform("nunique").max() > 1
    names = rows["setting"] if several else rows["method"].map(displayed)
    return _against(found, "shots", "Against the number of samples a class", rows.assign(curve=names))


def _against(found: Findings, x: str, title: str, rows: pd.DataFrame) -> Section | None:
    """Return a section with a chart a benchmark and a curve for all rows of one name in the column `curve`.

    What is the same as another method there has no curve of its own.
    """
    places: dict[str, int] = {}
    charts = []
    for family, of_family in rows.groupby(["benchmark", "model"], sort=False):
        learnt = of_family[(of_family[x] > 0) & ~of_family["same_as"].isin(of_family["method"])]
        curves = [
            Curve.of(points, x, name, places.setdefault(name, len(places)))
            for name, points in learnt.groupby("curve", sort=False)
            if points[x].nunique() > 1
        ]
        if curves:
            level = next(iter(100 * of_family.loc[of_family["method"] == ZERO_SHOT, "value"]), None)
            caption = f"{found.title(*family)}: {metric_words(of_family['metric'].iloc[0])}"
            y_label = f"{metric_words(of_family['metric'].iloc[0])}, %"
            charts.append(Chart(caption, inline_curves(curves, level, (X_LABELS[x], y_label), f"{x} {caption}")))
    note = "Percent; bands are 95 % intervals, the dashed line is zero-shot."
    return Section(title, note, charts, legend=list(places)) if charts else None


def classes(found: Findings) -> Section:
    """Return for the best method of every benchmark how often each class is right, and what it is taken for."""
    blocks = []
    for best in found.best(found.chosen.assign(column=columns_of(found.chosen))).itertuples():
        for task in found.tasks(best.benchmark, best.model):
            of_best = {"method": best.method, "shots": best.shots}
            cells = found.of(benchmark=best.benchmark, model=best.model, task=task, **of_best)
            facts = cells[0].facts
            if facts.classes > MOST_CONFUSED:
                continue
            predicted, labels = map(np.concatenate, zip(*(_answers(cell, best.setting) for cell in cells), strict=True))
            counts = confusion(predicted, labels, facts.classes)
            names = facts.class_names or list(map(str, range(facts.classes)))  # older results have none
            names = [*names, "none"] if counts.shape[1] > len(names) else names
            title = f"{found.title(best.benchmark, best.model, task)}: {best.column}"
            blocks.append(Classes(title, list(map(shortened, names)), counts))
    note = (
        "The best method of every benchmark, the answers of all its draws together: how often each class is right, "
        "and in percent of each class (lines) what it is taken for (columns). n counts answers: each test sample once "
        "for every draw that tests it."
    )
    return Section("Classes", note, blocks)


def _answers(cell: CellResult, setting: str) -> tuple[Int[np.ndarray, " sample"], Int[np.ndarray, " sample"]]:
    """Return predictions and labels of one setting, of the samples that are tested."""
    tested = ~cell.arrays["validation"]
    return cell.arrays["predicted"][cell.facts.columns.index(setting)][tested], cell.arrays["label"][tested]


def left_out(found: Findings) -> Section:
    """Return how many test samples were tested in a draw, and how many were not, for what reason."""
    learnt = [cell for cell in found.cells if cell.facts.method != ZERO_SHOT] or found.cells
    counted = pd.DataFrame(
        {name: getattr(cell.facts, name) for name in ("benchmark", "model", "task")}
        | {"tested": int((~cell.arrays["validation"]).sum()), "validating": int(cell.arrays["validation"].sum())}
        | {name: cell.rows[0][name] for name in (*LEFT_OUT, "partial")}
        for cell in learnt
    )
    if not counted[["validating", *LEFT_OUT, "partial"]].to_numpy().any():
        return Section("Left out", "Nothing: every test sample was tested in every draw.")
    families = counted.groupby(["benchmark", "model", "task"], sort=False)
    table = families[["tested", "validating", *LEFT_OUT]].agg(_least_to_most)
    table["store"] = families["partial"].any().map({True: "unfinished: finished samples only", False: "finished"})
    why = "validating, because they choose hyperparameters; " + "; ".join(
        f"{name}, {words}" for name, words in LEFT_OUT.items()
    )
    return Section("Left out", f"Test samples a draw. Not tested: {why}.", [Table.of(table.reset_index())])


def _least_to_most(counts: pd.Series) -> str:
    least, most = counts.min(), counts.max()
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"

"""Rows laid out for people: in percent, one line a task or a method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from savs_analyze.across.transfer import OWN
from savs_analyze.measure.scored import LOWER_IS_BETTER, PLAIN
from savs_analyze.measure.units import FURTHER
from savs_analyze.methods.recipes import displayed
from savs_analyze.report.notes import MOST_ANSWERS, used_notes

# With more settings, a table has a line for each.
MOST_COLUMNS = 5
# Classes of an answer whose scores are shown.
SHOWN_SCORES = 3
SHOWN = [
    "model",
    "benchmark",
    "metric",
    "setting",
    "ours",
    "theirs",
    "published in",
    "difference",
    "z",
    "verdict",
    "notes",
]


@dataclass(frozen=True)
class Number:
    """A number of a table with its interval; `close` says that it is as good as the best of its line.

    Shares of 1 are shown in percent, losses as they are; where no interval is known there is none.
    """

    value: float
    low: float
    high: float
    close: bool = False
    metric: str = ""

    @property
    def text(self) -> str:
        return self._shown(self.value)

    @property
    def interval(self) -> str:
        return "" if np.isnan(self.low) else f"[{self._shown(self.low)}, {self._shown(self.high)}]"

    @property
    def goodness(self) -> float:
        """What is the larger the better."""
        return -self.value if self.metric in LOWER_IS_BETTER else self.value

    def _shown(self, value: float) -> str:
        return f"{value:.3f}" if self.metric in PLAIN else f"{100 * value:.1f}"

    def __str__(self) -> str:
        return f"{self.text} {self.interval}{' °' if self.close else ''}".rstrip()


def metric_words(name: str) -> str:
    """Return the name of a metric as it stands in a text."""
    words = {"auroc": "AUROC", "brier_score": "Brier score"}
    words |= {f"recall_at_{rate}_percent": f"recall at {rate} % false positives" for rate in (1, 5)}
    return words.get(name, name.replace("_", " ").replace("f1", "F1"))


def numbers_of(summary: pd.DataFrame) -> list[Number]:
    columns = (summary[name] for name in ("value", "low", "high", "close", "metric"))
    return [Number(*row) for row in zip(*columns, strict=True)]


def columns_of(summary: pd.DataFrame) -> pd.Series:
    """Return the column of each row: its setting, the method where models chose different ones, with its shots."""
    per_model = summary.groupby(["method", "model", "shots"])["setting"].transform("nunique")
    per_method = summary.groupby("method")["setting"].transform("nunique")
    named = summary["method"].map(lambda name: f"{displayed(name)}, chosen")
    columns = summary["setting"].where((per_model > 1) | (per_method == 1), named)
    learnt = summary["shots"] > 0
    if summary.loc[learnt, "shots"].nunique() > 1:
        columns = columns.where(~learnt, columns + ", " + summary["shots"].astype(str) + " shots")
    return columns


def spread(summary: pd.DataFrame, all_metrics: bool = False) -> pd.DataFrame:
    """Return the table for people: one line a benchmark, model, task and metric, one column a method, `Number`s.

    `n` lists the numbers of tested units, of the first columns first, where methods differ in them. What
    stands beside the benchmark's own metric has lines with `all_metrics` only.
    """
    if not all_metrics:
        summary = summary[~summary["metric"].isin(FURTHER)]
    lines = summary.assign(
        column=columns_of(summary),
        number=numbers_of(summary),
    )
    index = ["benchmark", "model", "task", "metric"]
    columns = list(dict.fromkeys(lines["column"]))
    cells = lines.groupby([*index, "column"], sort=False)["number"].first().unstack("column", fill_value="")
    counts = lines.groupby(index, sort=False)["n"].agg(lambda n: " / ".join(f"{count:,}" for count in dict.fromkeys(n)))
    # In the order of the summary: pandas sorts what it unstacks.
    return cells.reindex(index=counts.index, columns=columns).assign(n=counts).reset_index()[[*index, "n", *columns]]


def listed(summary: pd.DataFrame, all_metrics: bool = False) -> pd.DataFrame:
    """Return the table for people where there are many methods: one line a method, `Number`s."""
    if not all_metrics:
        summary = summary[~summary["metric"].isin(FURTHER)]
    # Here a chosen setting can be named for each model.
    labels = summary["setting"]
    if summary.loc[summary["shots"] > 0, "shots"].nunique() > 1:
        labels = labels.where(summary["shots"] == 0, labels + ", " + summary["shots"].astype(str) + " shots")
    lines = summary.assign(setting=labels, result=numbers_of(summary), n=summary["n"].map("{:,}".format)).rename(
        columns={"same_as": "same as"}
    )
    index = ["benchmark", "model", "task", "metric"]
    columns = [*index, "setting", "n", "result", "same as"]
    order = np.argsort(lines.groupby(index, sort=False).ngroup(), kind="stable")  # as they appear, not by letter
    return lines.iloc[order][columns].drop(columns=[] if any(lines["same as"]) else ["same as"])


def answers_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the first answers for people: what all have in common is not said, questions only where they differ."""
    rows = rows.head(MOST_ANSWERS)
    samples = rows["sample_id"].where(rows["sample_id"] != "", "row " + rows["row"].astype(str))
    found = {name: rows[name] for name in "benchmark model task setting shots".split() if rows[name].nunique() > 1}
    found |= {"sample": samples}
    if (rows["image_path"] != rows["sample_id"]).any() and rows["image_path"].any():
        found["picture"] = rows["image_path"]
    if rows["question"].nunique() > 1:
        found["question"] = rows["question"].map(lambda text: text if len(text) <= 60 else f"{text[:59]}…")
    found |= {"true": rows["label"], "said": rows["answer"]}
    counted = zip(rows["right"], rows["tested"], strict=True)
    found["right"] = [f"{right} of {tested}" for right, tested in counted]
    found["margin"] = (100 * rows["margin"].astype(float)).map("{:z.0f}".format)  # no -0
    found["scores"] = [_largest(of) for of in rows["scores"]]
    return pd.DataFrame(found)


def _largest(scores: dict[str, float] | None) -> str:
    """Return the largest scores in words, in percent."""
    best = sorted((scores or {}).items(), key=lambda one: -one[1])[:SHOWN_SCORES]
    return ", ".join(f"{name} {100 * score:.0f}" for name, score in best)


def differences(compared: pd.DataFrame) -> pd.DataFrame:
    """Return tested differences for people: in points, with p and the verdict."""
    text = [f"{100 * r.difference:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]" for r in compared.itertuples()]
    chances = {name: compared[name].map(_chance) for name in ("p", "holm")}
    drop = [] if compared["shots"].nunique() > 1 else ["shots"]
    return compared.assign(difference=text, **chances).drop(columns=["low", "high", "level", *drop])


def _chance(p: float) -> str:
    """Return a p value in words of three digits; nothing where nothing was judged."""
    return "" if np.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def transfer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows for people, in percent."""
    percent = [f"{100 * r.value:.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in rows.itertuples()]
    against = [
        f"{100 * r.against_own:+.1f} [{100 * r.against_own_low:+.1f}, {100 * r.against_own_high:+.1f}]"
        for r in rows.itertuples()
    ]
    found = rows[["model", "source", "target", "takes", "metric", "n"]].assign(
        result=percent, **{"against own": np.where(rows["takes"] == OWN, "", against)}
    )
    if "published" not in rows:
        return found
    return found.assign(published=["" if np.isnan(value) else f"{100 * value:.1f}" for value in rows["published"]])


def papers_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the comparison for people, in percent; numbers in `notes` are those of `footnotes`."""
    notes = used_notes(compared)
    lines = []
    for row in compared.itertuples():
        by = row.published_method if row.published_method != row.method else ""
        where = ", ".join(word for word in (row.paper, row.place, by, row.published_settings, row.reading) if word)
        lines.append(
            {
                "model": row.model,
                "benchmark": row.benchmark + ("" if row.task == "all" else f", {row.task}"),
                "metric": row.metric,
                "setting": row.setting,
                "ours": f"{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]",
                "theirs": f"{100 * row.published:.1f} ± {100 * row.half_width:.1f}",
                "published in": where,
                "difference": f"{100 * row.difference:+.1f}",
                "z": "" if np.isnan(row.z) else f"{row.z:+.1f}",
                "verdict": row.verdict,
                "notes": " ".join(str(place) for place, note in enumerate(notes, start=1) if note in row.notes),
            }
        )
    return pd.DataFrame(lines, columns=SHOWN)

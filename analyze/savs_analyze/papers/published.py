"""Our numbers beside the published ones, judged by the noise of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from savs_analyze.across.transfer import HEADS
from savs_analyze.findings.comparisons import ONE_DRAW
from savs_analyze.findings.summary import measured, numbers
from savs_analyze.measure.crossed import Noise
from savs_analyze.measure.intervals import COVERAGE, chances
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.results import CellResult

FIGURES = Path(__file__).with_name("published.csv")
WIDTH = float(ndtri((1 + COVERAGE) / 2))  # standard errors in half of an interval
# A benchmark in the papers' own division into support and test ends so.
PAPERS_SPLIT = "-paper"
# Heads of one task on another, as `savs-analyze transfer` has them.
TRANSFER = "transfer"
# The papers' code is another method than their text, or another loss than ours.
CODED = {
    "savs-rbf": "paper-rbf",
    "savs-laplacian": "paper-laplacian",
    "savs-sigmoid": "paper-sigmoid",
    "lasso": "lasso-one-vs-rest",
    "knn": "paper-knn",
}
# Those of them whose published numbers have notes of their own.
TOLD = ("lasso", "knn")
SAME = ["model", "metric", "task"]
COLUMNS = ["model", "benchmark", "task", "metric", "method", "setting", "shots", "draws", "n", "value", "low", "high"]
COLUMNS += ["paper", "place", "reading", "published_method", "published_settings", "published_n", "published"]
COLUMNS += ["half_width", "draw_sd", "difference", "z", "verdict", "notes"]
# What is known to be wrong or different about a published number.
NOTES = {
    "retrieval": "The second paper's NaturalBench is NaturalBench-Retrieval: 950 groups, not 9,500, of which 713 are "
    "in its Table 1. Its support is of groups 1 to 10 of the same file; 6 tested groups hold copies of it.",
    "counting": "The second paper asks one constant question of all 120 pictures of BLINK's Counting: 20.0 and 16.7 % "
    "there, below chance, are one fourteenth of its mean. The first quarter of every task is not in its mean.",
    "mhalu": "The second paper's support and test are both of the validation file; 142 test claims share a picture "
    "with the support.",
    "vlguard": "The second paper tests on 558 of the 1,000 harmful samples, without saying so.",
    "order": "Which of equally good heads the second paper's code keeps depends on the processor; between equal camps "
    "the head of the lowest layer decides (--protocol paper is near).",
    "algebra": "Penalty and artanh grow with the class's own similarity, so they cannot change a count: where their "
    "rows differ from the cosine's, it is by rounding or by ties in floats.",
    "float32": "The second paper's kernels only rank heads, in float32, where exp and tanh of large vectors saturate "
    "and classes tie; its vote is by cosine.",
    "table2": "Table 2 of the second paper has two rows exchanged: lasso of Qwen2-VL is C = 100 on 4 layers (printed: "
    "0.001 on 2), sparse-group lasso of LLaVA-OneVision is alpha = 0.001 on 2 layers (printed: 100 on 4); and what it "
    "calls C of the latter is alpha, the strength itself. Shown are the settings that give the printed values.",
    "one-vs-rest": "The second paper's lasso is liblinear's: one-vs-rest, with a penalised intercept.",
    "two-classes": "The second paper's sparse-group lasso knows two classes only: it cannot pass the share of two "
    "labels, 5.4 % on Pets and about 22 % on EuroSAT, nor on BLINK's tasks of three and four.",
    "exchanged": "The EuroSAT cells of lasso and sparse-group lasso are exchanged between the models in Table 1: both "
    "readings are shown.",
    "validation": "Figures 5 and 6 show validation samples, not test samples, read off to two digits.",
    "recall": "The second paper scores heads of a class by recall alone, and its published code has neither k = 25 nor "
    "the vote by similarity.",
    "vizwiz": "6 of the first paper's 40 support labels contradict the official flag, by a rule nobody published.",
    "pets": "The first paper's code takes the first word of a file name as the class: 35 classes, not 37; its support "
    "is of the official test split.",
    "rest": "The first paper's BLINK is the validation split less its support: 20 of every class are gone, so classes "
    "are skewed.",
    "options": "How the first paper chose samples and the 16 printed options of ImageNet is not published.",
    "largest": "The published row of nearest neighbours is not the majority of the five nearest: the first paper's "
    "code takes the largest class index among them (max(topk // 20)), which paper-knn does too.",
    "output": "The first paper's code takes a layer's features from the output of its projection (o_proj), where all "
    "heads are mixed; ours are its heads, side by side, before it.",
    "merged": "The first paper's NaturalBench has two classes: its code takes A for Yes and B for No; ours has four "
    "(savs-harvest --split paper has two).",
    "handed": "Table 2 of the first paper is known here by its numbers, not from its page: how many samples were "
    "tested, and which centroids the heads of another task were used with, is not known; ours are the target's.",
    "inferred": "Table 2's rows of encoders are known without the heads of their columns: which benchmark a number is "
    "of is inferred from its size.",
    "strings": "The first paper's zero-shot compares a generated text with the label: below chance on two classes, it "
    "measures form. Ours compares log-probabilities of the answers.",
    "formula": "The method is as the second paper's text has it; the published number is of its code, which differs.",
    "settings": "Ours has other hyperparameters, as none of its settings has the published ones.",
    "shots": "Ours learns from another number of samples a class.",
    "one draw": "Ours is one draw too: how much draws differ is not known, so nothing is judged (--draws 5).",
    "size": "The published size is not known: its noise is taken as that of as many samples as ours.",
    "split": "Ours are the official samples, those of the papers are others (savs-harvest --split paper is nearer).",
}


def published_figures() -> pd.DataFrame:
    """Return the papers' figures, one a row, in our names where there is a counterpart; `n` is text, such as 58+30.

    `step` is the last printed digit, which is `printed` rounded or truncated; `reading` tells apart what is
    printed and what is right. `n` counts what was tested independently: groups, where there are groups.
    """
    return pd.read_csv(FIGURES, dtype={"n": str, "shots": "Int64"}, keep_default_na=False, na_values={"shots": [""]})


def beside_published(cells: Iterable[CellResult]) -> pd.DataFrame:
    """Return a row for every result that has a published counterpart: ours, theirs, the difference and a verdict.

    A counterpart has the same model, benchmark, task, metric and method. Where a method was run with the published
    hyperparameters, only these settings are compared; else all are, with a note.
    """
    figures = published_figures()
    published = set(zip(figures["model"], figures["benchmark"], strict=True))
    cells = [cell for cell in cells if (cell.facts.model, published_name(cell.facts.benchmark)) in published]
    settings = {
        (cell.facts.method, column): setting
        for cell in cells
        for column, setting in zip(cell.facts.columns, map(Setting.from_json, cell.facts.settings), strict=True)
    }
    rows = []
    for keys, found in measured(cells):
        parameters = dict(settings[keys["method"], keys["setting"]].parameters)
        for theirs in counterparts(keys, figures).to_dict("records"):
            fits = parse_settings(theirs["settings"]).items() <= parameters.items()
            rows.append((fits, _beside(keys | numbers(found, keys["metric"]), theirs, fits, found.noise)))
    # The method with its published settings, where it was run with them.
    matched = {_pair(row) for fits, row in rows if fits}
    return pd.DataFrame([row for fits, row in rows if fits or _pair(row) not in matched], columns=COLUMNS)


def beside_transfer(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `transfer`, with `published` values where there are any: heads of one task on another.

    Published are heads of a task with another's own support, so those that take heads only have a counterpart. How
    many samples the papers tested is not known, so nothing is judged.
    """
    figures = published_figures()
    known = {
        (row.model, row.settings.removeprefix("source="), row.benchmark, row.metric): row.value
        for row in figures[figures["method"] == TRANSFER].itertuples()
    }
    found = [
        known.get((row.model, published_name(row.source), published_name(row.target), row.metric))
        if row.takes == HEADS
        else None
        for row in rows.itertuples()
    ]
    return rows if set(found) == {None} else rows.assign(published=np.array(found, dtype=float))


def beside_that(model: str, target: str, metric: str) -> dict[str, float]:
    """Return what the table of transfer has beside it, by words: other systems on the same target."""
    figures = published_figures()
    same = (figures["place"] == "Table 2") & (figures["model"] == model)
    same &= (figures["benchmark"] == published_name(target)) & (figures["metric"] == metric)
    words = {"lora-transfer": "LoRA of the source", ZERO_SHOT: "zero-shot"}
    return {words[row.method]: row.value for row in figures[same].itertuples() if row.method in words}


def counterparts(ours: Mapping[str, Any], figures: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of the same model, benchmark, task, metric and method as a row of the summary."""
    same = (figures[SAME] == pd.Series({name: ours[name] for name in SAME})).all(axis=1)
    same &= figures["benchmark"] == published_name(ours["benchmark"])
    return figures[same & (figures["method"] == CODED.get(ours["method"], ours["method"]))]


def published_name(benchmark: str) -> str:
    return benchmark.removesuffix(PAPERS_SPLIT)


def parse_settings(text: str) -> dict[str, float]:
    """Return the hyperparameters of `C=100 layers=4`."""
    pairs = (word.split("=") for word in text.split())
    return {name: float(value) for name, value in pairs}


def sampling_error(value: float, sizes: Sequence[int]) -> float:
    """Return the standard error of a share of so many tested, or of the mean of shares of several tasks.

    sqrt(p (1 - p) sum(1 / n)) / tasks, as if all tasks had the same share p, which is the largest it can be.
    """
    return float(np.sqrt(value * (1 - value) * np.sum(1 / np.array(sizes))) / len(sizes))


def hidden_gap(ours: float, printed: float, step: float, truncated: bool) -> float:
    """Return how far ours is from what a printed number can have been, 0 where it may have been ours.

    Rounded, it was within half a step of what is printed; truncated, within a step above it.
    """
    low, high = (printed, printed + step) if truncated else (printed - step / 2, printed + step / 2)
    return ours - min(max(ours, low), high)


def judge(gap: float, noise: Noise) -> str:
    """Return whether ours agrees with theirs, or is higher or lower than the noise of both explains."""
    if not noise.judged.all():
        return ONE_DRAW
    p = chances(np.array([gap]), noise).item()
    return "agrees" if p >= 1 - COVERAGE else "higher" if gap > 0 else "lower"


def draw_variance(noise: Noise) -> float:
    """Return the variance between single draws of a value; of a mean over tasks, of such a mean. NaN of one draw."""
    of_one = (noise.freedom + 1) * noise.own
    return float(of_one.sum() / len(of_one) ** 2)


def with_one_draw(noise: Noise, error: float) -> Noise:
    """Return the noise of a difference from a number of one draw, on other samples that leave it such an error.

    The error holds what is residual; draws add what they differ by beyond that.
    """
    excess = (noise.freedom + 1) * np.maximum(0, noise.own - noise.residual)
    samples = noise.samples + len(noise.samples) * error**2
    return replace(noise, samples=samples, own=np.maximum(noise.own, noise.residual) + excess)


def _beside(ours: dict[str, Any], theirs: dict[str, Any], fits: bool, noise: Noise) -> dict[str, Any]:
    """Return the row of one result and one figure; theirs is one draw, so it has the noise of one of our draws."""
    sizes = [int(size) for size in theirs["n"].split("+")] if theirs["n"] else [ours["n"]]
    error = sampling_error(theirs["value"], sizes)
    if ours["method"] == ZERO_SHOT:
        noise = noise.without_draws(np.array([True]))
    both = with_one_draw(noise, error)
    gap = hidden_gap(ours["value"], theirs["value"], theirs["step"], theirs["printed"] == "truncated")
    verdict = judge(gap, both)
    return ours | {
        "paper": theirs["paper"],
        "place": theirs["place"],
        "reading": theirs["reading"],
        "published_method": theirs["method"],
        "published_settings": theirs["settings"],
        "published_n": sum(sizes) if theirs["n"] else None,
        "published": theirs["value"],
        "half_width": WIDTH * error,
        "draw_sd": np.sqrt(draw_variance(noise)),
        "difference": ours["value"] - theirs["value"],
        "z": float("nan") if verdict == ONE_DRAW else gap / np.sqrt(both.variance().item()),
        "verdict": verdict,
        "notes": " ".join(NOTES[key] for key in _notes(ours, theirs, fits, verdict == ONE_DRAW)),
    }


def _notes(ours: dict[str, Any], theirs: dict[str, Any], fits: bool, one_draw: bool) -> list[str]:
    """Return the keys of `NOTES` that a row needs."""
    more = {
        "formula": ours["method"] in CODED and ours["method"] not in TOLD,
        "settings": not fits,
        "shots": ours["method"] != ZERO_SHOT and ours["shots"] != theirs["shots"],
        "one draw": one_draw,
        "size": not theirs["n"],
        "merged": ours["benchmark"] == "naturalbench",
        "split": not ours["benchmark"].endswith(PAPERS_SPLIT),
    }
    return [*theirs["notes"].split(), *(key for key, needed in more.items() if needed)]


def _pair(row: dict[str, Any]) -> tuple:
    return tuple(row[name] for name in (*SAME, "benchmark", "method", "paper", "place", "reading"))


def without_counterpart(cells: Iterable[CellResult]) -> str:
    """Say in a sentence that none of the results is published, what they are, and what is published."""
    cells, figures = list(cells), published_figures()
    figures = figures[figures["method"].isin(METHODS)]
    ours = sorted({f"{cell.facts.model} on {cell.facts.benchmark}" for cell in cells})
    models, benchmarks = (", ".join(dict.fromkeys(figures[name])) for name in ("model", "benchmark"))
    return (
        f"Nothing here has a published counterpart: these are results of {', '.join(ours)}; "
        f"the papers have the models {models} on {benchmarks}."
    )

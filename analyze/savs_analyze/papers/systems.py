"""Systems beside the first paper's rows of the same systems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from savs_analyze.methods.recipes import SAID, SAVS, ZERO_SHOT
from savs_analyze.papers.published import published_figures, published_name

PAPER, PLACE = "SAVs", "Table 1"
# Systems that are asked in no way of the paper's.
OTHERS = ("vqascore",)


def beside_systems(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `summarize_systems` with `published`, the first paper's number of the same system, or NaN.

    The same are model, benchmark, task, metric and system: by its own answer (published is generated text, here are
    `said` and zero-shot beside it), SAVs of as many heads, as many examples in context, LoRA, an encoder's own answer.
    """
    figures = published_figures()
    figures = figures[(figures["paper"] == PAPER) & (figures["place"] == PLACE)]
    keys = ["model", "benchmark", "task", "metric", "method", "settings"]
    known = dict(zip(figures[keys].itertuples(index=False, name=None), figures["value"], strict=True))
    found = [
        next((known[key] for way in _ways(row) if (key := _key(row, way)) in known), np.nan)
        for row in rows.to_dict("records")
    ]
    return rows.assign(published=np.array(found, dtype=float))


def _key(row: dict[str, Any], way: tuple[str, str]) -> tuple:
    return row["model"], published_name(row["benchmark"]), row["task"], row["metric"], *way


def _ways(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the published method and settings that a row may be."""
    by_itself = row["method"] in (ZERO_SHOT, SAID) and row["asked"] not in OTHERS
    if row["method"] == SAVS and row["setting"].startswith("SAVs, "):
        return [(SAVS, f"k={row['setting'].split()[1]}")]
    if not by_itself:
        return []
    if row["tuned"]:
        return [("lora", "")] if row["tuned"] == row["benchmark"] and not row["in_context"] else []
    return (
        [("in-context", f"examples={row['in_context']}")] if row["in_context"] else [(ZERO_SHOT, ""), ("encoder", "")]
    )

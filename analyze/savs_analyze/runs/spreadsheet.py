"""Rows as CSV that any program reads and no spreadsheet computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savs_stores.terminal import printable, shown

if TYPE_CHECKING:
    import pandas as pd

# Columns of names that come from a store; a spreadsheet computes a text that begins so.
NAMES = (
    *("benchmark", "model", "task", "wording", "other", "source", "target"),
    *("sample_id", "image_path", "question", "label", "answer"),
)
COMPUTED = ("=", "+", "-", "@")


def csv_text(rows: pd.DataFrame) -> str:
    """Return rows as CSV: names with an apostrophe where a spreadsheet would compute them, nothing unprintable."""
    texts = {name: rows[name].map(inert) for name in NAMES if name in rows}
    return shown(rows.assign(**texts).to_csv(index=False))


def inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(COMPUTED) else value)

"""Every method on real heads: the table of real-heads.md, with 20 heads where a method takes a number, nothing tuned.

python docs/real_heads_page.py stores/real-capitals.zarr stores/real-topics.zarr [--out results/real-heads]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import savs
from savs_analyze.methods.recipes import FIXED, METHODS, ZERO_SHOT
from savs_analyze.methods.settings import make_setting

HEADS, SHOTS, DRAWS = 20, (4, 20), 5


def measured(stores: list[str], folder: Path, jobs: int) -> pd.DataFrame:
    """Return a row a store, number of shots and method: its accuracy with an interval over other samples and draws."""
    methods = [name for name in METHODS if name != FIXED]  # which takes the heads of other tasks
    asked = {"methods": methods, "heads": HEADS, "shots": SHOTS, "draws": DRAWS, "validation": 0}
    found = savs.sweep(stores, **asked, out=folder, jobs=jobs).table(all_metrics=False)
    found = found[found["metric"] == "accuracy"]
    return found.assign(column=found["benchmark"] + found["shots"].map(", {} a class".format))


def cell(row: pd.Series, best: float) -> str:
    """Return the accuracy in percent with its interval; the best in bold, with ° what cannot be told from it."""
    value = f"{100 * row['value']:.1f}"
    value = f"**{value}**" if row["value"] == best else f"{value} °" if row["close"] else value
    return f"{value} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def lines(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of the table: a method a line, the best mean over stores and numbers of shots first."""
    own, learnt = rows[rows["method"] == ZERO_SHOT], rows[rows["method"] != ZERO_SHOT]
    columns = list(dict.fromkeys(learnt["column"]))
    best = learnt.groupby("column")["value"].max()
    cells = {(row["method"], row["column"]): cell(row, best[row["column"]]) for _, row in learnt.iterrows()}
    said = {row["benchmark"]: cell(row, 2) for _, row in own.iterrows()}
    yield f"| | {' | '.join(columns)} | |"
    yield "|---" * (len(columns) + 2) + "|"
    yield f"| the model's own answer | {' | '.join(said[column.partition(',')[0]] for column in columns)} | |"
    means = learnt.pivot_table(index="method", columns="column", values="value").mean(axis=1, skipna=False)
    for method in means.sort_values(ascending=False, na_position="last").index:
        same = learnt.loc[learnt["method"] == method, "same_as"].iloc[0]
        told = f"the same as `{same}`" if same else ""
        told = "sees all tested texts at once" if make_setting(method).method.transductive else told
        yield f"| `{method}` | {' | '.join(cells.get((method, column), '') for column in columns)} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/real-heads"))
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    print(*lines(measured(asked.stores, asked.out, asked.jobs)), sep="\n")


if __name__ == "__main__":
    main()

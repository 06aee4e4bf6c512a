"""Which method to take: all of the study `strong`, side by side on any stores: the tables of methods.md and its figure.

python docs/methods.py --draws 10 STORE ...     with --planted FOLDER also on made-up stores of the shape of a 7B model
python docs/methods.py --draws 3 --planted FOLDER --classes 37       on one of 37 classes alone: a table, no figure
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import savs
from savs_analyze.cli.planted import write_planted
from savs_analyze.papers.studies import STUDIES
from savs_analyze.report.drawing import empty_figure, save_figure

FIGURE = Path(__file__).parent / "methods.svg"


def planted(folder: Path, numbers: list[int]) -> list[str]:
    """Write stores of 784 heads of 128 numbers, of which at most 12 in the later layers know so many classes."""
    generator, paths = np.random.default_rng(7), []
    for classes in numbers:
        layers, heads = generator.integers(10, 28, 12).tolist(), generator.integers(0, 28, 12).tolist()
        informative = list(zip(layers, heads, strict=True))
        path = folder / f"planted-{classes}.zarr"
        tested = max(5, min(60, 600 // classes))
        write_planted(path, classes, 30, tested, 28, 28, 128, informative, strength=0.35)
        paths.append(str(path))
    return paths


def measured(stores: list[str], shots: list[int], draws: int, folder: Path) -> pd.DataFrame:
    """Return accuracies in percent: a row a number of shots and setting, a column a task."""
    study = STUDIES["strong"]
    asked = {"methods": study.methods, "heads": study.heads, "shots": shots, "draws": draws}
    savs.sweep(stores, **asked, validation=0, out=folder, jobs=2)
    rows = pd.read_csv(folder / "rows.csv").fillna({"task": "all"})
    rows = rows[(rows["metric"] == "accuracy") & (rows["split"] == "test")]
    rows["store"] = rows["benchmark"] + rows["task"].map(lambda task: "" if task == "all" else f", {task}")
    return 100 * rows.pivot_table(index=["shots", "setting"], columns="store", values="value", sort=False)


def markdown(table: pd.DataFrame) -> str:
    """Return the table with the mean over tasks, the best of each column in bold."""
    found = table.assign(mean=table.mean(axis=1, skipna=False)) if table.shape[1] > 1 else table
    best = found.round(1) == found.round(1).max()
    cells = found.map("{:.1f}".format).where(~best, found.map("**{:.1f}**".format))
    cells = cells.where(found.notna(), "")
    lines = [f"| {name} | {' | '.join(row)} |" for name, row in zip(found.index, cells.to_numpy(), strict=True)]
    return "\n".join([f"| | {' | '.join(found.columns)} |", "|---" * (len(found.columns) + 1) + "|", *lines])


def draw(table: pd.DataFrame) -> None:
    """Draw how far each setting that is on all tasks is behind the best of each on the mean, for few and many shots."""
    learnt = table[table.index.get_level_values("shots") > 0]
    behind = (learnt.groupby("shots").transform("max") - learnt).mean(axis=1, skipna=False).unstack("shots")
    behind = behind.dropna().sort_values(behind.columns[-1], ascending=False)
    places = np.arange(len(behind))
    with empty_figure(8, 0.32 * len(behind) + 1) as figure:
        axes = figure.subplots()
        for shift, (shots, values) in zip((0.2, -0.2), behind.items(), strict=True):
            axes.barh(places + shift, values, height=0.38, label=f"{shots} samples a class")
        axes.set_yticks(places, behind.index)
        axes.set_xlabel("points of accuracy behind the best of each task, mean over tasks")
        axes.legend(frameon=False)
        save_figure(figure, FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*")
    parser.add_argument("--shots", type=int, nargs="+", default=STUDIES["strong"].shots)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 10])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--planted", type=Path)
    asked = parser.parse_args()
    stores = [*asked.stores, *(planted(asked.planted, asked.classes) if asked.planted else [])]
    with tempfile.TemporaryDirectory() as folder:
        table = measured(stores, asked.shots, asked.draws, Path(folder) / "results")
    for shots in sorted(set(table.index.get_level_values("shots")) - {0}):
        rows = table[table.index.get_level_values("shots").isin([0, shots])].droplevel("shots")
        print(f"\n{shots} samples a class\n\n{markdown(rows)}")
    if asked.stores:
        draw(table)


if __name__ == "__main__":
    main()

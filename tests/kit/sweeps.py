"""Methods, hyperparameters and short sweeps that several tests share."""

import pandas as pd

from savs_analyze.methods.recipes import METHODS
from savs_analyze.runs.sweep import sweep

LEARNING = [name for name in METHODS if name != "zero-shot"]
# One of every way to learn and to vote.
FEW = [
    "savs",
    "savs-rbf",
    "savs-soft",
    "class-favoured",
    "class-similarity-balanced",
    "layers",
    "random",
    "knn",
    "ridge",
]
MANY = [name for name in LEARNING if name not in ("linear-probe", "mlp-probe")]
GRID = {"a": [0.3, 1.5], "b": [0.3, 1.5], "gamma": [0.01, 20], "beta": [-2, 1], "temperature": [0.05, 3]}


def run(store, out, **settings):
    return pd.read_csv(sweep([store.path], out, **{"shots": 5, "draws": 3, "heads": (1, 3, 8), **settings}))

"""Sweeps of a few shots and draws as tables, for the tests of the sweep."""

import pandas as pd

from savs_analyze.methods import METHODS
from savs_analyze.sweep import sweep

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


def run(store, out, **settings):
    return pd.read_csv(sweep([store.path], out, **{"shots": 5, "draws": 3, "heads": (1, 3, 8), **settings}))

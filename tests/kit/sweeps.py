"""Methods, hyperparameters and short sweeps that several tests share."""

import pandas as pd

from savs_analyze.methods.recipes import METHODS, SAVS, ZERO_SHOT
from savs_analyze.methods.settings import make_setting
from savs_analyze.runs import sweep as runs
from savs_analyze.runs.request import Ask, Data, Execution

KINDS = Ask, Data, Execution
LEARNING = [name for name in METHODS if not make_setting(name).method.needs]
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


def sweep(stores, out, **options):
    """Sweep with plain keywords, of whichever of the three records they are; by default zero-shot and SAVs."""
    options = {"methods": (ZERO_SHOT, SAVS), **options}
    parts = [{name: options.pop(name) for name in [*options] if name in kind.__dataclass_fields__} for kind in KINDS]
    return runs.sweep(Ask(**parts[0]), Data(stores, **parts[1]), Execution(out, **parts[2]), **options)


def run(store, out, **settings):
    return pd.read_csv(sweep([store.path], out, **{"shots": 5, "draws": 3, "heads": (1, 3, 8), **settings}))

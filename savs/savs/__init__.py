"""Head-level features of vision-language models, from Python: harvest, open, classify.

    import savs

    model = savs.load_model("tiny")
    vectors = model.encode(images, "Which digit is this?")  # [sample, head, dim]
    findings = savs.sweep("stores/digits.zarr", methods=["savs", "ridge"])
    findings.table(), findings.answers(), findings.compare()  # DataFrames

A name is imported when it is first used: `import savs` loads neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.classifier import load
    from savs.model import Model, load_model
    from savs.steps import harvest, sweep
    from savs_analyze.findings.findings import Findings
    from savs_analyze.lasso.estimator import LassoLogisticRegression, SparseGroupLogisticRegression
    from savs_analyze.methods.estimator import SAVClassifier
    from savs_analyze.methods.rooms import register
    from savs_stores import Store, open_store, write_store

_PLACES = {
    "Findings": "savs_analyze.findings.findings",
    "LassoLogisticRegression": "savs_analyze.lasso.estimator",
    "Model": "savs.model",
    "SAVClassifier": "savs_analyze.methods.estimator",
    "SparseGroupLogisticRegression": "savs_analyze.lasso.estimator",
    "Store": "savs_stores",
    "harvest": "savs.steps",
    "load": "savs.classifier",
    "load_model": "savs.model",
    "open_store": "savs_stores",
    "register": "savs_analyze.methods.rooms",
    "sweep": "savs.steps",
    "write_store": "savs_stores",
}
__all__ = [
    "Findings",
    "LassoLogisticRegression",
    "Model",
    "SAVClassifier",
    "SparseGroupLogisticRegression",
    "Store",
    "__version__",
    "harvest",
    "load",
    "load_model",
    "open_store",
    "register",
    "sweep",
    "write_store",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("savs")
    if name not in _PLACES:
        raise AttributeError(f"module 'savs' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__

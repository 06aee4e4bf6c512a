"""The studies of the papers by name: which methods and values are run, and what the figure shows. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from savs_analyze.findings.groups import ON_ENCODERS
from savs_analyze.runs.request import Ask, Grid

PENALTIES = [10.0**power for power in range(-5, 3)]
WEIGHTS: Grid = {name: [0.3, 0.54, 0.78, 1.02, 1.26, 1.5] for name in ("a", "b")}
LINEAR: Grid = {"layers": [1, 2, 3, 4], "C": PENALTIES, "alpha": PENALTIES}


@dataclass(frozen=True)
class Study:
    """What is asked, where it is from, and the sweep that answers; `along` is the axis of its curves, if any.

    One with `formulas` also draws the scores that it is about, which needs no store; one of `wordings` compares stores
    that differ in the wording of their question; one of `costs` measures what methods cost; one of `systems` compares
    all models of a store. `validation` is the share
    that chooses, None for that of the protocol; more than `most_classes` are told.
    """

    question: str
    source: str
    methods: Sequence[str]
    heads: Sequence[int] = (20,)
    shots: Sequence[int] = (20,)
    grid: Grid = field(default_factory=dict)
    along: str = ""
    formulas: bool = False
    wordings: bool = False
    costs: bool = False
    systems: bool = False
    validation: float | None = None
    most_classes: int = 0

    def ask(self, protocol: str = "", arithmetic: str = "") -> Ask:
        return Ask(self.methods, self.heads, self.grid, protocol=protocol, arithmetic=arithmetic)


STUDIES = {
    "methods": Study(
        "every method of both papers on every benchmark, hyperparameters chosen by validation",
        "both papers, Table 1; second paper, Table 2",
        (
            *("zero-shot savs savs-penalty savs-artanh paper-rbf paper-laplacian paper-sigmoid savs-l2".split()),
            *("lasso sparse-group-lasso class-favoured class-similarity".split()),
        ),
        grid={**LINEAR, **WEIGHTS},
    ),
    "shots": Study(
        "accuracy against support samples a class",
        "SAVs, arXiv 2412.00142",
        ("zero-shot", "savs", "savs-soft", "last-layer-probe"),
        shots=(5, 10, 20, 50, 100, 200),
        along="shots",
    ),
    "heads": Study(
        "accuracy against the number of heads",
        "both papers",
        ("savs", "savs-soft", "random"),
        heads=tuple(range(5, 51, 5)),
        along="heads",
    ),
    "layers": Study(
        "a few heads against whole layers",
        "SAVs, arXiv 2412.00142",
        ("zero-shot", "savs", "layers", "last-layer-probe"),
        grid={"layers": [1, 2, 4]},
    ),
    "classifiers": Study(
        "what classifies the heads' vectors",
        "SAVs, arXiv 2412.00142, Table 3a",
        ("savs", "knn", "paper-knn", "linear-probe", "mlp-probe", "ridge", "gaussian"),
    ),
    "per-class": Study(
        "heads of every class's own, by both votes, and what mends them",
        "second paper, 3.4",
        ("savs", "class-favoured", "class-similarity", "class-favoured-balanced", "class-similarity-balanced"),
        heads=(5, 10, 20, 25),
        along="heads",
    ),
    "artanh": Study(
        "the shape of the artanh score, and what a and b do where heads are counted and where they are scored",
        "second paper, 3.2, Figures 3 and 4",
        ("savs", "savs-artanh", "savs-artanh-score"),
        grid=WEIGHTS,
        formulas=True,
    ),
    "lasso": Study(
        "linear models of few features on the last layers",
        "second paper",
        ("savs", "lasso", "lasso-one-vs-rest", "sparse-group-lasso"),
        grid=LINEAR,
    ),
    "strong": Study(
        "SAVs, their successors and the strongest classifiers on the same vectors",
        "this project; HEC, arXiv 2603.24181; CALM, arXiv 2602.07077",
        (
            *("zero-shot savs savs-soft gaussian ridge sparse-group-lasso-share whitened hec-v hec-v-loo calm".split()),
            *("kernel-ridge kernel-ridge-all kernel-ridge-weighted lda ridge-gcv linear-probe-all".split()),
            *("hec-t hec-vt hec-vt-loo gaussian-text laplacian-shot".split()),
        ),
        heads=(5, 20),
        shots=(4, 20),
        costs=True,
    ),
    "prompts": Study(
        "what another wording of the question changes, on the same pictures, method by method",
        "HEC, arXiv 2603.24181",
        ("zero-shot", "savs", "hec-v", "kernel-ridge"),
        wordings=True,
        validation=0.0,
    ),
    "systems": Study(
        "heads, encoders, answers in words, captions, examples in context, tuned weights, endpoints side by side",
        "SAVs, arXiv 2412.00142, Tables 1 and 2",
        ON_ENCODERS,
        heads=(1, 20),
        systems=True,
        validation=0.0,
    ),
    "hec": Study(
        "HEC's protocol: four samples a class, its hyperparameters fixed, nothing validates",
        "HEC, arXiv 2603.24181",
        ("zero-shot", "savs", "ridge", "hec-v", "hec-v-loo"),
        shots=(4,),
        validation=0.0,
        most_classes=200,
    ),
    "demo": Study(
        "a few methods, each with the hyperparameters that validation chooses",
        "this project",
        ("zero-shot", "savs", "savs-soft", "sparse-group-lasso-share"),
        heads=(5, 10, 15, 20),
        grid={"layers": [4], "share": [0.3, 0.1, 0.03, 0.01]},
    ),
}


def find_study(name: str) -> Study:
    """Return a study by its name.

    Raises ValueError suggesting the nearest.
    """
    if name not in STUDIES:
        close = difflib.get_close_matches(name, STUDIES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f": {', '.join(STUDIES)}"
        raise ValueError(f"there is no study {name!r}{hint}")
    return STUDIES[name]

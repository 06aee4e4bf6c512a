"""A classifier from a store: which samples and heads, what the file says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int

from savs_analyze.classifier import forms
from savs_analyze.classifier.classifier import About, Classifier
from savs_analyze.draws.draws import belonging
from savs_analyze.draws.task import Task
from savs_analyze.draws.tuned import fresh
from savs_analyze.fitting.estimate import Estimate, balanced_accuracy, estimate
from savs_analyze.fitting.fit import Fit, fit, fold_of, partitions_of
from savs_analyze.fitting.labelled import LEAST, find_task, labelled, of_task, question_of
from savs_analyze.methods.context import Context
from savs_analyze.methods.crossfit import cross_fit
from savs_analyze.methods.folds import FOLDS, make_folds, naming
from savs_analyze.methods.method import Method
from savs_analyze.methods.recipes import AUTO, METHODS
from savs_analyze.methods.settings import Setting, make_setting
from savs_analyze.votes.fitted import Fitted
from savs_stores import BenchmarkInfo, ModelVectors, SampleTable

BUDGETS = (0.25, 0.5, 2 / 3, 0.75)


@dataclass(frozen=True)
class FitRequest:
    """What to fit: the `method` by name, or `auto`, which chooses.

    `budget` is the share of the layers, from the first, whose heads may stand; `shots` are samples of every class that
    are learnt from, None for all. `question` is what the store's samples were asked, where it does not say so itself.
    """

    task: str | None = None
    method: str = "auto"
    k: int | None = None
    budget: float = 1.0
    shots: int | None = None
    seed: int = 0
    question: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise ValueError(f"the budget is a share of the layers, above 0 and at most 1, got {self.budget}")
        if self.shots is not None and self.shots < LEAST:
            raise ValueError(f"{self.shots} shots cannot be split into folds: at least {LEAST} of every class, or all")

    @property
    def settings(self) -> list[Setting]:
        """The recipes that are chosen from. Raises ValueError for what no file can hold."""
        if self.method in METHODS and not make_setting(self.method).method.learns:
            raise ValueError(f"{self.method} learns nothing: there is no classifier to fit; name another method")
        if self.method == "auto" and self.k is not None:
            raise ValueError(
                f"auto has no k, it chooses among recipes with their own: name one with --method, as in --method "
                f"savs-soft --k {self.k}"
            )
        if self.method == "auto":
            return [make_setting(name, **cast(dict[str, Any], parameters)) for name, parameters in AUTO]
        setting = make_setting(self.method) if self.k is None else make_setting(self.method, k=self.k)
        if not setting.method.deploys:
            raise ValueError(f"{self.method} has no form in a classifier's file, it is for comparison: name another")
        return [setting]


def fit_store(vectors: ModelVectors, request: FitRequest = FitRequest(), files: Mapping[str, str] = {}) -> Classifier:
    """Fit a classifier on the labelled samples of a model's vectors, but for those that a benchmark keeps for tests.

    `files` are the hashes of the files of a model of the hub, by which a copy is known. Raises ValueError where a class
    has too few samples, where there are several tasks and none is named, and where the question is not what the samples
    were asked.
    """
    info, table = vectors.store.benchmark, vectors.store.samples
    task = Task(vectors, find_task(info, request.task, str(vectors.store.path)))
    settings = request.settings
    samples = labelled(table, info, task.task, fresh(vectors), request.shots, request.seed)
    question = question_of(table, info, samples, request.question)
    heads = np.flatnonzero(_within_budget(vectors.heads.layer, request.budget))
    labels = vectors.store.samples.label[samples].astype(np.int64)
    context = Context(
        vectors.read(samples, heads.tolist()),
        labels,
        len(task.classes),
        vectors.heads.layer[heads],
        request.seed,
        cluster=belonging(vectors.store.samples, samples),
        class_vectors=task.class_vectors(heads.tolist()) if any(one.method.needs for one in settings) else None,
    )
    with naming(task.classes):
        found = fit([setting.method for setting in settings], context, partitions_of(context))
    measured = _estimate(found, context, vectors, samples)
    about = About(
        list(task.classes),
        task.task,
        question,
        _model(vectors, files),
        _data(task, labels),
        _recipe(found, settings, request),
        measured.to_json() | {"layers": _by_layer(settings[found.chosen].method, context)},
        {name: version(name) for name in ("savs", "numpy", "scipy", "scikit-learn")},
    )
    return assemble(found, about, np.stack([vectors.heads.layer, vectors.heads.head_in_layer], axis=1)[heads])


def check_labels(info: BenchmarkInfo, table: SampleTable, request: FitRequest) -> list[str]:
    """Return in words what would make a fit on these samples poor, before any of them has vectors.

    Copies of a picture, and samples that will fail, nobody knows by then. Raises ValueError as `fit_store` would.
    """
    task = find_task(info, request.task, info.name)
    samples = labelled(table, info, task, np.ones(len(table), dtype=bool), request.shots, request.seed)
    question_of(table, info, samples, request.question)
    labels = table.label[samples].astype(np.int64)
    with naming(info.tasks[task]):
        folds = 1 + int(make_folds(labels, belonging(table, samples), request.seed).max())
    if folds == FOLDS:
        return []
    poor = "" if folds > LEAST else ": choice and calibration cannot be repeated without each, the estimate flatters"
    return [f"the scarcest class allows {folds} folds where {FOLDS} are usual{poor}; label more pictures of it"]


def assemble(found: Fit, about: About, heads: Int[np.ndarray, "head 2"]) -> Classifier:
    """Return a fit as a classifier of the heads that it needs, of all `heads` that it could choose from."""
    dim = found.likeness.means.shape[2]
    axis = np.unique(np.concatenate([one.heads for one in (found.fitted, *found.folds)] + [found.likeness.heads]))
    sizes = {"class": len(about.classes), "head": len(axis), "dim": dim}

    def placed(fitted: Fitted) -> Fitted:
        return forms.read(*forms.written(fitted, axis), sizes)

    likeness = found.likeness.on(axis)
    folds = [placed(fold) for fold in found.folds]
    return Classifier(about, heads[axis], dim, placed(found.fitted), folds, found.calibration, likeness)


def _within_budget(layer: Int[np.ndarray, " head"], budget: float) -> Bool[np.ndarray, " head"]:
    layers = np.unique(layer)
    return layer <= layers[max(1, round(budget * len(layers))) - 1]


def _estimate(found: Fit, context: Context, vectors: ModelVectors, samples: Int[np.ndarray, " sample"]) -> Estimate:
    cluster = np.arange(len(samples)) if context.cluster is None else context.cluster
    return estimate(found, context.labels, cluster, vectors.logits[samples, : context.classes])


def _by_layer(method: Method, context: Context) -> list[tuple[int, float]]:
    """Return the last layer allowed and the balanced accuracy of a method then, out of sample."""
    found: list[tuple[int, float]] = []
    for budget in (*BUDGETS, 1.0):
        heads = np.flatnonzero(_within_budget(context.layer, budget))
        last = int(context.layer[heads].max())
        if not found or last > found[-1][0]:
            shallow = context.on(heads)
            [predicted] = cross_fit([method], shallow, fold_of(context), nested=False).predicted
            found.append((last, balanced_accuracy(predicted == context.labels, context.labels)))
    return found


def _model(vectors: ModelVectors, files: Mapping[str, str]) -> dict[str, Any]:
    licence = vectors.provenance.get("licence")
    known: dict[str, Any] = {"files": dict(files)} if files else {}
    known |= {"licence": licence} if isinstance(licence, str) else {}
    return known | {
        "name": vectors.name,
        "fingerprint": vectors.fingerprint,
        "identity": dict(vectors.identity),
        "layers": len(vectors.heads.layers),
        "heads": vectors.heads.describe(),
    }


def _data(task: Task, labels: Int[np.ndarray, " sample"]) -> dict[str, Any]:
    benchmark, table = task.vectors.store.benchmark, task.vectors.store.samples
    return {
        "benchmark": benchmark.name,
        "source": benchmark.source,
        "licence": benchmark.licence,
        "index_hash": task.vectors.store.index_hash,
        "answers": dict(benchmark.answers),
        "samples": np.bincount(labels, minlength=len(task.classes)).tolist(),
        "kept_for_tests": int(
            (
                of_task(table, benchmark, task.task) & fresh(task.vectors) & (table.label >= 0) & table.in_split("test")
            ).sum()
        ),
    }


def _recipe(found: Fit, settings: Sequence[Setting], request: FitRequest) -> dict[str, Any]:
    return {
        "asked": request.method,
        "chosen": settings[found.chosen].to_json(),
        "column": settings[found.chosen].column(),
        "by_fold": [settings[place].column() for place in found.chosen_by_fold],
        "among": [setting.column() for setting in settings],
        "budget": request.budget,
        "seed": request.seed,
    }

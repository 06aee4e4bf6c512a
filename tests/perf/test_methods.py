"""What a fit of each strong method costs at the shape of a 7B model, beside plain forms of the same.

make perf    prints the table and writes docs/methods-performance.md
"""

import datetime
import os
import platform
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler
from test_harvest import processor_name

from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.every_head import PENALTIES
from savs_analyze.methods.learners import learn
from savs_analyze.papers.studies import STUDIES

DOCUMENT = Path(__file__).parents[2] / "docs" / "methods-performance.md"
LAYERS, HEADS, DIM, CLASSES, SHOTS, REPEATS = 28, 28, 128, 10, 20, 3
GOAL = 2.0
TEXT = """# Performance of methods

Measured by `make perf` in one run, one thread. {date}, {machine}.

A fit on {samples} samples of {classes} classes by {layers} x {heads} heads of {dim} numbers, each method alone: seconds
of the processor, the least of {repeats}. The *floor* of a kernel over all heads is one product of all pairs of samples
in each, {floor:.2f} s; what compares with class means only, as SAVs, needs less. *Plain* is the same by the published
formula, a pseudo-inverse a head (HEC), or by scikit-learn on all {features:,} features. Goal for HEC: {goal:.0f} s.

| method | fit | times the floor | plain | plain / fit |
|---|---|---|---|---|
{rows}
"""


def drawn():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), SHOTS)
    means = generator.normal(size=(CLASSES, LAYERS * HEADS, DIM)) * (np.arange(LAYERS * HEADS) % 64 == 0)[:, None]
    vectors = (0.4 * means[labels] + generator.normal(size=(len(labels), LAYERS * HEADS, DIM))).astype(np.float16)
    texts = means + generator.normal(size=means.shape)
    layer = np.repeat(np.arange(LAYERS), HEADS)
    return Context(vectors, labels, CLASSES, layer, class_vectors=texts)


def least(run):
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def products(context):
    by_head = context.vectors.transpose(1, 0, 2).astype(np.float64)
    return [one @ one.T for one in by_head]


def published(context):
    """Return the scores of all heads by HEC's formula, a pseudo-inverse each."""
    scores = []
    for head in range(context.vectors.shape[1]):
        seen = context.vectors[:, head].astype(np.float64)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        means = np.stack([seen[context.labels == label].mean(axis=0) for label in range(CLASSES)])
        residuals = seen - means[context.labels]
        scatter = residuals.T @ residuals
        trace = np.trace(scatter) / (len(seen) - 1)
        precision = DIM * np.linalg.pinv(scatter + trace * np.eye(DIM), hermitian=True)
        apart = seen[:, None] - means
        logits = -np.einsum("ncd,de,nce->nc", apart, precision, apart, optimize=True) / 20
        said = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores.append((said / said.sum(axis=1, keepdims=True))[np.arange(len(seen)), context.labels].mean())
    return scores


def by_scikit_learn(context):
    features = StandardScaler().fit_transform(context.vectors.reshape(len(context.labels), -1).astype(np.float64))
    return RidgeClassifierCV(PENALTIES).fit(features, context.labels)


PLAIN = {"hec-v": published, "hec-v-loo": published, "ridge-gcv": by_scikit_learn}


@pytest.mark.perf
def test_a_fit_of_every_strong_method():
    context = drawn()
    floor = least(lambda: products(context))
    plain = {run: least(lambda run=run: run(context)) for run in dict.fromkeys(PLAIN.values())}
    rows = []
    for setting in STUDIES["strong"].ask().settings:
        if not setting.method.learns or dict(setting.parameters).get("k", 20) != 20:
            continue
        seconds = least(lambda setting=setting: learn([setting.method], context))
        peer = plain.get(PLAIN.get(setting.name))
        beside = f"{peer:.2f} s | {peer / seconds:.1f}x" if peer else " | "
        rows.append(f"| {setting.column()} | {seconds:.2f} s | {seconds / floor:.1f}x | {beside} |")
        print(rows[-1], flush=True)
    facts = {"layers": LAYERS, "heads": HEADS, "dim": DIM, "classes": CLASSES, "samples": CLASSES * SHOTS}
    machine = f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}"
    text = TEXT.format(
        date=datetime.date.today().isoformat(),
        machine=machine,
        repeats=REPEATS,
        floor=floor,
        features=LAYERS * HEADS * DIM,
        goal=GOAL,
        rows="\n".join(rows),
        **facts,
    )
    DOCUMENT.write_text(text)

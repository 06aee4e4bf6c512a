"""The whole grid of the second paper in one sweep, against the papers' loops and against reading the bytes alone.

make perf        prints the table and writes docs/sweep-performance.md
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn
from savs_analyze.methods.settings import expand_settings, make_setting
from savs_analyze.papers.studies import STUDIES
from savs_analyze.runs.results import Results
from savs_analyze.votes.similarity import class_means
from savs_stores import BenchmarkInfo, HeadTable, SampleTable, Shard, Status, add_model, create_store, open_store
from savs_stores.place.local import shard_key

LAYERS, HEADS, DIM, CLASSES, SHOTS = 28, 28, 128, 10, 20
TEST_SAMPLES = 20_000
SHORT_OF_DISK = 10  # tested samples are divided by it where the disk is too full
PLANTED, STRENGTHS = 60, (0.02, 0.3)
KS = (5, 10, 15, 20, 25, 30, 40, 50)
PAIRS = np.linspace(0.3, 1.5, 6).tolist()
METHODS = ("savs", "savs-penalty", "savs-artanh", "savs-l2", "savs-rbf", "savs-laplacian", "savs-sigmoid")
EVERY_HEAD = ("kernel-ridge-all", "lda", "ridge-gcv", "linear-probe-all")
PER_CLASS = ("class-favoured", "class-similarity")
SLICE_SUPPORT, SLICE_TEST = 2, 20
REPEATS = 3
DOCUMENT = Path(__file__).parents[2] / "docs" / "sweep-performance.md"
TEXT = """# Performance of a sweep

Measured by `make perf` in one run, one after the other, file cache warm. {date}, {machine}.

A synthetic store of the shape of EuroSAT under a 7-billion-parameter model: {samples:,} samples to test and
{support} to learn from, {heads} heads x {dim}, {classes} classes, float16, {size:.2f} GB{scaled}. {planted} heads tell
the classes, from hardly to well; the others are noise. The grid is that of the second paper: {settings} settings =
(cosine, penalty, {pairs} pairs of artanh, l2, rbf, laplacian, sigmoid, class-favoured, class-similarity) x
{ks} numbers of heads, one draw. By algebra {different} of them differ.

| | |
|---|---|
| the sweep, a process of its own, store opened to rows written | {sweep:.1f} s |
| its peak memory | {memory:.2f} GB |
| of that, before the store is opened (Python, imports) | {idle:.2f} GB |
| heads that any setting votes with, so bytes that must be read | {union} of {heads}, {touched:.2f} GB |
| (a) the papers' loops in torch, sample by sample, head by head, setting by setting | {torch_loop} |
| (a) the same in NumPy | {numpy_loop:,.0f} s |
| sweep against (a) | {against_torch}{against_numpy:,.0f}x faster than NumPy |
| (b) bare `preadv` of those bytes, one thread | {read:.2f} s |
| one matrix product a similarity, float32 in memory already | {product:.2f} s |
| the same in float64 | {product64:.2f} s |
| sweep against (b) and float64 products | {ratio:.1f}x |

(a) is measured on {slice_support} samples of the support and {slice_test} to be tested, and multiplied. The products
are those of all voting heads of a similarity with the centroids: {products}.

## Strong methods

On the same store, the {strong_methods} methods of `study strong` that need pictures only and answer sample by sample,
{strong_settings} settings: {strong:.0f} s, {strong_memory:.2f} GB; without the four that read every head
(`{every_head}`) {chosen:.0f} s, {chosen_memory:.2f} GB. The goal was
twice the time of the grid above for as many settings.
"""
SWEEP = """
import json, sys, time
from pathlib import Path
sys.path.append(sys.argv[2])
from kit.sweeps import sweep
def peak():  # ru_maxrss would begin with that of the process that started this one
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
arguments, idle, started = json.loads(sys.argv[1]), peak(), time.perf_counter()
sweep([arguments.pop("store")], Path(arguments.pop("out")), **arguments)
print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak(), "idle": idle}))
"""


def planted_shards(labels, shard_samples, seed=0):
    """Yield the vectors of every shard: noise, and in every 13th head a direction a class, weak to strong."""
    generator = np.random.default_rng(seed)
    places = np.arange(PLANTED) * (LAYERS * HEADS // PLANTED)
    directions = generator.standard_normal((CLASSES, PLANTED, DIM), dtype=np.float32)
    directions *= np.geomspace(*STRENGTHS, PLANTED, dtype=np.float32)[:, None]
    for start in range(0, len(labels), shard_samples):
        of_shard = labels[start : start + shard_samples]
        vectors = generator.standard_normal((len(of_shard), LAYERS * HEADS, DIM), dtype=np.float32)
        vectors[:, places] += directions[of_shard]
        yield vectors.astype(np.float16)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("perf")
    scale = 1 if shutil.disk_usage(folder).free > 1.2 * bytes_of(TEST_SAMPLES) else SHORT_OF_DISK
    tested = TEST_SAMPLES // scale
    labels = np.concatenate([np.repeat(np.arange(CLASSES), SHOTS), np.arange(tested) % CLASSES])
    names = [f"class {i}" for i in range(CLASSES)]
    info = BenchmarkInfo("perf", {"all": names})
    columns = {"label": [names[i] for i in labels], "split": ["pool"] * (CLASSES * SHOTS) + ["test"] * tested}
    create_store(folder / "perf.zarr", info, SampleTable.from_columns(info.tasks, columns))
    heads = HeadTable.from_layers([(layer, HEADS, DIM) for layer in range(LAYERS)])
    writer = add_model(folder / "perf.zarr", "m", {"model": "m"}, heads)
    for number, block in enumerate(planted_shards(labels, writer.plan.shard_samples)):
        shard = Shard.empty(*block.shape, CLASSES)
        shard.heads[:], shard.status[:] = block, Status.OK
        writer.write(number, shard)
    yield open_store(folder / "perf.zarr")["m"]
    shutil.rmtree(folder)


def bytes_of(samples):
    return samples * LAYERS * HEADS * DIM * 2


def timed(function):
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


def best(function):
    return min(timed(function)[0] for _ in range(REPEATS))


def swept(vectors, out, **asked):
    """Return what a sweep costs in a process of its own, and what its cells are."""
    arguments = {"store": str(vectors.store.path), "out": str(out), "shots": SHOTS, "draws": 1, **asked}
    command = [sys.executable, "-c", SWEEP, json.dumps(arguments), str(Path(__file__).parents[1])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(printed), list(Results(out).loaded())


def scorers(tools, cosine):
    """Return how the papers' code scores the classes for one head's vector x and all centroids u."""

    def artanh(a, b):
        def score(x, u):
            s = cosine(x, u)
            return a * (1 + tools.arctanh(s)) - b * tools.arctanh((s.sum() - s) / (len(u) - 1))

        return score

    def penalty(x, u):
        s = cosine(x, u)
        return s - (s.sum() - s) / (len(u) - 1)

    return [
        cosine,
        penalty,
        *(artanh(a, b) for a in PAIRS for b in PAIRS),
        lambda x, u: -(((u - x) ** 2).sum(-1) ** 0.5),
        lambda x, u: tools.exp(-((u - x) ** 2).sum(-1)),
        lambda x, u: tools.exp(-abs(u - x).sum(-1)),
        lambda x, u: tools.tanh((u * x).sum(-1)),
    ]


def papers_loops(support, tests, centroids, samples, tools, cosine):
    """Return the seconds of the papers' loops over all settings, from a slice; arrays are `[sample][head][dim]`.

    A ranking is made once for all numbers of heads, and heads vote by cosine whatever ranked them.
    """
    ranked_by = scorers(tools, cosine)

    def rank(score):
        for sample in support:
            for head, x in enumerate(sample):
                int(score(x, centroids[head]).argmax())

    def vote(heads):
        for sample in tests:
            for head in range(heads):
                int(cosine(sample[head % len(sample)], centroids[head % len(sample)]).argmax())

    ranking = sum(timed(lambda score=score: rank(score))[0] for score in [*ranked_by, cosine])
    voting = len(ranked_by) * sum(timed(lambda k=k: vote(k))[0] for k in KS)
    per_class = len(PER_CLASS) * sum(timed(lambda k=k: vote(k * CLASSES))[0] for k in KS)
    return ranking * CLASSES * SHOTS / len(support) + (voting + per_class) * samples / len(tests)


def numpy_cosine(x, u):
    return (u * x).sum(-1) / (np.sqrt((u * u).sum(-1)) * np.sqrt((x * x).sum()))


def loops(vectors, seen, labels, samples):
    """Return the seconds of the papers' loops in NumPy, and in torch where it is installed."""
    test = np.flatnonzero(vectors.store.samples.in_split("test"))[:SLICE_TEST]
    tests = vectors.read(test).astype(np.float32)
    support = seen[:: len(seen) // SLICE_SUPPORT][:SLICE_SUPPORT].astype(np.float32)
    means = class_means(seen, labels, CLASSES).transpose(1, 0, 2).astype(np.float32)
    with np.errstate(all="ignore"):
        in_numpy = papers_loops(support, tests, means, samples, np, numpy_cosine)
    try:
        import torch
    except ModuleNotFoundError:
        return in_numpy, None
    from torch.nn.functional import cosine_similarity

    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in (support, tests, means)]
    return in_numpy, papers_loops(*tensors, samples, torch, lambda x, u: cosine_similarity(u, x, dim=-1))


def floor(vectors, heads, shards):
    """Read the chunks of heads with nothing around it."""
    plan = vectors.plan
    buffer = memoryview(bytearray(plan.chunk_bytes))
    for shard in shards:
        descriptor = os.open(vectors.store.place.root / vectors.name / "heads" / shard_key(shard), os.O_RDONLY)
        for head in heads:
            os.preadv(descriptor, [buffer], head * plan.chunk_bytes)
        os.close(descriptor)


def product(counts, samples, dtype):
    """Return the seconds of a matrix product of samples with centroids for every similarity's heads."""
    rows = 500
    seconds = 0.0
    for heads in counts:
        x = np.ones((heads, rows, DIM), dtype=dtype)
        u = np.ones((heads, DIM, CLASSES), dtype=dtype)
        seconds += best(lambda x=x, u=u: np.matmul(x, u)) * samples / rows
    return seconds


def voters(support):
    """Return the heads that vote by each similarity, of all settings."""
    settings = expand_settings(METHODS + PER_CLASS, {"k": KS, "a": PAIRS, "b": PAIRS})
    methods = list(dict.fromkeys(setting.method.canonical for setting in settings))
    found = {}
    for one in learn(methods, support):
        found.setdefault(one.similarity.name, set()).update(one.heads.tolist())
    return found, len(settings), len(methods)


def strong_methods():
    """Return the methods of the study that learn from pictures alone and do not see all samples at once."""
    methods = {name: make_setting(name).method for name in STUDIES["strong"].methods}
    return [name for name, method in methods.items() if not (method.needs or method.transductive)]


@pytest.mark.perf
def test_the_papers_grid(vectors, tmp_path):
    cost, cells = swept(vectors, tmp_path / "out", heads=KS, methods=METHODS + PER_CLASS, grid={"a": PAIRS, "b": PAIRS})
    strong = strong_methods()
    all_of_them, strong_cells = swept(vectors, tmp_path / "strong", heads=(5, 20), methods=strong)
    choosing = [name for name in strong if name not in EVERY_HEAD]
    chosen, _ = swept(vectors, tmp_path / "chosen", heads=(5, 20), methods=choosing)
    table = vectors.store.samples
    samples = int(table.in_split("test").sum())
    support = np.array(cells[0].facts.support)
    seen = Context(vectors.read(support), table.label[support], CLASSES, vectors.heads.layer)
    by_similarity, settings, different = voters(seen)
    union = sorted(set().union(*by_similarity.values()))
    kept = {LAYERS * layer + head for cell in cells for heads in cell.facts.kept for layer, head in heads}
    assert kept == set(union)
    assert sum(len(cell.facts.settings) for cell in cells) == settings
    assert all(cell.arrays["predicted"].shape[1] == samples for cell in cells)
    best_value = max(row["value"] for cell in cells for row in cell.rows if row["metric"] == "accuracy")
    assert best_value > 0.5  # planted heads are found

    shards = np.unique(np.flatnonzero(table.in_split("test")) // vectors.plan.shard_samples)
    read = best(lambda: floor(vectors, union, shards))
    counts = {name: len(heads) for name, heads in by_similarity.items()}
    products = {dtype: product(counts.values(), samples, dtype) for dtype in (np.float32, np.float64)}
    in_numpy, in_torch = loops(vectors, seen.vectors, seen.labels, samples)
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    seconds = cost["seconds"]
    DOCUMENT.write_text(
        TEXT.format(
            date=datetime.datetime.now(datetime.UTC).date(),
            machine=f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}, NumPy {np.__version__}",
            samples=samples,
            support=len(support),
            heads=LAYERS * HEADS,
            dim=DIM,
            classes=CLASSES,
            size=bytes_of(len(table)) / 1e9,
            scaled="" if samples == TEST_SAMPLES else f" (of {TEST_SAMPLES:,}: the disk is short)",
            planted=PLANTED,
            settings=settings,
            pairs=len(PAIRS) ** 2,
            ks=len(KS),
            different=different,
            sweep=seconds,
            memory=cost["peak"] / 1e9,
            idle=cost["idle"] / 1e9,
            union=len(union),
            touched=len(union) * len(shards) * vectors.plan.chunk_bytes / 1e9,
            torch_loop="torch is not installed" if in_torch is None else f"{in_torch:,.0f} s",
            numpy_loop=in_numpy,
            against_torch="" if in_torch is None else f"{in_torch / seconds:,.0f}x faster than torch, ",
            against_numpy=in_numpy / seconds,
            read=read,
            product=products[np.float32],
            product64=products[np.float64],
            ratio=seconds / (read + products[np.float64]),
            slice_support=SLICE_SUPPORT,
            slice_test=SLICE_TEST,
            products=", ".join(f"{name} {count}" for name, count in counts.items()),
            strong_methods=len(strong),
            strong_settings=sum(len(cell.facts.settings) for cell in strong_cells),
            strong=all_of_them["seconds"],
            strong_memory=all_of_them["peak"] / 1e9,
            every_head="`, `".join(EVERY_HEAD),
            chosen=chosen["seconds"],
            chosen_memory=chosen["peak"] / 1e9,
        )
    )
    print("\n" + DOCUMENT.read_text())

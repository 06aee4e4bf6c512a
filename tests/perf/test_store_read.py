"""How near reading a store comes to the floor: bare `preadv` of the same bytes into memory that is already there.

make perf        prints the table and writes docs/performance.md
"""

import datetime
import os
import platform
import time
from pathlib import Path

import numpy as np
import pytest

from savs_stores import BenchmarkInfo, write_store
from savs_stores.place.local import shard_key

SAMPLES, LAYERS, HEADS, DIM = 2048, 28, 28, 128
REPEATS = 5
DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
HEADER = """# Performance

Measured by `make perf`: all columns of a row in one process, one after the other, best of {repeats},
file cache warm. {date}, {machine}.

## Reading a store
{samples:,} samples x {heads} heads x {dim}, float16, {size:.0f} MB. The floor is bare `preadv` of exactly the
needed bytes into a buffer that has been used before, on one thread. `savs` is `ModelVectors.read` into a
fresh array, on up to four threads, every chunk compared with its checksum; beside it the same of a store of
version 1, which has none. `zarr` is the same call through zarr-python, which reads compressed stores, checked too.

| read | needed | floor | savs | savs, not checked | zarr | savs / floor | savs / not checked | zarr / savs |
|---|---|---|---|---|---|---|---|---|
"""


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    generator = np.random.default_rng(0)
    heads = generator.standard_normal((SAMPLES, LAYERS, HEADS, DIM), dtype=np.float32)
    store = write_store(
        tmp_path_factory.mktemp("perf") / "perf.zarr",
        benchmark=BenchmarkInfo("perf", {"all": ["a", "b"]}),
        samples={"label": ["a", "b"] * (SAMPLES // 2)},
        model="m",
        heads=heads,
    )
    return store["m"]


def best(function):
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def floor(vectors, heads, buffer):
    """Read the chunks of heads (one run of bytes where they are neighbours) with nothing around it."""
    plan = vectors.plan
    run = heads[-1] - heads[0] + 1 == len(heads)
    for shard in range(plan.shards):
        descriptor = os.open(vectors.store.place.root / vectors.name / "heads" / shard_key(shard), os.O_RDONLY)
        for head in heads[:1] if run else heads:
            count = len(heads) if run else 1
            os.preadv(descriptor, [memoryview(buffer)[: count * plan.chunk_bytes]], head * plan.chunk_bytes)
        os.close(descriptor)


@pytest.mark.perf
def test_reading(vectors, monkeypatch):
    every = list(range(LAYERS * HEADS))
    spread = sorted(np.random.default_rng(1).choice(len(every), 20, replace=False).tolist())
    buffer = bytearray(vectors.plan.shard_bytes)
    buffer[:] = bytes(1) * len(buffer)
    rows = []
    for name, heads in (("20 heads", spread), ("last 4 layers", every[-4 * HEADS :]), ("all heads", every)):
        needed = len(heads) * SAMPLES * vectors.plan.row_bytes
        vectors._plain = True
        fast = best(lambda heads=heads: vectors.read(heads=heads))
        monkeypatch.setattr(vectors.store, "version", 1)
        unchecked = best(lambda heads=heads: vectors.read(heads=heads))
        monkeypatch.setattr(vectors.store, "version", 2)
        expected = vectors.read(heads=heads)
        vectors._plain = False
        slow = best(lambda heads=heads: vectors.read(heads=heads))
        assert vectors.read(heads=heads).tobytes() == expected.tobytes()
        vectors._plain = True
        bare = best(lambda heads=heads: floor(vectors, heads, buffer))
        rows.append(
            f"| {name} | {needed / 1e6:.0f} MB | {1e3 * bare:.1f} ms | {1e3 * fast:.1f} ms | {1e3 * unchecked:.1f} ms "
            f"| {1e3 * slow:.0f} ms | {fast / bare:.1f}x | {fast / unchecked:.2f}x | {slow / fast:.1f}x |"
        )
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    header = HEADER.format(
        repeats=REPEATS,
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}, NumPy {np.__version__}",
        samples=SAMPLES,
        heads=len(every),
        dim=DIM,
        size=vectors.plan.total_bytes / 1e6,
    )
    DOCUMENT.write_text(header + "\n".join(rows) + "\n")
    print("\n" + DOCUMENT.read_text())

"""How heads and answers of a model differ once its weights are quantised: writes quantized.md.

savs-harvest run --model tiny --data digits [--quantize bnb4 | --quantize bnb8]     # each into the same store
python docs/quantized.py stores/digits.zarr stores/real-capitals.zarr
"""

import argparse
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import savs
from savs_stores import ModelVectors, open_store

SCHEMES = {"bnb4": "NF4, 4 bits", "bnb8": "LLM.int8, 8 bits"}
HEADS, SHOTS, DRAWS = 20, 20, 5
PAGE = Path(__file__).with_name("quantized.md")
BETWEEN = ("<!-- measured -->\n", "<!-- end -->\n")


def pairs(store: Any) -> Iterator[tuple[str, str]]:
    """Yield the names of a model and of the same quantised, for every scheme that a store holds of it."""
    for name in store.models:
        for scheme in SCHEMES:
            if f"{name}-{scheme}" in store.models:
                yield name, f"{name}-{scheme}"


def cosines(plain: ModelVectors, other: ModelVectors) -> np.ndarray:
    """Return the cosine [sample, head] of every head's vector with that of the quantised model."""
    usable = np.flatnonzero(plain.usable & other.usable)
    one, two = (vectors.read(usable).astype(np.float64) for vectors in (plain, other))
    return (one * two).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1))


def same_answers(plain: ModelVectors, other: ModelVectors) -> float:
    """Return the share of samples of which both say the same class, zero-shot."""
    usable = np.flatnonzero(plain.usable & other.usable)
    one, two = (np.nan_to_num(np.asarray(vectors.logits)[usable], nan=-np.inf) for vectors in (plain, other))
    return float((one.argmax(1) == two.argmax(1)).mean())


def accuracies(store: str, out: Path) -> dict[tuple[str, str], str]:
    """Return the accuracy of a model by (model, method), with its interval over other samples and draws."""
    asked = {"methods": ["zero-shot", "savs"], "heads": HEADS, "shots": SHOTS, "draws": DRAWS, "validation": 0}
    rows = savs.sweep(store, **asked, out=out).table(all_metrics=False)
    rows = rows[rows["metric"] == "accuracy"]
    return {
        (row["model"], row["method"]): f"{100 * row['value']:.1f} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
        for _, row in rows.iterrows()
    }


def lines(stores: list[str], folder: Path) -> Iterator[str]:
    """Yield the table: a line for every model as it is, and one for each scheme."""
    cosine = "cosine of a head, median | worst head's median | worst of all"
    yield f"| | weights | {cosine} | same zero-shot answers | zero-shot | SAVs |"
    yield "|---|---|---|---|---|---|---|---|"
    for path in stores:
        store, right = open_store(path), accuracies(path, folder / Path(path).stem)
        plain = dict.fromkeys(name for name, _ in pairs(store))
        for name in plain:
            where = f"`{name}`, {store.benchmark.name}"
            yield f"| {where} | as they are | | | | | {right[name, 'zero-shot']} | {right[name, 'savs']} |"
            for of, quantised in pairs(store):
                if of != name:
                    continue
                near = cosines(store[name], store[quantised])
                found = np.median(near), np.median(near, axis=0).min(), near.min()
                shown = " | ".join(f"{value:.4f}" for value in found)
                same = f"{100 * same_answers(store[name], store[quantised]):.1f} %"
                scheme = SCHEMES[quantised.removeprefix(f"{name}-")]
                accuracy = f"{right[quantised, 'zero-shot']} | {right[quantised, 'savs']}"
                yield f"| | {scheme} | {shown} | {same} | {accuracy} |"


def machine() -> str:
    """Return what it was measured on, without a name of the machine."""
    model = next((line for line in _cpu_lines() if line.startswith("model name")), "").partition(": ")[2].strip()
    return f"{os.cpu_count()} cores of {model or platform.machine()}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/quantized"))
    asked = parser.parse_args()
    versions = open_store(asked.stores[0])["tiny-bnb4"].shard_provenance[0]["environment"]
    said = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine()}, other work beside, with bitsandbytes "
        f"{versions['bitsandbytes']} and torch {versions['torch']}."
    )
    begin, end = BETWEEN
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    table = "\n".join(lines(asked.stores, asked.out))
    PAGE.write_text(f"{before}{begin}{said}\n\n{table}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The file of a classifier: safetensors with a JSON header. Nothing in it is ever executed or imported.

The format stands in `FORMAT.md` beside this file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from savs_analyze.classifier import forms
from savs_analyze.classifier.calibration import TEMPERATURES, Calibration, Likeness
from savs_analyze.classifier.classifier import About, Classifier
from savs_analyze.classifier.errors import ClassifierError
from savs_analyze.classifier.said import check_said
from savs_analyze.votes.fitted import Fitted
from savs_stores.format.schema import MOST_CLASSES
from savs_stores.terminal import size as in_words

FORMAT, VERSION = "savs classifier", 1
MOST_BYTES = 2**30
MOST_HEADER = 8 * 2**20
MOST_FOLDS = 100
OWN = {
    "heads": ("i", 2),
    "calibration.temperature": ("f", 1),
    "calibration.fold": ("i", 1),
    "calibration.label": ("i", 1),
    "calibration.nonconformity": ("f", 1),
    "likeness.heads": ("i", 1),
    "likeness.means": ("f", 3),
    "likeness.distances": ("f", 1),
}
# Where samples belong together.
CLUSTER = "calibration.cluster"


def write_classifier(classifier: Classifier, path: Path) -> None:
    """Write a classifier's file, whole or not at all; a file that is there is replaced.

    Raises `ClassifierError` for one that is too large to be read again.
    """
    voters = {"final": classifier.fitted, **{f"fold{i}": fold for i, fold in enumerate(classifier.folds)}}
    axis = np.arange(len(classifier.heads))
    plain, arrays = {}, _own_arrays(classifier)
    for name, fitted in voters.items():
        plain[name], of_it = forms.written(fitted, axis)
        arrays |= {f"{name}/{key}": array for key, array in of_it.items()}
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST_BYTES - MOST_HEADER:
        raise ClassifierError(
            f"{path} would have {in_words(size)}, and a classifier has at most {in_words(MOST_BYTES)}: "
            "take fewer labelled samples (--shots), or a method of fewer heads"
        )
    header = {**asdict(classifier.about), "dim": classifier.dim, "fitted": plain}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, sort_keys=True)
    outer = {"version": VERSION, "sha256": _digest(text, arrays), "classifier": text}
    metadata = {FORMAT: json.dumps(outer)}  # one entry: safetensors writes several in any order
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False) as partial:
        partial.close()
        try:
            save_file(arrays, partial.name, metadata)
            Path(partial.name).chmod(0o666 & ~_umask())
            Path(partial.name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial.name).unlink()
            raise


def read_classifier(path: Path) -> Classifier:
    """Read a classifier. Raises `ClassifierError` for anything but a sound file of a version that is known here."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        raise ClassifierError(f"{path} is {kind}: name a classifier that 'fit' has written, NAME.safetensors")
    try:
        header, arrays = _content(path)
        return _classifier(header, arrays)
    except ClassifierError as error:
        raise ClassifierError(f"{path}: {error}") from None
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise ClassifierError(f"{path} is no classifier's file: {error}") from None


def _own_arrays(classifier: Classifier) -> dict[str, np.ndarray]:
    calibration, likeness = classifier.calibration, classifier.likeness
    found = {
        "heads": classifier.heads,
        "calibration.temperature": np.array([calibration.temperature, *calibration.fold_temperature]),
        "calibration.fold": calibration.fold,
        "calibration.label": calibration.label,
        "calibration.nonconformity": calibration.nonconformity,
        "likeness.heads": likeness.heads,
        "likeness.means": likeness.means,
        "likeness.distances": likeness.distances,
    }
    types = {"i": np.int64, "f": np.float64}
    own = {name: np.ascontiguousarray(found[name], dtype=types[kind]) for name, (kind, _) in OWN.items()}
    if calibration.clusters < classifier.samples:
        own[CLUSTER] = np.ascontiguousarray(calibration.cluster, dtype=np.int64)
    return own


def _content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays; sizes are looked at before anything is read."""
    length = path.stat().st_size
    if length > MOST_BYTES:
        raise ClassifierError(f"it has {in_words(length)}, a classifier has at most {in_words(MOST_BYTES)}")
    with path.open("rb") as file:
        stated, begins = int.from_bytes(file.read(8), "little"), file.read(1)
        if begins != b"{":
            raise ClassifierError("it is no safetensors file: name a classifier that 'fit' has written")
        if stated > MOST_HEADER:
            raise ClassifierError(
                f"its header has {in_words(stated)}, a classifier's has at most {in_words(MOST_HEADER)}"
            )
    with safe_open(path, framework="numpy") as file:
        if FORMAT not in (metadata := file.metadata() or {}):
            raise ClassifierError("it is no classifier: its header does not say 'savs classifier'")
        outer = json.loads(metadata[FORMAT], parse_constant=_no_constant)
        if not isinstance(outer, dict) or type(version := outer.get("version")) is not int or version != VERSION:
            shown = str(outer.get("version") if isinstance(outer, dict) else outer)[:20]
            raise ClassifierError(f"it has version {shown}, this savs reads version {VERSION}: update savs")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    text = outer.get("classifier")
    if not isinstance(text, str) or outer.get("sha256") != _digest(text, arrays):
        raise ClassifierError("its content does not give its hash: it was changed or damaged; restore it from a copy")
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite), arrays


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the header's text and of every array with its name, type and shape."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        little = array.dtype.newbyteorder("<")
        digest.update(f"\n{name} {little.str} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype=little).tobytes())
    return digest.hexdigest()


def _finite(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ClassifierError(f"its header holds {word[:40]}, which is no finite number")
    return number


def _no_constant(word: str) -> float:
    raise ClassifierError(f"its header holds {word}, which is no number")


HEADER = {
    "classes": list,
    "task": str,
    "question": str | None,
    "model": dict,
    "data": dict,
    "recipe": dict,
    "estimate": dict,
    "software": dict,
    "dim": int,
    "fitted": dict,
}


def _classifier(header: Any, arrays: Mapping[str, np.ndarray]) -> Classifier:
    _check_header(header)
    own = {name: _own(name, arrays, *OWN[name]) for name in OWN}
    cluster = _own(CLUSTER, arrays, "i", 1) if CLUSTER in arrays else None
    temperature = own["calibration.temperature"]
    folds = len(temperature) - 1
    sizes = {"class": len(header["classes"]), "head": len(own["heads"]), "dim": header["dim"]}
    calibration = Calibration(
        float(temperature[0]),
        temperature[1:],
        own["calibration.fold"],
        own["calibration.nonconformity"],
        own["calibration.label"],
        cluster,
    )
    likeness = Likeness(own["likeness.heads"], own["likeness.means"], own["likeness.distances"], cluster)
    _check_numbers(own, sizes, folds)
    _check_cluster(cluster, calibration.fold)
    voters = ["final", *(f"fold{i}" for i in range(folds))]
    if set(header["fitted"]) != set(voters):
        raise ClassifierError(f"it names other voters than its {folds} folds and the final one")
    if foreign := [name for name in arrays if name not in (*OWN, CLUSTER) and name.split("/")[0] not in voters]:
        raise ClassifierError(f"it holds an array of nothing: {foreign[0][:60]!r}")
    fitted, *others = [_voter(name, header["fitted"][name], arrays, sizes) for name in voters]
    about = About(**{name: header[name] for name in HEADER if name not in ("dim", "fitted")})
    return Classifier(about, own["heads"], header["dim"], fitted, others, calibration, likeness)


def _voter(name: str, plain: Any, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Fitted:
    if not isinstance(plain, dict):
        raise ClassifierError(f"what it says of {name!r} is no JSON object")
    of_it = {key.partition("/")[2]: array for key, array in arrays.items() if key.startswith(f"{name}/")}
    return forms.read(plain, of_it, sizes)


def _check_header(header: Any) -> None:
    if not isinstance(header, dict) or set(header) != set(HEADER):
        raise ClassifierError(f"the fields of its header are not {', '.join(HEADER)}")
    if wrong := [name for name, kind in HEADER.items() if not isinstance(header[name], kind)]:
        raise ClassifierError(f"the field {wrong[0]!r} of its header is of another kind than the format says")
    classes: Sequence[Any] = header["classes"]
    if len(classes) > MOST_CLASSES:
        raise ClassifierError(f"it has {len(classes):,} classes, a classifier has at most {MOST_CLASSES:,}")
    if len(classes) < 2 or not all(isinstance(name, str) for name in classes) or len(set(classes)) < len(classes):
        raise ClassifierError("its classes are not two or more different words")
    if type(header["dim"]) is not int or not 0 < header["dim"] < 2**16:
        raise ClassifierError(f"its heads have {header['dim']} numbers")
    check_said(header)
    json.dumps(header, ensure_ascii=False).encode()  # half of a pair of surrogates is no word, and cannot be printed


def _own(name: str, arrays: Mapping[str, np.ndarray], kind: str, axes: int) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype.kind != kind or array.ndim != axes or not array.size:
        found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        raise ClassifierError(f"the array {name!r} is {found}, not what the format says")
    if kind == "f" and not np.isfinite(array).all():
        raise ClassifierError(f"the array {name!r} holds numbers that are not finite")
    return array


def _check_numbers(own: Mapping[str, np.ndarray], sizes: Mapping[str, int], folds: int) -> None:
    heads, used = own["heads"], own["likeness.heads"]
    samples = len(own["calibration.fold"])
    as_pairs = [tuple(pair) for pair in heads.tolist()]
    shapes = {
        "heads": heads.shape[1] == 2 and as_pairs == sorted(set(as_pairs)) and heads.min() >= 0,
        "calibration.temperature": 1 < folds <= MOST_FOLDS and _between(own["calibration.temperature"], *TEMPERATURES),
        "calibration.fold": _within(own["calibration.fold"], folds),
        "calibration.label": _within(own["calibration.label"], sizes["class"])
        and len(own["calibration.label"]) == samples,
        "calibration.nonconformity": len(own["calibration.nonconformity"]) == samples,
        "likeness.distances": len(own["likeness.distances"]) == samples,
        "likeness.heads": _within(used, len(heads)),
        "likeness.means": own["likeness.means"].shape == (sizes["class"], len(used), sizes["dim"]),
    }
    if wrong := [name for name, right in shapes.items() if not right]:
        raise ClassifierError(f"the numbers of {wrong[0]!r} do not fit the rest of the file")


def _check_cluster(cluster: np.ndarray | None, fold: np.ndarray) -> None:
    """Check that what belongs together is in one fold."""
    if cluster is None:
        return
    if len(cluster) != len(fold):
        raise ClassifierError(f"it has clusters of {len(cluster)} samples, and folds of {len(fold)}")
    pairs = np.unique(np.stack([cluster, fold]), axis=1)
    if pairs.shape[1] > len(np.unique(cluster)):
        raise ClassifierError("samples that belong together are in several folds")


def _within(array: np.ndarray, limit: int) -> bool:
    return bool(0 <= array.min() <= array.max() < limit)


def _between(array: np.ndarray, least: float, most: float) -> bool:
    return bool(least * 0.999 <= array.min() <= array.max() <= most * 1.001)


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found

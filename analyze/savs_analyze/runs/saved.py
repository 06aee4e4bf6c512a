"""Files of results, which may come from anywhere: read within bounds, and checked before anything is made of them.

A checksum finds damage, not forgery. What is made up, with its checksum, must be harmless: there is no code in
these files, and no reader needs more memory or time for them than for the largest honest ones.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from savs_analyze.draws.validation import Validation
from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import Setting

MOST_JSON_BYTES = 2**26
MOST_ARRAY_BYTES = 2**30
# Of all settings, samples and classes of a cell: 32 MiB. Of more than these, none are kept.
MOST_SCORES = 2**24
# What results are written as; the first version has no scores, and does not name itself.
FORMAT = 2
MOST_SAMPLES = 2**20
MOST_CLASSES = 2**15
MOST_SETTINGS = 10_000
# A unit has so many counts.
MOST_COUNTED = 2**20
MOST_ROW_COLUMNS = 100
MOST_DRAWS = 10**6
# Layers, and heads in a layer.
MOST_PLACES = 2**12

KEY = re.compile(r"[\w-]{1,64}", re.ASCII)
FEWEST = {"predicted": -1, "label": 0}  # -1: an answer that names no class
ARRAYS = {"predicted": "iu", "sample": "iu", "label": "iu", "group": "iu", "slot": "iu", "validation": "b"}
# What cells of the first version lack, and those that say why.
SCORES = {"scores": "f"}
TEXTS = ("benchmark", "model", "task", "method", "fingerprint", "index_hash", "records")


class NewerFormatError(OSError):
    """Results of a later version of savs, which are whole: they are neither read nor written over."""


def check_format(path: Path, found: Mapping[str, Any]) -> None:
    """Raise NewerFormatError for results of a later format, ValueError where the format is none."""
    version: Any = found.get("format", 1)
    _demand(_is_whole(version, 1, 2**31), "its format is no number")
    if version > FORMAT:
        raise NewerFormatError(
            f"{path} is of version {version} of the format of results, and this savs reads versions 1 to {FORMAT}: "
            "update savs"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ValueError for one that is none, too large, or too deep."""
    try:
        found = json.loads(read_bytes(path, MOST_JSON_BYTES))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _demand(isinstance(found, dict), "it holds no JSON object")
    return dict(found)


def read_bytes(path: Path, most: int) -> bytes:
    """Return the bytes of a file. Raises ValueError where they are more than so many, or it is no file."""
    _demand(path.is_file() or not path.exists(), "it is no file")  # a named pipe would be waited for
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        _demand(size <= most, f"it has more than {most:,} bytes")
        return file.read(size)


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz`. Raises ValueError where they are not the numbers that a cell has.

    What they say of their sizes is compared with what is there before memory is taken for it.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = archive.infolist()
        names = sorted(member.filename.removesuffix(".npy") for member in members)
        _demand(names in (sorted(ARRAYS), sorted(ARRAYS | SCORES)), "other arrays")
        _demand(sum(member.file_size for member in members) <= MOST_ARRAY_BYTES, "its arrays are too large")
        contents = {member.filename.removesuffix(".npy"): archive.read(member) for member in members}
        return {name: _read_array(member, (ARRAYS | SCORES)[name]) for name, member in contents.items()}


def _read_array(content: bytes, kinds: str) -> np.ndarray:
    """Return an array. Raises ValueError where its values are no numbers of these kinds, or not as many as it says."""
    width = 2 if content[6:7] == b"\x01" else 4  # of the header's length, behind eight bytes
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    shape, by_columns, dtype = _read_header(content[:start])
    _demand(dtype.kind in kinds, f"an array of {dtype} instead of numbers")
    _demand(all(type(length) is int and length >= 0 for length in shape), f"an array of no shape: {shape}")
    values = memoryview(content)[start:]
    _demand(prod(shape) * dtype.itemsize == len(values), f"an array that is not as large as it says: {shape}")
    return np.frombuffer(bytearray(values), dtype).reshape(shape, order="F" if by_columns else "C")


@lru_cache(maxsize=256)  # cells of one sweep have the same few
def _read_header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and type. Raises ValueError for what is no header."""
    file = BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    _demand(version in readers, "an array of an unknown version")
    try:
        header = readers[version](file)
    except Exception as error:  # numpy has Python parse it, which raises whatever a crafted one makes it raise
        raise ValueError(f"an array whose header is none ({type(error).__name__})") from None
    return header


def check_run(run: Mapping[str, Any]) -> None:
    """Raise ValueError where `run.json` is not what a sweep writes."""
    _demand(_are(run.get("cells"), str) and all(map(KEY.fullmatch, run["cells"])), "its cells are no names of cells")
    _demand(len(set(run["cells"])) == len(run["cells"]), "a cell is named twice")  # it would count twice
    sources: Any = run.get("sources", [])
    _demand(_are(sources, dict), "its sources are no list")
    for source in sources:
        texts = [source.get(name) for name in ("store", "from_here", "model")]
        _demand(_are(texts, str) and _are(source.get("cells"), str), "a source is incomplete")
    _demand(isinstance(run.get("command"), str), "its command is no text")
    _demand(_are(run.get("notes", []), str), "its notes are no texts")
    versions: Any = run.get("versions")
    _demand(isinstance(versions, dict) and _are(list(versions.values()), str), "its versions are no texts")


def check_cell(facts: Any, rows: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where a cell is not what a sweep writes: what readers make of it follows from its sizes."""
    _demand(isinstance(facts, dict), "its facts are no object")
    # One after the other: each relies on what those before it found right.
    checks = _wrong_facts(facts), _wrong_heads(facts), _wrong_arrays(facts, arrays), _wrong_scores(facts, arrays)
    for wrong in chain(*checks, _wrong_rows(rows)):
        raise ValueError(wrong)


def _wrong_facts(facts: Mapping[str, Any]) -> Iterator[str]:
    if not _are([facts.get(name) for name in TEXTS], str):
        yield "it does not say what it is of"
    if not isinstance(metric := facts.get("metric"), str) or (metric not in METRICS and not facts.get("origins")):
        yield f"its metric is unknown: {str(metric)[:40]!r}"
    if not isinstance(facts.get("fault", ""), str):
        yield "its fault is no text"
    if not isinstance(facts.get("without_scores", ""), str):
        yield "why it has no scores is no text"
    origins: Any = facts.get("origins", [])
    if not (_are(origins, dict) and all(_are([one.get("source"), one.get("sha256")], str) for one in origins)):
        yield "its origins are none"
    if not (_is_whole(facts.get("classes"), 1, MOST_CLASSES) and _is_whole(facts.get("shots"), 0, MOST_DRAWS)):
        yield "its numbers of classes and shots are none"
    elif not (_is_whole(facts.get("draw"), 0, MOST_DRAWS) and isinstance(facts.get("chooses"), bool)):
        yield "its draw is no number"
    names: Any = facts.get("class_names", ["?"] * facts["classes"])  # older results have none
    if not (_are(names, str) and len(names) == facts["classes"]):
        yield "its classes have not one name each"
    if not isinstance(facts.get("class_vectors", ""), str):
        yield "its hash of class vectors is no text"
    order: Any = facts.get("order", [])
    if order and not (_are_whole(order, 0, MOST_CLASSES) and sorted(order) == list(range(facts["classes"]))):
        yield "its order of classes is none"
    settings: Any = facts.get("settings")
    columns: Any = facts.get("columns")
    if not (_are(settings, dict) and _are(columns, str) and 0 < len(settings) == len(columns) <= MOST_SETTINGS):
        yield "its settings have not one column each"
    elif len(set(columns)) < len(columns):
        yield "two of its settings have one column"
    elif not all(are_heads(setting.get("heads", [])) for setting in settings):
        yield "the heads of other tasks of a setting are none"
    try:
        Validation(**facts["validation"])
        for setting in map(Setting.from_json, settings):
            if setting.name not in METHODS and not facts.get("origins"):
                raise ValueError(f"there is no method {setting.name!r}")
            setting.column()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"a setting is none ({error})"


def _wrong_heads(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the heads that settings keep, where there are any."""
    if not {"kept", "head_table"} & set(facts):
        return
    table: Any = facts.get("head_table")
    kept: Any = facts.get("kept")
    if not (_are(table, list) and len(table) == 2 and len(table[0]) == len(table[1]) > 0):
        yield "its head table is none"
    elif not all(_are_whole(axis, 0, MOST_PLACES) for axis in table):
        yield "its head table has no numbers"
    if not (_are(kept, list) and len(kept) == len(facts["settings"]) and all(_are(heads, list) for heads in kept)):
        yield "its settings have no heads"
    elif not are_heads(list(chain(*kept))):
        yield "a setting keeps what is no head"


def are_heads(heads: Any) -> bool:
    """Tell whether all are [layer, place]."""
    return _are(heads, list) and set(map(len, heads)) <= {2} and _are_whole(list(chain(*heads)), 0, MOST_PLACES)


def _wrong_arrays(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    classes, settings = facts["classes"], len(facts["settings"])
    samples = arrays["sample"].size
    if samples > MOST_SAMPLES or settings * classes > MOST_COUNTED:
        yield f"{samples:,} samples, {settings:,} settings and {classes:,} classes are too many"
    for name in ARRAYS:
        array = arrays[name]
        if array.shape != ((settings, samples) if name == "predicted" else (samples,)):
            yield f"{name!r} has another shape: {array.shape}"
        elif name in FEWEST and array.size and not FEWEST[name] <= array.min() <= array.max() < classes:
            yield f"{name!r} has classes that are not there"
        elif name != "validation" and array.size and array.min() < -1:
            yield f"{name!r} has numbers below -1"
    if arrays["sample"].dtype.kind != "i" or (np.diff(arrays["sample"]) <= 0).any():
        yield "its samples are not in their order, each once"
    if not facts.get("fault") and arrays["validation"].all():
        yield "it has no tested sample"


def _wrong_scores(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield what is wrong with the scores of all classes, where there are any: the likeliest has 0, others less."""
    if (scores := arrays.get("scores")) is None:
        return
    shape = len(facts["settings"]), arrays["sample"].size, facts["classes"]
    if scores.dtype != np.float16 or scores.shape != shape:
        yield f"its scores are {scores.dtype} {scores.shape} instead of float16 {shape}"
    if scores.size > MOST_SCORES:
        yield f"it has {scores.size:,} scores, more than {MOST_SCORES:,}"
    if scores.size and not (scores.max(axis=2) == 0).all():  # where there is a NaN, it is the largest
        yield "its scores are no probabilities"


def _wrong_rows(rows: Any) -> Iterator[str]:
    if not _are(rows, dict) or len(set().union(*rows)) > MOST_ROW_COLUMNS:
        yield "its rows are none"
    for row in rows:
        if not set(map(type, row.values())) <= {str, int, float, bool, type(None)}:
            yield "a row has values that are none"
        elif not _are([row.get(name) for name in ("method", "setting", "split", "metric")], str):
            yield "a row does not say what it measures"
        elif type(row.get("value")) not in (int, float, type(None)) or "value" not in row or "n" not in row:
            yield "a row has no value, or not of how many"


def _are(values: Any, kind: type) -> bool:
    """Tell whether something is a list of values of one kind; truth values are no numbers."""
    return isinstance(values, list) and set(map(type, values)) <= {kind}


def _is_whole(value: Any, least: int, most: int) -> bool:
    return _are_whole([value], least, most)


def _are_whole(values: Any, least: int, most: int) -> bool:
    return _are(values, int) and (not values or least <= min(values) <= max(values) <= most)


def _demand(fulfilled: object, otherwise: str) -> None:
    if not fulfilled:
        raise ValueError(otherwise)

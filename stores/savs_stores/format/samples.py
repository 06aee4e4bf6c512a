"""The sample table: who is asked what, with which label. It stands once, at the root of a store."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Int, Shaped, UInt

from savs_stores.errors import StoreError
from savs_stores.format.schema import MOST_CLASSES, SPLITS, TABLE

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TASK = "all"
# Columns of the table that hold several values a sample.
LISTS = ("options", "image_hash")
LISTED = (list, tuple, np.ndarray, Sequence)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_tasks(value: Any) -> bool:
    lists = list(value.values()) if isinstance(value, dict) else []
    return bool(lists) and all(isinstance(one, list) and all(map(_is_text, one)) for one in lists)


def _are_answers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_checks(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(found, dict) and _is_text(found.get("kind")) and _is_text(found.get("words")) for found in value
    )


KINDS = {"tasks": _are_tasks, "answers": _are_answers, "checks": _are_checks, "class_order": _are_tasks}


@dataclass(frozen=True)
class BenchmarkInfo:
    """What a store says about its benchmark; `tasks` maps each task to its sorted classes.

    `split` says how the samples were divided; `checks` is what was found wrong with them, each an object with
    `kind`, `count`, `words` and `examples`. `class_order` has of tasks the classes as they first appear among the
    samples that teach them, {} where nobody wrote it down; `wording` names how the question is put where that is not
    the benchmark's own way.
    """

    name: str
    tasks: Mapping[str, Sequence[str]]
    metric: str = "accuracy"
    source: str = ""
    revision: str = ""
    licence: str = ""
    prompt: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    checks: Sequence[Mapping[str, Any]] = ()
    class_order: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wording: str = ""

    def __post_init__(self) -> None:
        for task, classes in self.tasks.items():
            if len(classes) > MOST_CLASSES:
                raise StoreError(f"task {task!r} has {len(classes):,} classes, a store takes at most {MOST_CLASSES:,}")
            if list(classes) != sorted(set(classes)):
                raise StoreError(f"the classes of task {task!r} must be sorted and distinct: {_out_of_place(classes)}")
        for task, order in self.class_order.items():
            if task not in self.tasks or sorted(order) != list(self.tasks[task]):
                raise StoreError(f"class_order of task {task!r} must hold each of its classes once, got {list(order)}")

    @property
    def most_classes(self) -> int:
        """The classes of the largest task, at least 1: what is kept of each has a place where there is none."""
        return max(1, *(len(classes) for classes in self.tasks.values()))

    @classmethod
    def from_attributes(cls, attributes: Any) -> BenchmarkInfo:
        """Build it from what `attributes` wrote; what a later writer added is passed over.

        Raises `StoreError` where a field is of another kind, TypeError where one is missing.
        """
        if not isinstance(attributes, dict):
            raise StoreError("the attribute 'benchmark' of a store is a JSON object")
        known = {field.name for field in fields(cls)}
        found = {name: value for name, value in attributes.items() if name in known}
        for name, value in found.items():
            if not KINDS.get(name, _is_text)(value):
                raise StoreError(f"{name} of a benchmark is of another kind than the format says: {str(value)[:80]!r}")
        return cls(**found)

    def attributes(self) -> dict[str, Any]:
        """Return the benchmark as a JSON object; an order of classes and a wording that nobody named are left out."""
        found = asdict(self) | {"tasks": {task: list(classes) for task, classes in self.tasks.items()}}
        optional = {
            "class_order": {task: list(classes) for task, classes in found.pop("class_order").items()},
            "wording": found.pop("wording"),
        }
        return found | {name: value for name, value in optional.items() if value}


def _out_of_place(classes: Sequence[str]) -> str:
    """Return the first class that does not come after the one before it."""
    before, name = next((one, other) for one, other in pairwise(classes) if other <= one)
    return f"{name!r} stands behind {before!r}"


@dataclass(frozen=True)
class SampleTable:
    """One row a sample; codes are indices into the benchmark's tasks, a task's classes, and `SPLITS`.

    -1 stands for "none" in label, group, slot and options, 0 in the hashes.
    """

    sample_id: Shaped[np.ndarray, " sample"]
    task: Int[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]
    split: UInt[np.ndarray, " sample"]
    group: Int[np.ndarray, " sample"]
    slot: Int[np.ndarray, " sample"]
    options: Int[np.ndarray, "sample option"]
    image_hash: UInt[np.ndarray, "sample image"]
    prompt_hash: UInt[np.ndarray, " sample"]
    # What the codes mean, where the table is of a store.
    benchmark: ClassVar[BenchmarkInfo | None] = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in TABLE)

    def of(self, benchmark: BenchmarkInfo) -> SampleTable:
        """Return the table of a benchmark's store, which knows what its codes mean."""
        table = replace(self)
        object.__setattr__(table, "benchmark", benchmark)  # no column, and no part of what is compared
        return table

    def to_frame(self) -> pd.DataFrame:
        """Return a row a sample, with words for codes where the table is of a store; hashes are left out."""
        import pandas as pd

        tasks = list(self.benchmark.tasks) if self.benchmark else []
        classes = [self.benchmark.tasks[task] for task in tasks] if self.benchmark else []
        known = bool(tasks)

        def word(task: int, label: int) -> str | int | None:
            return (classes[task][label] if known else label) if label >= 0 else None

        pairs = list(zip(self.task.tolist(), self.label.tolist(), self.options.tolist(), strict=True))
        columns = {
            "sample_id": self.sample_id,
            "task": [tasks[task] if known else task for task, _, _ in pairs],
            "label": [word(task, label) for task, label, _ in pairs],
            "split": [SPLITS[code] for code in self.split.tolist()],
            "group": self.group,
            "slot": self.slot,
            "options": [[word(task, option) for option in options if option >= 0] for task, _, options in pairs],
        }
        return pd.DataFrame(columns)

    def in_split(self, *names: str) -> np.ndarray:
        """Return a mask [sample] of the samples in any of the named splits."""
        return np.isin(self.split, [SPLITS.index(name) for name in names])

    def fault(self, benchmark: BenchmarkInfo) -> str:
        """Return in words which sample has a code that the benchmark has no word for, "" where there is none."""
        classes = np.array([len(names) for names in benchmark.tasks.values()])
        task_known = (self.task >= 0) & (self.task < len(classes))
        of_task = classes[np.where(task_known, self.task, 0)]
        known = {
            "task": task_known,
            "label": (self.label >= -1) & (self.label < of_task),
            "split": self.split < len(SPLITS),
            "options": ((self.options >= -1) & (self.options < of_task[:, None])).all(axis=1),
        }
        for name, fine in known.items():
            if not fine.all():
                row = int(np.argmin(fine))
                return f"sample {row} has the {name} {getattr(self, name)[row]}, which the benchmark has no word for"
        return ""

    def index_hash(self, benchmark: BenchmarkInfo) -> str:
        """Return the SHA-256 of all rows in order with their tasks and classes: equal means pairable."""
        # In their own order, not sorted: the column `task` counts in it.
        tasks = {"tasks": {task: list(classes) for task, classes in benchmark.tasks.items()}}
        digest = hashlib.sha256(json.dumps(tasks, separators=(",", ":"), ensure_ascii=False).encode())
        for name in TABLE:
            digest.update(self.column_hash(name).encode())
        return digest.hexdigest()

    def column_hash(self, name: str) -> str:
        """Return the SHA-256 of one column."""
        column = getattr(self, name)
        if name == "sample_id":
            return hashlib.sha256("\0".join(column.tolist()).encode()).hexdigest()
        little = np.ascontiguousarray(column, dtype=TABLE[name].dtype.newbyteorder("<"))
        return hashlib.sha256(repr(little.shape).encode() + little.tobytes()).hexdigest()

    @classmethod
    def from_columns(cls, tasks: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[Any]]) -> SampleTable:
        """Build the table from words: only `label` is needed, all other columns have a default.

        `task`, `label`, `split`, `group` are strings, `options` and `image_hash` lists of any length. What is
        absent (None, NaN, NA; "" for a group) has the default too, and whole numbers become words.
        Raises `StoreError` naming the column and row of the first value that makes no sense.
        """
        if unknown := set(columns) - set(TABLE):
            raise StoreError(f"unknown columns {sorted(unknown)}; the sample table has {', '.join(TABLE)}")
        if "label" not in columns or not len(columns["label"]):
            raise StoreError("the sample table needs a column 'label' with at least one row")
        count = len(columns["label"])
        if short := {name: len(column) for name, column in columns.items() if len(column) != count}:
            raise StoreError(f"all columns need {count} rows like 'label'; these have another number: {short}")
        columns = {name: [_plain(name, value) for value in column] for name, column in columns.items()}
        for name, column in columns.items():
            for row, value in enumerate(column):
                _check_kind(name, row, value)
        ids = [_id(row, value) for row, value in enumerate(columns.get("sample_id", range(count)))]
        [(commonest, times)] = Counter(ids).most_common(1)
        if times > 1:
            raise StoreError(f"sample_id {commonest!r} occurs {times} times")
        task_names = list(tasks)
        tasks_of_rows = [task_names[0] if name is None else name for name in columns.get("task", [None] * count)]
        splits = ["test" if name is None else name for name in columns.get("split", [None] * count)]
        task = _codes("task", tasks_of_rows, task_names)
        of_task = [{name: code for code, name in enumerate(tasks[task_name])} for task_name in task_names]
        classes = [of_task[code] for code in task]
        groups = columns.get("group", [None] * count)
        group_codes = {name: code for code, name in enumerate(dict.fromkeys(g for g in groups if g is not None))}
        slots = [_slot(row, slot) for row, slot in enumerate(columns.get("slot", [None] * count))]
        return cls(
            sample_id=np.array(ids, dtype=np.dtypes.StringDType()),
            task=np.array(task, dtype=np.int16),
            label=np.array([_code("label", row, v, classes[row]) for row, v in enumerate(columns["label"])], np.int16),
            split=np.array(_codes("split", splits, SPLITS), dtype=np.uint8),
            group=np.array([-1 if g is None else group_codes[g] for g in groups], dtype=np.int32),
            slot=np.array(slots, dtype=np.int8),
            options=_padded(
                [
                    [_code("options", row, option, classes[row]) for option in printed or ()]
                    for row, printed in enumerate(columns.get("options", [None] * count))
                ],
                np.int16,
                -1,
            ),
            image_hash=_padded([found or () for found in columns.get("image_hash", [None] * count)], np.uint64, 0),
            prompt_hash=np.array([found or 0 for found in columns.get("prompt_hash", [None] * count)], np.uint64),
        )


def _plain(column: str, value: Any) -> Any:
    """Return a value of a column, None where it is absent, a word where whole numbers stand for words."""
    if isinstance(value, str):  # first, for so are most
        return None if column == "group" and not value.strip() else value
    if isinstance(value, LISTED):
        return [_plain(column, one) for one in value]
    if _is_absent(value):
        return None
    whole = isinstance(value, Real) and not isinstance(value, bool) and (isinstance(value, int) or value == value // 1)
    if whole and column in ("sample_id", "task", "label", "split", "group", "options"):
        return str(int(value))
    return value


def _check_kind(column: str, row: int, value: Any) -> None:
    """Raise `StoreError` where a value is a list in a column of single values, or the other way round."""
    if column in LISTS and isinstance(value, list) and None in value:
        raise StoreError(f"{column} {value!r} (row {row}) has a place that is empty")
    if value is not None and isinstance(value, list) != (column in LISTS):
        raise StoreError(f"{column} {value!r} (row {row}) is no {'list' if column in LISTS else 'single value'}")
    hashes = (value if column == "image_hash" else [value]) if column.endswith("_hash") else ()
    if any(one is not None and not (isinstance(one, Integral) and 0 <= int(one) < 2**64) for one in hashes or ()):
        raise StoreError(f"{column} {value!r} (row {row}) is no whole number of 64 bits")


def _is_absent(value: Any) -> bool:
    """Tell whether a value stands for none: None, NaN, NaT, pandas' NA, a null of Arrow."""
    if value is None or type(value).__name__ in ("NAType", "MaskedConstant") or not getattr(value, "is_valid", True):
        return True
    return bool(value != value)


def _id(row: int, value: Any) -> str:
    if value is None or not str(value).strip():
        raise StoreError(f"sample_id of row {row} is empty")
    return str(value)


def _slot(row: int, value: Any) -> int:
    if value is None:
        return -1
    if isinstance(value, str) or value not in range(128):
        raise StoreError(f"slot {value!r} (row {row}) is no small whole number")
    return int(value)


def _code(column: str, row: int, value: str | None, codes: Mapping[str, int]) -> int:
    if value is None and column == "label":
        return -1
    if value is None or value not in codes:
        raise StoreError(f"{column} {value!r} (row {row}) is none of {', '.join(map(repr, codes))}")
    return codes[value]


def _codes(column: str, values: Sequence[str], names: Sequence[str]) -> list[int]:
    codes = {name: code for code, name in enumerate(names)}
    return [_code(column, row, value, codes) for row, value in enumerate(values)]


def _padded(rows: Sequence[Sequence[int]], dtype: Any, fill: int) -> np.ndarray:
    padded = np.full((len(rows), max(1, *(len(row) for row in rows))), fill, dtype=dtype)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded

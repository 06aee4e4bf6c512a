"""Which column of a table is what: named by the user, or one of the usual names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.reading import Reading
from savs_benchmarks.pictures.pictures import ENDINGS

PICTURES = (
    *("image", "img", "picture", "photo", "file_name", "filename", "file", "path", "filepath", "file_path"),
    *("image_path", "image_file", "image_name", "img_path"),
)
LABELS = ("label", "class", "target", "category", "class_name", "label_name")
QUESTIONS = ("question", "text", "prompt")
OTHERS: Mapping[str, tuple[str, ...]] = {
    "split": ("split",),
    "group": ("group",),
    "task": ("task",),
    "sample_id": ("id", "sample_id"),
}


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; `others` are those of split, group, task and id, where there are any.

    Without an image, rows are asked in words alone.
    """

    image: str | None
    label: str | None
    question: str | None
    others: Mapping[str, str]

    @property
    def plain(self) -> tuple[str, ...]:
        """All that are read but the picture's."""
        return tuple(name for name in (self.label, self.question, *self.others.values()) if name is not None)


def picture_column(values: Mapping[str, Any], known: Collection[str | None]) -> str:
    """Return the first column, but for those whose meaning is known, that holds the name of a picture; "" for none."""
    words = ((name, value) for name, value in values.items() if name not in known and isinstance(value, str))
    return next((name for name, value in words if value.strip().lower().endswith(ENDINGS)), "")


def choose_columns(
    place: str, columns: Sequence[str], reading: Reading, pictures: Sequence[str] = (), classes: Sequence[str] = ()
) -> Columns:
    """Return which column is what; `pictures` are known to hold pictures, `classes` to hold classes.

    A table with questions may have no pictures at all. Raises `BenchmarkError` with all columns where one is absent,
    or two could be meant.
    """
    image = (
        _named(place, columns, reading.image_column, "--image-column")
        or _only(place, columns, _among(pictures, PICTURES) or pictures, "picture", "--image-column")
        or _only(place, columns, _among(columns, PICTURES), "picture", "--image-column")
    )
    if image is None and not _among(columns, QUESTIONS):
        raise BenchmarkError(f"{place}: no column has a picture's usual name; {_listed(columns, '--image-column')}")
    rest = [name for name in columns if name != image]
    label = (
        _named(place, columns, reading.label_column, "--label-column")
        or _only(place, columns, _among(rest, LABELS), "label", "--label-column")
        or next(iter(name for name in classes if len(classes) == 1), None)
    )
    asked = [name for name in _among(rest, QUESTIONS) if name != label]
    asked = [] if reading.question and len(asked) > 1 else asked
    if len(asked) > 1:
        raise BenchmarkError(f"{place}: {_both(asked)} could be the question; leave one, or say --question")
    others = {key: found[0] for key, names in OTHERS.items() if (found := _among(rest, names)) and found[0] != label}
    return Columns(image, label, asked[0] if asked else None, others)


def _named(place: str, columns: Sequence[str], name: str, option: str) -> str | None:
    if not name or name in columns:
        return name or None
    close = difflib.get_close_matches(name, columns, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise BenchmarkError(f"{place} has no column {name!r}; {hint}{_listed(columns, option)}")


def _only(place: str, columns: Sequence[str], found: Sequence[str], role: str, option: str) -> str | None:
    if len(found) > 1:
        raise BenchmarkError(f"{place}: {_both(found)} could be the {role}; {_listed(columns, option)}")
    return found[0] if found else None


def _among(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the columns of a usual name, however it is written."""
    return [name for name in columns if name.strip().lower().replace(" ", "_").replace("-", "_") in usual]


def _both(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def _listed(columns: Sequence[str], option: str) -> str:
    return f"columns are {', '.join(columns) or 'none'}: name one with {option}"

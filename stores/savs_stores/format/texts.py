"""What a person asks of a sample: which picture, which question. Beside the sample table, and in no hash of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from savs_stores.errors import StoreError
from savs_stores.format.fingerprint import fingerprint
from savs_stores.format.schema import TEXTS

# A column is read as one chunk, of which a reader takes 256 MiB: longer ones are not kept.
MOST_TEXT_BYTES = 128 * 2**20
LENGTH_BYTES = 4  # before every text


@dataclass(frozen=True)
class SampleTexts:
    """The path of every picture, as its user knows it, and what is asked of it; "" where that is not known."""

    image_path: Shaped[np.ndarray, "sample image"]
    question: Shaped[np.ndarray, " sample"]

    def __len__(self) -> int:
        return len(self.question)

    @classmethod
    def from_columns(cls, image_path: Sequence[Any], question: Sequence[Any]) -> SampleTexts:
        """Build them from words: a path or several a sample, a question a sample. Raises `StoreError` for what is none.

        Half a character, as in names of files that are no UTF-8, is spelled as Python spells it.
        """
        paths = [[found] if isinstance(found, str) else list(found or ()) for found in image_path]
        asked = list(question)
        if len(paths) != len(asked):
            raise StoreError(f"there are {len(paths)} paths of pictures and {len(asked)} questions")
        width = max(1, *map(len, paths)) if paths else 1
        padded = [[_text("image_path", one) for one in found] + [""] * (width - len(found)) for found in paths]
        texts = np.array(padded, dtype=TEXTS["image_path"].dtype).reshape(len(paths), width)
        return cls(texts, np.array([_text("question", one) for one in asked], dtype=TEXTS["question"].dtype))

    @property
    def fits(self) -> bool:
        """Whether a store may keep them."""
        return all(_size(getattr(self, name)) <= MOST_TEXT_BYTES for name in TEXTS)

    def hash(self, documents: Mapping[str, Any]) -> str:
        """Return the SHA-256 over both columns, and over what the `zarr.json` of each says."""
        columns = {name: _column_hash(getattr(self, name)) for name in TEXTS}
        return fingerprint({"arrays": dict(documents), "columns": columns})

    def of(self, rows: Sequence[int]) -> SampleTexts:
        return SampleTexts(self.image_path[list(rows)], self.question[list(rows)])


def joined_texts(parts: Iterable[SampleTexts]) -> SampleTexts:
    """Return the texts of several tables, one after another."""
    found = list(parts)
    paths = [[[path for path in of if path] for of in part.image_path.tolist()] for part in found]
    return SampleTexts.from_columns(
        [of for part in paths for of in part], [one for part in found for one in part.question.tolist()]
    )


def no_texts(samples: int) -> SampleTexts:
    """Return the texts of samples of which nothing is known."""
    return SampleTexts.from_columns([""] * samples, [""] * samples)


def _text(column: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise StoreError(f"{column} {value!r:.60} is no text")
    return value.encode("utf-8", "backslashreplace").decode()


def _size(column: np.ndarray) -> int:
    return sum(len(text.encode()) + LENGTH_BYTES for text in column.ravel().tolist())


def _column_hash(column: np.ndarray) -> str:
    texts = [repr(column.shape), *column.ravel().tolist()]
    return hashlib.sha256(b"".join(len(t.encode()).to_bytes(8, "little") + t.encode() for t in texts)).hexdigest()

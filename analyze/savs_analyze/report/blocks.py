"""What the sections of a report are made of: tables, head maps, charts, classes. The template knows their look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int

from savs_analyze.measure.confusion import confused, recalls, worst_first

# With more classes than these, the worst are shown.
MOST_CLASSES, WORST = 40, 20
NUMBER = re.compile(r"[-+<]?\d")


@dataclass(frozen=True)
class Entry:
    """A number or word of a table, what stands small below it, and whether it is the best of its line, or as good."""

    text: str
    small: str = ""
    best: bool = False
    close: bool = False


@dataclass(frozen=True)
class Table:
    """Lines of cells; `words` tells of each column whether it holds words, which stand left."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Entry]
    words: Sequence[bool]
    lines: Sequence[Sequence[Entry]]
    caption: str = ""

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str = "") -> Table:
        """Return a data frame as it is: what begins as a number stands right, words left, intervals small."""
        lines = [[_cell(value) for value in line] for line in frame.itertuples(index=False)]
        words = [
            any(cell.text and not NUMBER.match(cell.text) for cell in column) for column in zip(*lines, strict=True)
        ]
        return cls([Entry(str(name)) for name in frame.columns], words, lines, caption)


def _cell(value: object) -> Entry:
    if isinstance(value, float | np.floating):
        return Entry("" if np.isnan(value) else f"{value:.4g}")
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return Entry(f"{value:,}")
    text, bracket, interval = str(value).partition(" [")
    is_number = bracket and NUMBER.match(text)
    return Entry(text, f"[{interval}") if is_number else Entry(str(value))


@dataclass(frozen=True)
class HeadMap:
    """In how many draws each head is chosen: `counts` is `[layer][head in layer]`, None where there is no head.

    `most` names those that are chosen most often, where the map has many.
    """

    kind: ClassVar[str] = "headmap"
    caption: str
    counts: Sequence[Sequence[int | None]]
    draws: int
    most: Sequence[str] = ()

    @property
    def wide(self) -> bool:
        """Whether it needs a line of its own."""
        return max(map(len, self.counts)) > 28


@dataclass(frozen=True)
class Chart:
    """A drawing, as SVG elements."""

    kind: ClassVar[str] = "chart"
    caption: str
    svg: str


@dataclass(frozen=True)
class Classes:
    """How often each class is right, and what it is taken for."""

    kind: ClassVar[str] = "classes"
    caption: str
    names: Sequence[str]
    counts: Int[np.ndarray, "label prediction"]

    @property
    def few(self) -> bool:
        return len(self.names) <= MOST_CLASSES

    @property
    def bars(self) -> list[tuple[str, float, int]]:
        """Return name, recall and samples of every class, the worst first; of many, only those."""
        recall, samples = recalls(self.counts), self.counts.sum(axis=1)
        shown = worst_first(self.counts)[: None if self.few else WORST]
        return [(self.names[label], float(recall[label]), int(samples[label])) for label in shown]

    @property
    def errors(self) -> list[tuple[str, str, int, float]]:
        """Return the most frequent errors: class, what it is taken for, how often, share of the class."""
        return [(self.names[label], self.names[taken], *self._share(label, taken)) for label, taken in self._confused]

    @property
    def matrix(self) -> list[tuple[int, int, int, float]]:
        """Return class, prediction, how often and share of the class, of all that occur."""
        found = np.argwhere(self.counts).tolist()
        return [(label, taken, *self._share(label, taken)) for label, taken in found]

    @property
    def _confused(self) -> list[tuple[int, int]]:
        return confused(self.counts)[:WORST]

    def _share(self, label: int, taken: int) -> tuple[int, float]:
        count = self.counts[label, taken]
        return int(count), float(count / self.counts[label].sum())


@dataclass(frozen=True)
class WorstAnswer:
    """A wrong answer: pictures as data URIs, what was asked, the scores (name, share, is the truth), what is `near`.

    Of near samples there are pictures, name, label and similarity.
    """

    pictures: Sequence[str]
    name: str
    path: str
    question: str
    label: str
    answer: str
    task: str
    scores: Sequence[tuple[str, float, bool]]
    drawn: str
    near: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class WorstAnswers:
    """The worst answers of one method on one benchmark; the `question` is said once where all have the same."""

    kind: ClassVar[str] = "answers"
    caption: str
    cards: Sequence[WorstAnswer]
    question: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, how to read what follows, what follows, and notes below it; `legend` names the curves of charts."""

    title: str
    note: str
    blocks: Sequence[Table | HeadMap | Chart | Classes | WorstAnswers] = ()
    notes: Sequence[str] = ()
    legend: Sequence[str] = ()

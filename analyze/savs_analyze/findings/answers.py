"""What every setting says of every sample, over all draws that test it: what is wrong, and what is doubtful."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from savs_analyze.findings.choice import Choice, kept_places
from savs_analyze.measure.probabilities import from_scores
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult
from savs_analyze.runs.sources import Sources
from savs_stores import Store

NOT_TESTED, UNREAD = -1, -2
COLUMNS = "benchmark model task method setting shots row sample_id image_path question".split()
COLUMNS += "label answer correct right tested draws margin agreement scores".split()
BETWEEN = " + "  # of the pictures of one sample


@dataclass(frozen=True)
class Answers:
    """What one setting says of the samples that any of its draws tests.

    `said` is -1 where a draw does not test one, and -2 where what it says is no class.

    `sample` are rows of the store, `shares` what each class has: the mean of its probabilities over draws, where cells
    keep scores, else its share of the draws.
    """

    facts: CellFacts
    setting: str
    draws: Sequence[int]
    sample: Int[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]
    said: Int[np.ndarray, "sample draw"]
    shares: Float[np.ndarray, "sample class"]
    scored: bool

    @property
    def names(self) -> Sequence[str]:
        return self.facts.class_names or list(map(str, range(self.facts.classes)))

    @cached_property
    def votes(self) -> Int[np.ndarray, "sample class"]:
        """In how many draws each class is said."""
        counts = np.zeros((len(self.sample), self.facts.classes), dtype=np.int64)
        rows, draws = np.nonzero(self.said >= 0)
        np.add.at(counts, (rows, self.said[rows, draws]), 1)
        return counts

    @cached_property
    def answer(self) -> Int[np.ndarray, " sample"]:
        """What most draws say; of as many, what has the larger share; -1 where none says a class."""
        return np.where(self.votes.any(axis=1), (self.votes + self.shares / 2).argmax(axis=1), -1)

    @property
    def tested(self) -> Int[np.ndarray, " sample"]:
        """How many draws test each sample."""
        return (self.said != NOT_TESTED).sum(axis=1)

    @property
    def right(self) -> Int[np.ndarray, " sample"]:
        """How many draws are right."""
        return (self.said == self.label[:, None]).sum(axis=1)

    @property
    def agreement(self) -> Float[np.ndarray, " sample"]:
        """The share of draws that say the answer."""
        return self.votes[np.arange(len(self.sample)), self.answer] / self.tested

    @cached_property
    def margin(self) -> Float[np.ndarray, " sample"]:
        """By how much the share of the answer is above the largest of the others.

        Below 0 where most draws say what the mean of their scores does not.
        """
        return self.lead(self.answer)

    def lead(self, classes: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        """Return by how much the share of a class of each sample is above the largest of the others."""
        rows, others = np.arange(len(self.sample)), self.shares.copy()
        others[rows, classes] = -np.inf
        return self.shares[rows, classes] - others.max(axis=1)

    def rows(self, store: Store | None) -> pd.DataFrame:
        """Return a row a sample, all but its scores; what only the store knows is empty without it."""
        names = np.array([*self.names, ""], dtype=object)  # the last is what -1 stands for: no class
        described = {name: getattr(self.facts, name) for name in "benchmark model task method shots".split()}
        found = {
            **described,
            "setting": self.setting,
            "row": self.sample,
            **described_samples(store, self.sample),
            "label": names[self.label],
            "answer": names[self.answer],
            "correct": self.answer == self.label,
            "right": self.right,
            "tested": self.tested,
            "draws": [
                [draw for draw, said in zip(self.draws, of, strict=True) if said != NOT_TESTED] for of in self.said
            ],
            "margin": self.margin,
            "agreement": self.agreement,
        }
        return pd.DataFrame(found)


@dataclass(frozen=True)
class Wanted:
    """Which answers: `wrong` ones, of a class (true or said), a task, a method, so many shots; how many `doubtful`."""

    wrong: bool = False
    doubtful: int | None = None
    label: str = ""
    task: str = ""
    method: str = ""
    shots: int | None = None

    def check(self, every: Sequence[Answers]) -> None:
        """Raise ValueError for a name that no result has, with those that there are."""
        named = {
            "task": (self.task, [one.facts.task for one in every]),
            "method": (self.method, [one.facts.method for one in every]),
            "class": (self.label, [name for one in every for name in one.names]),
            "shots": ("" if self.shots is None else str(self.shots), [str(one.facts.shots) for one in every]),
        }
        for what, (name, known) in named.items():
            if name and name not in known:
                listed = ", ".join(list(dict.fromkeys(known))[:20])
                raise ValueError(f"no result has the {what} {name!r}; there are {listed}")

    def of(self, answers: Answers) -> bool:
        facts = answers.facts
        return self.task in ("", facts.task) and self.method in ("", facts.method) and self.shots in (None, facts.shots)

    def mask(self, answers: Answers) -> Bool[np.ndarray, " sample"]:
        """Return which samples are wanted, but for the count of doubtful ones."""
        kept = np.ones(len(answers.sample), dtype=bool)
        if self.wrong:
            kept &= answers.answer != answers.label
        if self.label:
            names = np.array(answers.names, dtype=object)
            kept &= (names[answers.label] == self.label) | (names[answers.answer] == self.label)
        return kept


def answers_of(cells: Iterable[CellResult], choices: Sequence[Choice] = ()) -> list[Answers]:
    """Return the answers of every setting that is looked at, over all draws, of the samples that do not validate."""
    families: dict[tuple[Any, ...], list[CellResult]] = {}
    for cell in cells:
        key = tuple(getattr(cell.facts, name) for name in "benchmark model task method shots".split())
        families.setdefault(key, []).append(cell)
    return [
        _over_draws([(cell, cell.facts.columns.index(name)) for cell in family if name in cell.facts.columns])
        for family in families.values()
        for name in dict.fromkeys(cell.facts.columns[p] for cell in family for p in kept_places(cell.facts, choices))
    ]


def answer_rows(every: Sequence[Answers], sources: Sources, wanted: Wanted) -> pd.DataFrame:
    """Return a row a sample and setting, as they are wanted; the most doubtful first, where their number is."""
    wanted.check(every)
    every = [one for one in every if wanted.of(one)]
    tables = [one.rows(sources.of(one.facts)).assign(of=place) for place, one in enumerate(every)]
    tables = [
        table.assign(place=np.arange(len(table)))[wanted.mask(one)] for table, one in zip(tables, every, strict=True)
    ]
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*COLUMNS, "of", "place"])
    if wanted.doubtful is not None:
        found = found.assign(apart=found["margin"].abs()).sort_values(["agreement", "apart"], kind="stable")
        found = found.head(wanted.doubtful)
    scores = [_scores(every[of], place) for of, place in zip(found["of"], found["place"], strict=True)]
    return found.assign(scores=pd.Series(scores, index=found.index, dtype=object))[COLUMNS].reset_index(drop=True)


def as_texts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows for a table of texts: draws as numbers, scores as JSON."""
    draws = [" ".join(map(str, of)) for of in rows["draws"]]
    scores = ["" if of is None else json.dumps(of) for of in rows["scores"]]
    return rows.assign(draws=draws, scores=scores)


def json_text(rows: pd.DataFrame) -> str:
    """Return rows as JSON on one line, all that is not ASCII escaped."""
    return rows.to_json(orient="records", double_precision=15) + "\n"


def is_ours(line: bytes, size: int) -> bool:
    """Tell whether a file of so many bytes that begins with this line is one of answers, as CSV or as JSON."""
    if line.strip() == b"[]":  # of no answer, which is all of it
        return size == len(line)
    if line.strip() == ",".join(COLUMNS).encode():
        return True
    return line.startswith(b'[{"benchmark":"') and all(f'"{name}":'.encode() in line for name in COLUMNS)


def described_samples(store: Store | None, rows: Int[np.ndarray, " sample"]) -> dict[str, list[str]]:
    """Return ids, paths and questions of rows of a store; "" for what it does not keep."""
    nothing = [""] * len(rows)
    if store is None:
        return {"sample_id": nothing, "image_path": nothing, "question": nothing}
    texts = store.texts
    return {
        "sample_id": store.samples.sample_id[rows].tolist(),
        "image_path": nothing
        if texts is None
        else [BETWEEN.join(filter(None, paths)) for paths in texts.image_path[rows].tolist()],
        "question": nothing if texts is None else texts.question[rows].tolist(),
    }


def _scores(answers: Answers, place: int) -> dict[str, float] | None:
    """Return the score of each class, None where results keep none."""
    if not answers.scored:
        return None
    return {name: float(share) for name, share in zip(answers.names, answers.shares[place], strict=True)}


def _over_draws(found: Sequence[tuple[CellResult, int]]) -> Answers:
    facts = found[0][0].facts
    tested = [np.flatnonzero(~cell.arrays["validation"]) for cell, _ in found]
    every = [cell.arrays["sample"][of] for (cell, _), of in zip(found, tested, strict=True)]
    rows = np.unique(np.concatenate(every))
    scored = all("scores" in cell.arrays for cell, _ in found)
    label = np.full(len(rows), NOT_TESTED, dtype=np.int64)
    said = np.full((len(rows), len(found)), NOT_TESTED, dtype=np.int64)
    shares = np.zeros((len(rows), facts.classes))
    for draw, ((cell, setting), of, samples) in enumerate(zip(found, tested, every, strict=True)):
        places = np.searchsorted(rows, samples)
        label[places] = cell.arrays["label"][of]
        predicted = cell.arrays["predicted"][setting][of]
        said[places, draw] = np.where(predicted < 0, UNREAD, predicted)
        if scored:
            shares[places] += from_scores(cell.arrays["scores"][setting][of])
        else:
            read = predicted >= 0
            shares[places[read], predicted[read]] += 1
    shares /= (said != NOT_TESTED).sum(axis=1, keepdims=True)
    draws = [cell.facts.draw for cell, _ in found]
    return Answers(facts, found[0][0].facts.columns[found[0][1]], draws, rows, label, said, shares, scored)

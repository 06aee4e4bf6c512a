"""Data that changed a little: what is known of a sample is taken over into a new store that replaces the old one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from savs_benchmarks import Benchmark
from savs_harvest.asking.index import Index
from savs_harvest.models.loading import LoadedModel
from savs_harvest.run.harvest import ALONE, OWN_NAME, SILENT, USUAL, find_work, harvest_work
from savs_harvest.run.listener import Listener
from savs_harvest.run.ranks import Rank
from savs_harvest.run.report import Report
from savs_harvest.run.settings import Settings, check_settings
from savs_harvest.run.work import Known, Work
from savs_harvest.run.writing import Keeping, identity
from savs_stores import MismatchError, ModelVectors, SampleTable, Store, open_store
from savs_stores.format.fingerprint import fingerprint

# What of a benchmark must be the same: logits stand by class.
SAME = ("name", "tasks", "metric", "answers")


@dataclass(frozen=True)
class Places:
    """Where the stores of a change stand, beside one another: nothing is ever half.

    `growing` is being made; `stale` is one that was, when the data changed again; `before` is what was replaced.
    """

    store: Path

    def _beside(self, word: str) -> Path:
        return self.store.with_name(f"{self.store.stem}.{word}{self.store.suffix}")

    @property
    def growing(self) -> Path:
        return self._beside("growing")

    @property
    def stale(self) -> Path:
        return self._beside("stale")

    @property
    def before(self) -> Path:
        return self._beside("before")

    def finish(self) -> None:
        """Do the second half of a replacement that was interrupted between its two halves."""
        if not self.store.exists() and self.before.exists() and self.growing.exists():
            self.growing.rename(self.store)

    def replace(self, keep: bool) -> None:
        """Put the store that has grown in the place of the old one; `keep` what was there, as `before`."""
        if self.before.exists():
            raise MismatchError(f"{self.before} holds what an earlier change replaced: move it, or remove it")
        self.store.rename(self.before)
        self.growing.rename(self.store)
        if not keep:
            shutil.rmtree(self.before)
        shutil.rmtree(self.stale, ignore_errors=True)


def harvest_changed(
    model: LoadedModel,
    benchmark: Benchmark,
    store: str | Path,
    settings: Settings = USUAL,
    keeping: Keeping = OWN_NAME,
    rank: Rank = ALONE,
    listener: Listener = SILENT,
) -> Report:
    """Harvest as `harvest`; where the store holds other samples of this benchmark, take over those that are the same.

    A sample is the same where its pictures, its prompt and the fingerprint of the run are. The new store replaces the
    old one when it is whole; the old one is kept beside it where it holds more. Raises as `harvest`, also where no
    sample is the same.
    """
    check_settings(model, settings)
    keeping.check(model, settings)
    work = find_work(model, benchmark, settings, listener.pictures)
    if "://" in str(store):
        return harvest_work(work, store, keeping, rank, listener)
    places = Places(Path(store))
    places.finish()
    sources = _sources(places, work.index)
    known = known_rows(work, [old[name] for old in sources if (name := keeping.name_of(model.name, settings)) in old])
    if not known.rows:
        return harvest_work(work, store, keeping, rank, listener)
    if rank.world > 1:
        raise ValueError(
            f"{store} holds other samples: what is the same is taken over by one process, not {rank.world}"
        )
    listener.taken(len(known.rows), len(work.samples))
    report = harvest_work(replace(work, known=known), places.growing, keeping, rank, listener)
    places.replace(keep=_holds_more(sources[0], known))
    return report


def _sources(places: Places, index: Index) -> list[Store]:
    """Return the stores that samples can be taken from: none where the store is as it should be."""
    if not places.store.exists():
        return []
    old = open_store(places.store, allow_partial=True)
    now, then = index.info, old.benchmark
    if old.index_hash == index.table.index_hash(now) or any(getattr(now, n) != getattr(then, n) for n in SAME):
        return []
    if places.growing.exists() and open_store(places.growing).index_hash != index.table.index_hash(now):
        shutil.rmtree(places.stale, ignore_errors=True)
        places.growing.rename(places.stale)
    return [old, *([open_store(places.stale, allow_partial=True)] if places.stale.exists() else [])]


def known_rows(work: Work, sources: Sequence[ModelVectors]) -> Known:
    """Return what sources of the same fingerprint know of the samples; a prompt with shots is never the same."""
    wanted = fingerprint(identity(work.model, work.settings, work.answers))
    rows: dict[int, tuple[ModelVectors, int]] = {}
    if work.settings.in_context.shots:
        return Known(rows)
    asked = _asked(work.index.table, np.ones(len(work.samples), dtype=bool))
    for source in (source for source in sources if source.fingerprint == wanted):
        there = {key: row for row, key in _asked(source.store.samples, source.usable).items()}
        rows |= {row: (source, there[key]) for row, key in asked.items() if row not in rows and key in there}
    return Known(rows)


def _asked(table: SampleTable, of_interest: Bool[np.ndarray, " sample"]) -> dict[int, tuple[int, ...]]:
    """Return task, prompt and pictures of samples by row; a sample with an unreadable picture is like no other."""
    found = {}
    for row in np.flatnonzero(of_interest).tolist():
        shown = tuple(table.image_hash[row].tolist())
        if any(shown):
            found[row] = (int(table.task[row]), int(table.prompt_hash[row]), *np.trim_zeros(shown, "b"))
    return found


def _holds_more(old: Store, known: Known) -> bool:
    """Tell whether a store holds other models, or samples of this one, that the new one has not."""
    taken = {row for source, row in known.rows.values() if source.store is old}
    usable = [np.flatnonzero(old.peek(name).usable) for name in old.models]
    return len(usable) > 1 or bool(set(usable[0].tolist()) - taken)

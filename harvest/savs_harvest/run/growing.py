"""Data that changed a little: what is known of a sample is taken over into a new store that replaces the old one."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
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
from savs_stores import MismatchError, ModelVectors, SampleTable, Store, StoreError, class_vectors, open_store
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
    def before(self) -> list[Path]:
        """What was replaced and is kept, the latest last."""
        return sorted(self.store.parent.glob(f"{glob.escape(self.store.stem)}.before*{self.store.suffix}"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all others from changing the store; the lock goes with the process that holds it."""
        path = self.store.with_name(f".{self.store.name}.change.lock")
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise MismatchError(f"{self.store} is being changed by another process: wait until it is done") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: nobody else's is removed
            lock.release()

    def finish(self) -> None:
        """Do the second half of a replacement that was interrupted between its two halves."""
        if not self.store.exists() and self.before and self.growing.exists():
            self.growing.rename(self.store)

    @property
    def retrying(self) -> Path:
        """Where samples that failed are run again, beside all others of their model."""
        return self._beside("retrying")

    def retried(self, name: str) -> Path:
        """What a model was before its failed samples were run again, until they are in its place."""
        return self.store.with_name(f".{self.store.name}.{name}.retried")

    def finish_retry(self, name: str) -> None:
        """Put what was run again in the place of what failed, where that was interrupted between two steps."""
        if self.retrying.exists() or self.retried(name).exists():
            with self.alone():
                self.swap(name)

    def swap(self, name: str) -> None:
        """Put what was run again in the place of what failed, where all of it was and the samples are still these."""
        group, retried = self.store / name, self.retried(name)
        if self.retrying.exists() and _is_whole(self.retrying, name) and self._are_of_one_table():
            if group.exists() and not retried.exists():
                group.rename(retried)
            if not group.exists():
                (self.retrying / name).rename(group)
        if retried.exists() and group.exists():
            # Another model may have been interrupted between its two steps: what was run again is nowhere else.
            if {*self.store.parent.glob(f"{glob.escape(f'.{self.store.name}.')}*.retried")} == {retried}:
                shutil.rmtree(self.retrying, ignore_errors=True)
            shutil.rmtree(retried)

    def _are_of_one_table(self) -> bool:
        stores = _opened([self.store, self.retrying])
        return len({store.index_hash for store in stores}) == 1 and len(stores) == 2

    def set_aside(self, index: Index) -> None:
        """Make room for a new store: one that was growing for other samples is stale, and still a source."""
        if self.growing.exists() and not _is_of(self.growing, index):
            shutil.rmtree(self.stale, ignore_errors=True)
            self.growing.rename(self.stale)

    def replace(self, keep: bool) -> None:
        """Put the store that has grown in the place of the old one; `keep` what was there, as `before`."""
        words = ["before", *(f"before-{number}" for number in range(2, 1000))]
        before = next(path for path in map(self._beside, words) if not path.exists())
        self.store.rename(before)
        self.growing.rename(self.store)
        if not keep:
            shutil.rmtree(before)
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
    if "://" in str(store) or (keeping.retry and rank.world > 1):
        if keeping.retry:
            raise ValueError("what failed is run again by one process, in a store on this machine's disks: --retry")
        return harvest_work(work, store, keeping, rank, listener)
    places = Places(Path(store).resolve())
    places.finish()
    places.finish_retry(keeping.name_of(model.name, settings))
    _check_classes(places, benchmark)
    if not (places.store.exists() or places.before):
        return harvest_work(work, store, keeping, rank, listener)
    if rank.world > 1:
        if _changed(places, work.index):
            raise ValueError(f"{store} holds other samples: one process takes over what is the same, not {rank.world}")
        return harvest_work(work, store, keeping, rank, listener)
    return _harvest_known(work, places, keeping, rank, listener)


def _harvest_known(work: Work, places: Places, keeping: Keeping, rank: Rank, listener: Listener) -> Report:
    """Harvest what no store beside knows, into the store, or into one that replaces it where its samples changed."""
    name = keeping.name_of(work.model.name, work.settings)
    if _changed(places, work.index):
        with places.alone():
            return _grow(work, places, keeping, rank, listener)
    if keeping.retry and (failed := _failed(work, places, name)):
        with places.alone():
            return _retry(work, places, keeping, failed, listener)
    if _is_whole(places.store, name):
        return harvest_work(work, places.store, keeping, rank, listener)
    known = _known(work, _opened(places.before), name, listener)
    return harvest_work(replace(work, known=known), places.store, keeping, rank, listener)


def _failed(work: Work, places: Places, name: str) -> ModelVectors | None:
    """Return a model of the store where it is of this fingerprint and some of its samples failed, else None."""
    store = open_store(places.store, allow_partial=True) if places.store.exists() else None
    if store is None or name not in store:
        return None
    found = store.peek(name)
    same = found.fingerprint == fingerprint(identity(work.model, work.settings, work.answers))
    return found if same and (found.finished & ~found.usable).any() else None


def _retry(work: Work, places: Places, keeping: Keeping, failed: ModelVectors, listener: Listener) -> Report:
    """Run what failed, and what was never run, into a store beside, and put its model in the place of the old one."""
    known = Known({row: (failed, row) for row in np.flatnonzero(failed.usable).tolist()})
    listener.taken(len(known.rows), len(work.samples))
    keeping = replace(keeping, shard_samples=failed.plan.shard_samples)
    if places.retrying.exists() and not _is_of(places.retrying, work.index):
        shutil.rmtree(places.retrying)  # of samples that the store has no longer
    report = harvest_work(replace(work, known=known), places.retrying, keeping, ALONE, listener)
    places.swap(failed.name)
    return report


def _grow(work: Work, places: Places, keeping: Keeping, rank: Rank, listener: Listener) -> Report:
    """Harvest into a new store and put it in the place of the old one, unless no sample is the same."""
    name = keeping.name_of(work.model.name, work.settings)
    places.set_aside(work.index)
    old, *others = _opened([places.store, places.stale, *places.before])
    known = _known(work, [old, *others], name, listener)
    if not known.rows:
        return harvest_work(work, places.store, keeping, rank, listener)
    report = harvest_work(replace(work, known=known), places.growing, keeping, rank, listener)
    if work.settings.class_prompt is None and name in old:
        _warn_of_texts(old.peek(name), open_store(places.growing).peek(name), listener)
    places.replace(keep=_holds_more(old, work, name))
    return report


def _warn_of_texts(old: ModelVectors, new: ModelVectors, listener: Listener) -> None:
    """Say where class vectors are of other texts than before: their prompt is in no fingerprint."""
    with suppress(StoreError):
        before, now = class_vectors(old), class_vectors(new)
        if before and now and (lines := before.changed(now.texts)):
            words = lines[0].replace(" in the store, ", " before, ")
            listener.warning(f"class vectors are of other texts than before, as {words}; --class-prompt says which")


def _known(work: Work, sources: Sequence[Store], name: str, listener: Listener) -> Known:
    known = known_rows(work, [source.peek(name) for source in sources if name in source])
    if known.rows:
        listener.taken(len(known.rows), len(work.samples))
    return known


def _is_whole(path: Path, model: str) -> bool:
    """Tell whether a store, if it is one, holds all of a model."""
    if not path.exists():
        return False
    store = open_store(path, allow_partial=True)
    return model in store and not store.peek(model).missing


def _check_classes(places: Places, benchmark: Benchmark) -> None:
    """Raise `MismatchError` where a user's own data have other classes than the store of the same name."""
    if not (benchmark.own and places.store.exists()):
        return
    held = {task: set(names) for task, names in open_store(places.store, allow_partial=True).benchmark.tasks.items()}
    now = {task: set(names) for task, names in benchmark.tasks.items()}
    if held == now:
        return
    words = []
    for what, some, others in (("new", now, held), ("gone", held, now)):
        found = sorted(name for task, names in some.items() for name in names - others.get(task, set()))
        words += [f"{what}: {', '.join(found)}"] if found else []
    raise MismatchError(
        f"{places.store} holds other classes ({'; '.join(words) or 'other tasks'}), or is of other data of the same "
        "name; logits stand by class, so this is another store: name one with --store"
    )


def _changed(places: Places, index: Index) -> bool:
    """Tell whether the store holds other samples of the same definition of this benchmark."""
    if not places.store.exists():
        return False
    old, now = open_store(places.store, allow_partial=True), index.info
    same = all(getattr(now, name) == getattr(old.benchmark, name) for name in SAME)
    return same and old.index_hash != index.table.index_hash(now)


def _opened(paths: Sequence[Path]) -> list[Store]:
    """Open what is a store."""
    stores = []
    for path in paths:
        with suppress(StoreError):
            stores.append(open_store(path, allow_partial=True))
    return stores


def _is_of(path: Path, index: Index) -> bool:
    try:
        return open_store(path).index_hash == index.table.index_hash(index.info)
    except StoreError:  # killed before it was a store
        return False


def known_rows(work: Work, sources: Sequence[ModelVectors]) -> Known:
    """Return what sources of the same fingerprint know of the samples; a prompt with shots is never the same."""
    wanted = fingerprint(identity(work.model, work.settings, work.answers))
    rows: dict[int, tuple[ModelVectors, int]] = {}
    if work.settings.in_context.shots:
        return Known(rows)
    asked = _asked(work.index.table, _readable(work))
    for source in (source for source in sources if source.fingerprint == wanted):
        there = {key: row for row, key in _asked(source.store.samples, source.usable).items()}
        rows |= {row: (source, there[key]) for row, key in asked.items() if row not in rows and key in there}
    return Known(rows)


def _asked(table: SampleTable, of_interest: Bool[np.ndarray, " sample"]) -> dict[int, tuple[int, ...]]:
    """Return task, prompt and pictures of samples by row; those of which neither is known are like no other."""
    found = {}
    for row in np.flatnonzero(of_interest).tolist():
        shown = tuple(table.image_hash[row].tolist())
        if any(shown) or table.prompt_hash[row]:
            found[row] = (int(table.task[row]), int(table.prompt_hash[row]), *np.trim_zeros(shown, "b"))
    return found


def _readable(work: Work) -> Bool[np.ndarray, " sample"]:
    """Tell of which samples all pictures can be read, if they show any: an unreadable one is like no other."""
    hashes = work.index.table.image_hash
    return np.array([all(hashes[row, : len(sample.images)].tolist()) for row, sample in enumerate(work.samples)])


def _holds_more(old: Store, work: Work, name: str) -> bool:
    """Tell whether a store holds other models, or samples of this one, that the new one has not."""
    asked = set(_asked(work.index.table, _readable(work)).values())
    mine = set(_asked(old.samples, old.peek(name).usable).values()) if name in old else set()
    return bool(set(old.models) - {name}) or not mine <= asked
